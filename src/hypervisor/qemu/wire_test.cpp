#include "hypervisor/qemu/wire.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace segue::qemu {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

boost::json::value json(std::string_view text) { return boost::json::parse(text); }

TEST(Wire, knows_qemus_words) {
    const std::pair<const char*, MigrationStatus> statuses[] = {
        {"", MigrationStatus::none},
        {"none", MigrationStatus::none},
        {"setup", MigrationStatus::setup},
        {"wait-unplug", MigrationStatus::setup},
        {"active", MigrationStatus::active},
        {"pre-switchover", MigrationStatus::pre_switchover},
        {"device", MigrationStatus::device},
        {"completed", MigrationStatus::completed},
        {"failed", MigrationStatus::failed},
        {"cancelling", MigrationStatus::cancelling},
        {"cancelled", MigrationStatus::cancelled},
        {"postcopy-active", MigrationStatus::other},
        {"colo", MigrationStatus::other},
    };
    for (const auto& [word, status] : statuses) EXPECT_EQ(migration_status(word), status) << word;
    const std::pair<const char*, RunState> states[] = {
        {"running", RunState::running},       {"paused", RunState::paused},
        {"inmigrate", RunState::inmigrate},   {"finish-migrate", RunState::finish_migrate},
        {"postmigrate", RunState::postmigrate}, {"prelaunch", RunState::other},
        {"io-error", RunState::other},        {"", RunState::other},
    };
    for (const auto& [word, state] : states) EXPECT_EQ(run_state(word), state) << word;
}

TEST(Wire, reads_progress) {
    const SrcProgress progress = src_progress(json(
        R"({"status":"active","ram":{"remaining":4096,"transferred":123456,"total":136314880,"dirty-sync-count":3}})"));
    EXPECT_EQ(progress.status, MigrationStatus::active);
    EXPECT_EQ(progress.remaining, Bytes{4096});
    EXPECT_EQ(progress.sent, Bytes{123456});
    EXPECT_EQ(progress.total, Bytes{136314880});
    EXPECT_EQ(progress.dirty_syncs, 3);
    const SrcProgress failed = src_progress(json(R"({"status":"failed","error-desc":"Unable to write"})"));
    EXPECT_EQ(failed.status, MigrationStatus::failed);
    EXPECT_EQ(failed.error, "Unable to write");
    EXPECT_EQ(src_progress(json("{}")).status, MigrationStatus::none);
    EXPECT_EQ(src_progress(json("[]")).status, MigrationStatus::none);
}

TEST(Wire, takes_odd_answers_for_absent_ones) {
    for (const char* text : {"null", "[]", "7", R"({"ram":[]})", R"({"ram":{"mbps":"much"}})", R"({"status":5})",
                             R"({"ram":{"remaining":18446744073709551615}})"}) {
        EXPECT_EQ(src_progress(json(text)).remaining, Bytes{0}) << text;
        EXPECT_FALSE(first_window_over(json(text))) << text;
        EXPECT_FALSE(listening_port(json(text))) << text;
        EXPECT_FALSE(measured_dirty_rate(json(text))) << text;
    }
    EXPECT_FALSE(run_state_reply(json("{}")));
}

TEST(Wire, sees_the_first_window_by_its_rate) {
    EXPECT_FALSE(first_window_over(json(R"({"status":"active","ram":{"mbps":0}})")));
    EXPECT_FALSE(first_window_over(json(R"({"status":"active","ram":{"mbps":0.0}})")));
    EXPECT_TRUE(first_window_over(json(R"({"status":"active","ram":{"mbps":0.52}})")));
    EXPECT_TRUE(first_window_over(json(R"({"status":"active","ram":{"mbps":5}})")));
}

TEST(Wire, names_addresses_as_qemu_does) {
    EXPECT_EQ(tcp_uri({"192.0.2.1", 4444}), "tcp:192.0.2.1:4444");
    EXPECT_EQ(tcp_uri({"2001:db8::1", 0}), "tcp:[2001:db8::1]:0");
    EXPECT_EQ(tcp_uri({"[::1]", 1}), "tcp:[::1]:1");
    EXPECT_EQ(listening_port(json(R"({"socket-address":[{"type":"unix","path":"x"},
                                     {"type":"inet","host":"127.0.0.1","port":"40001"}]})")),
              40001);
    EXPECT_FALSE(listening_port(json(R"({"socket-address":[{"type":"inet","host":"h","port":"70000"}]})")));
    EXPECT_EQ(machine_type("pc-i440fx-7.2-machine"), "pc-i440fx-7.2");
    EXPECT_EQ(machine_type("odd"), "odd");
    EXPECT_TRUE(yankable_migration(json(R"([{"type":"chardev","id":"m"},{"type":"migration"}])")));
    EXPECT_FALSE(yankable_migration(json(R"([{"type":"chardev","id":"migration"}])")));
}

TEST(Wire, samples_dirtying_in_whole_seconds) {
    EXPECT_EQ(calc_time(milliseconds{100}), 1);
    EXPECT_EQ(calc_time(seconds{1}), 1);
    EXPECT_EQ(calc_time(milliseconds{2001}), 3);
    EXPECT_EQ(calc_time(std::chrono::hours{1}), 60);
    EXPECT_EQ(measured_dirty_rate(json(R"({"status":"measured","dirty-rate":3})")), mebibytes_per_second(3));
    EXPECT_FALSE(measured_dirty_rate(json(R"({"status":"measuring","dirty-rate":-1})")));
}

/// What QEMU 10 computes, with its integer division.
std::int64_t native_threshold(const SwitchoverParameters& p) {
    return p.avail_switchover_bandwidth.value_or(0) / 1000 * p.downtime_limit_ms;
}

TEST(Wire, native_threshold_is_the_budget_but_for_less_than_its_milliseconds) {
    for (const std::int64_t budget : {1LL, 4095LL, 4096LL, 1'000'000LL, 31'457'280LL, 123'456'789LL, 1LL << 44}) {
        for (const std::int64_t rate : {1LL, 1000LL, 104'857'600LL, 1'250'000'000LL, 100'000'000'000LL}) {
            const SwitchoverParameters p = native_switchover({budget}, {rate});
            EXPECT_GE(p.downtime_limit_ms, 1);
            EXPECT_LE(p.downtime_limit_ms, 2'000'000);
            EXPECT_LE(native_threshold(p), budget) << budget << " at " << rate;
            EXPECT_GT(native_threshold(p), budget - p.downtime_limit_ms) << budget << " at " << rate;
            EXPECT_FALSE(p.max_bandwidth);
        }
    }
    const SwitchoverParameters usual = native_switchover(mebibytes(30), mebibytes_per_second(100));
    EXPECT_EQ(usual.downtime_limit_ms, 300);
    EXPECT_EQ(usual.avail_switchover_bandwidth, 104'857'000);
    EXPECT_EQ(native_threshold(native_switchover({0}, {1000})), 1) << "never 0";
}

TEST(Wire, emulated_threshold_never_passes_the_budget) {
    for (const std::int64_t budget : {4096LL, 52'000LL, 104'857LL, 200'000LL, 1'000'000LL, 31'457'280LL, 1LL << 44}) {
        for (const std::int64_t cap : {1'000'000LL, 104'857'600LL, 1'250'000'000LL}) {
            const SwitchoverParameters p = emulated_switchover({budget}, {cap});
            ASSERT_TRUE(p.max_bandwidth);
            EXPECT_GE(p.downtime_limit_ms, 1);
            EXPECT_LE(p.downtime_limit_ms, 2'000'000);
            EXPECT_LE(*p.max_bandwidth, cap);
            const double threshold = static_cast<double>(*p.max_bandwidth) / 1000 *
                                     static_cast<double>(p.downtime_limit_ms);
            EXPECT_LE(threshold, static_cast<double>(budget)) << budget << " at " << cap;
            EXPECT_FALSE(p.avail_switchover_bandwidth);
        }
    }
    // Whole milliseconds of the cap; half a millisecond of it, where only going slower helps; 2.99 of them.
    EXPECT_EQ(emulated_switchover({30'000'000}, {100'000'000}).downtime_limit_ms, 300);
    EXPECT_EQ(emulated_switchover({50'000}, {100'000'000}).max_bandwidth, 50'000'000);
    EXPECT_EQ(emulated_switchover({299'000}, {100'000'000}).downtime_limit_ms, 3);
    EXPECT_EQ(emulated_switchover({299'000}, {100'000'000}).max_bandwidth, 99'666'666);
    EXPECT_EQ(emulated_switchover({250'000}, {100'000'000}).downtime_limit_ms, 2);
    EXPECT_EQ(emulated_switchover({250'000}, {100'000'000}).max_bandwidth, 100'000'000);
}

TEST(Wire, before_go_nothing_but_an_exact_zero_is_below_the_threshold) {
    EXPECT_EQ(native_threshold(never_switch_over(true)), 1);
    EXPECT_EQ(never_switch_over(false).downtime_limit_ms, 1);
    EXPECT_FALSE(never_switch_over(false).avail_switchover_bandwidth);
    EXPECT_EQ(max_bandwidth({}), 0);
    EXPECT_EQ(max_bandwidth(ByteRate{1}), 10) << "1 to 9 mean without limit";
    EXPECT_EQ(max_bandwidth(mebibytes_per_second(32)), 33'554'432);
}

}  // namespace
}  // namespace segue::qemu

// The model fed as a move feeds it, by guests whose truth is known.
#include "model/guest_model.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <cmath>
#include <functional>

#include "model/random_guest_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Bytes memory{2'000'000'000};
constexpr double link = 100e6;

Bytes bytes(double count) {
    return {static_cast<std::int64_t>(count)};
}

Instant at_s(double s) {
    return {from_seconds(s)};
}

double saturating(double work_s) {
    return 300e6 * -std::expm1(-work_s * 500e6 / 300e6);
}

/// A guest in a move: passes of a chosen length, share and dirt, fed as migration/ would.
class Feed {
public:
    explicit Feed(const GuestMemory& remembered = {}) : model(memory, remembered) {
        sync(2e9, 0, 0, all_of_it);
    }

    /// A pass of so many seconds, in which the vCPUs ran for so long; the next sync finds so much.
    void pass(double wall_s, double work_s, double found, Share share = all_of_it, double left = 0) {
        for (int i = 0; i < 10; ++i) {
            now_s += wall_s / 10;
            worked_s += work_s / 10;
            model.add_run_time(at_s(now_s), from_seconds(worked_s), share);
        }
        sync(found, left, wall_s * link, share);
    }

    GuestModel model;
    double now_s = 50;
    double worked_s = 7;
    std::int64_t number = 0;

private:
    void sync(double backlog, double left, double sent, Share share) {
        model.add_run_time(at_s(now_s), from_seconds(worked_s), share);
        DirtySync sync;
        sync.number = ++number;
        sync.at = at_s(now_s);
        sync.backlog = bytes(backlog);
        sync.remaining_before = bytes(left);
        sync.share = share;
        sync.sent = bytes(sent);
        model.add_sync(sync);
    }
};

TEST(GuestModel, of_a_guest_never_seen_has_an_outlook_that_says_how_little_it_knows) {
    const GuestModel model{memory};
    const auto outlook = model.outlook();
    EXPECT_EQ(outlook.passes_seen, 0);
    EXPECT_FALSE(outlook.bandwidth_known);
    EXPECT_GT(outlook.level_sigma, 1);
    EXPECT_GT(outlook.first_pass_sigma, 0.3);
    EXPECT_LT(outlook.first_pass, memory);
    EXPECT_EQ(outlook.busy, all_of_it);
    EXPECT_EQ(outlook.unbraked_ratio, 0);
    EXPECT_EQ(outlook.costs, prior_fixed_costs);
}

TEST(GuestModel, expects_the_opening_of_the_stream_until_the_first_pass_is_over) {
    Feed feed;
    feed.model.expect_opening(from_seconds(0.2));
    EXPECT_EQ(feed.model.outlook().first_pass_beside, from_seconds(0.2));
    feed.model.expect_first_pass(bytes(4 * link), 0);
    feed.model.expect_zero_scan({static_cast<std::int64_t>(link)});
    const double zero_s = static_cast<double>((memory - bytes(4 * link)).count) / link;
    EXPECT_NEAR(to_seconds(feed.model.outlook().first_pass_beside), 0.2 + zero_s, 0.01);
    feed.pass(12, 6, saturating(6));
    EXPECT_EQ(feed.model.outlook().first_pass_beside, Duration{0});
}

TEST(GuestModel, learns_the_curve_and_the_first_pass_from_the_syncs) {
    Feed feed;
    feed.pass(12, 6, saturating(6));
    feed.pass(3, 1.5, saturating(1.5));
    feed.pass(2.7, 0.3, saturating(0.3), Share{0.111});
    const auto outlook = feed.model.outlook();
    for (const double x : {0.3, 0.7, 1.5, 6.0}) {
        EXPECT_NEAR(outlook.curve.bytes_in(x), saturating(x), 0.08 * saturating(x)) << x;
    }
    EXPECT_EQ(outlook.passes_seen, 3);
    EXPECT_NEAR(to_seconds(feed.model.last_work()), 0.3, 1e-3);
    EXPECT_NEAR(outlook.busy.ratio, 0.5, 0.01);
    EXPECT_EQ(outlook.first_pass, bytes(12 * link));
    EXPECT_EQ(outlook.first_pass_sigma, 0);
    EXPECT_LT(outlook.level_sigma, 0.25);
    EXPECT_EQ(outlook.unbraked_ratio, 0);
}

TEST(GuestModel, without_run_times_takes_the_share_and_what_is_remembered_of_busy) {
    GuestMemory remembered;
    remembered.busy = 0.4;
    GuestModel model{memory, remembered};
    model.add_sync({1, at_s(1), memory, {0}, {}, all_of_it, {0}});
    model.add_sync({2, at_s(11), bytes(saturating(4)), {0}, {}, all_of_it, {0}});
    model.add_sync({3, at_s(21), bytes(saturating(1)), {0}, {}, Share{0.1}, {0}});
    EXPECT_NEAR(model.belief().curve.bytes_in(4), saturating(4), 0.1 * saturating(4));
    EXPECT_NEAR(model.belief().curve.bytes_in(1), saturating(1), 0.1 * saturating(1));
}

TEST(GuestModel, does_not_count_twice_what_was_left_over_when_the_sync_came) {
    // Uniform writes on all of memory: what is dirtied falls on the unsent part in proportion.
    const auto uniform = [](double work_s) { return 2e9 * -std::expm1(-work_s / 20); };
    Feed feed;
    double left = 500e6;
    double dirt = uniform(15);
    feed.pass(15, 15, left + dirt * (1 - left / 2e9), all_of_it, left);
    EXPECT_NEAR(feed.model.belief().curve.bytes_in(15), dirt, 0.05 * dirt);
    const double backlog = left + dirt * (1 - left / 2e9);
    left = 0.3 * backlog;
    dirt = uniform(8);
    // All of the old backlog is as likely to be hit as any other memory.
    feed.pass(8, 8, left + dirt * (1 - left / 2e9), all_of_it, left);
    EXPECT_NEAR(feed.model.belief().curve.bytes_in(8), dirt, 0.12 * dirt);
}

TEST(GuestModel, says_nothing_of_a_pass_whose_sync_it_missed) {
    Feed feed;
    feed.pass(12, 6, saturating(6));
    const auto before = feed.model.belief().curve;
    ++feed.number;
    feed.pass(5, 2, 1);
    EXPECT_EQ(feed.model.belief().curve, before);
    EXPECT_EQ(feed.model.outlook().passes_seen, 1);
}

TEST(GuestModel, of_an_idle_guest_forecasts_next_to_nothing) {
    Feed feed;
    feed.model.add_sample({seconds{1}, {0}, 8192});
    for (int i = 0; i < 5; ++i) feed.pass(1, 0.02, 40'960);
    const auto outlook = feed.model.outlook();
    EXPECT_LT(outlook.curve.bytes_in(0.1), 1e6);
    EXPECT_NEAR(outlook.busy.ratio, 0.02, 0.001);
}

TEST(GuestModel, learns_that_a_brake_does_not_slow_what_the_network_dirties) {
    test::Chance chance(1);
    const auto run = [&](double unbraked) {
        Feed feed;
        const auto linear = [](double x) { return 40e6 * x; };
        const auto pass = [&](double wall_s, double share) {
            const double work_s = 0.8 * wall_s * share;
            const double as_if_s = work_s + unbraked * (0.8 * wall_s - work_s);
            feed.pass(wall_s, work_s, linear(as_if_s) * std::exp(0.03 * chance.normal()), Share{share * 0.8});
        };
        feed.pass(20, 16, linear(16));
        feed.pass(6, 4.8, linear(4.8));
        feed.pass(2, 1.6, linear(1.6));
        feed.pass(1, 0.8, linear(0.8));
        for (int i = 0; i < 6; ++i) pass(2, 0.4);
        return feed.model.outlook().unbraked_ratio;
    };
    EXPECT_EQ(run(0), 0);
    EXPECT_NEAR(run(0.6), 0.6, 0.2);
}

TEST(GuestModel, does_not_take_a_quiet_spell_that_nobody_made_for_a_brake) {
    Feed feed;
    const auto linear = [](double x) { return 40e6 * x; };
    feed.pass(20, 16, linear(16));
    feed.pass(2, 1.6, linear(1.6));
    // As much is dirtied by vCPUs that hardly run: of a braked guest that would be what the brake does not slow.
    for (int i = 0; i < 6; ++i) feed.pass(2, 0.4, linear(1.6));
    EXPECT_EQ(feed.model.outlook().unbraked_ratio, 0);
    EXPECT_EQ(feed.model.learned().unbraked_ratio, 0);
}

TEST(GuestModel, gives_up_an_old_level_within_three_rounds_of_a_change) {
    Feed feed;
    feed.pass(12, 12, saturating(12));
    for (int i = 0; i < 8; ++i) feed.pass(3, 3, saturating(3) / 4);
    for (int i = 0; i < 3; ++i) feed.pass(3, 3, saturating(3));
    EXPECT_NEAR(feed.model.belief().curve.bytes_in(3), saturating(3), 0.15 * saturating(3));
}

TEST(GuestModel, expects_phases_to_come_back_once_it_has_seen_them_alternate) {
    test::Chance chance(2);
    Feed calm;
    Feed phased;
    for (int i = 0; i < 24; ++i) {
        const double noise = std::exp(0.03 * chance.normal());
        calm.pass(2, 2, 100e6 * noise);
        phased.pass(2, 2, ((i / 6) % 2 == 0 ? 100e6 : 300e6) * noise);
    }
    EXPECT_LT(calm.model.outlook().round_sigma, 0.06);
    EXPECT_GT(phased.model.outlook().round_sigma, 0.3);
}

TEST(GuestModel, tells_scattered_rounds_from_steady_ones) {
    const auto sigma = [](double sd) {
        test::Chance chance(3);
        Feed feed;
        for (int i = 0; i < 40; ++i) feed.pass(1, 1, 100e6 * std::exp(sd * chance.normal()));
        return feed.model.outlook().round_sigma;
    };
    EXPECT_LT(sigma(0.01), 0.04);
    EXPECT_NEAR(sigma(0.1), 0.1, 0.05);
    EXPECT_GT(sigma(0.25), 0.17);
}

TEST(GuestModel, takes_bandwidth_as_measured_else_as_given_else_as_remembered) {
    GuestMemory remembered;
    remembered.bandwidth_bytes_per_second = {80e6, 90e6, 100e6};
    GuestModel model{memory, remembered};
    EXPECT_NEAR(model.outlook().bandwidth_bytes_per_second.p50, 90e6, 1);
    EXPECT_LT(model.outlook().bandwidth_bytes_per_second.p10, 80e6);
    model.expect_bandwidth({50'000'000});
    EXPECT_NEAR(model.outlook().bandwidth_bytes_per_second.p50, 50e6, 1);
    for (int i = 0; i < 10; ++i) model.add_stream(at_s(1 + 0.05 * i), bytes(2e6 * i), true);
    EXPECT_NEAR(model.outlook().bandwidth_bytes_per_second.p50, 40e6, 1e3);
    EXPECT_NEAR(model.learned().bandwidth_bytes_per_second.p50, 40e6, 1e3);
}

TEST(GuestModel, charges_a_pass_what_it_took_beside_its_bytes) {
    Feed feed;
    for (int i = 0; i <= 20; ++i) feed.model.add_stream(at_s(40 + 0.05 * i), bytes(2 * link * 0.05 * i), true);
    // The stream makes 200 MB/s, and passes send 100 MB a second of theirs: half of each is something else.
    for (int i = 0; i < 4; ++i) feed.pass(0.4, 0.4, 40e6);
    EXPECT_NEAR(to_seconds(feed.model.outlook().round_overhead), 0.2, 0.01);
}

TEST(GuestModel, starts_the_next_move_with_what_this_one_taught) {
    Feed feed;
    feed.pass(12, 6, saturating(6));
    feed.pass(3, 1.5, saturating(1.5));
    feed.pass(2.4, 1.2, saturating(1.2));
    feed.pass(1, 0.5, saturating(0.5));
    const auto learned = feed.model.learned();
    EXPECT_LE(learned.curve.size(), 12U);
    const GuestModel next{memory, learned};
    const auto outlook = next.outlook();
    for (const double x : {0.5, 1.2, 3.0, 6.0}) {
        EXPECT_NEAR(outlook.curve.bytes_in(x), saturating(x), 0.12 * saturating(x)) << x;
    }
    EXPECT_NEAR(outlook.busy.ratio, 0.5, 0.01);
    EXPECT_EQ(outlook.first_pass, bytes(12 * link));
    EXPECT_GT(outlook.first_pass_sigma, 0);
    EXPECT_EQ(outlook.passes_seen, 0);
    // A move that taught nothing takes nothing away.
    EXPECT_EQ(next.learned().busy, learned.busy);
    EXPECT_EQ(next.learned().first_pass, learned.first_pass);
}

TEST(GuestModel, believes_this_move_more_than_what_is_remembered) {
    GuestMemory remembered;
    for (const double x : {0.5, 1.0, 3.0, 6.0}) {
        remembered.curve.push_back({x, saturating(x) / 5, 0.1, CurveEvidence::remembered, 0});
    }
    Feed feed(remembered);
    feed.pass(6, 6, saturating(6));
    feed.pass(3, 3, saturating(3));
    EXPECT_NEAR(feed.model.belief().curve.bytes_in(3), saturating(3), 0.15 * saturating(3));
}

RC_GTEST_PROP(GuestModel, fed_with_anything_has_an_outlook_of_finite_numbers_and_the_same_twice, ()) {
    GuestModel one{memory};
    GuestModel two{memory};
    const auto steps = *rc::gen::inRange(1, 60);
    const auto number = rc::gen::element<std::int64_t>(0, 1, -5, 4096, 1'000'000'000, 4'000'000'000'000'000);
    const auto share = rc::gen::element(0.0, 0.05, 0.5, 1.0);
    for (int i = 0; i < steps; ++i) {
        const auto kind = *rc::gen::inRange(0, 4);
        const Duration a{*number};
        const Bytes b{*number};
        const Bytes c{*number};
        const Share s{*share};
        const Instant at{milliseconds{100 * i} + a / 1000};
        for (auto* model : {&one, &two}) {
            if (kind == 0) model->add_sample({a, b, c.count});
            if (kind == 1) model->add_run_time(at, a, s);
            if (kind == 2) model->add_sync({i, at, b, c, {}, s, c});
            if (kind == 3) model->expect_first_pass(b, s.ratio);
        }
    }
    const auto seen = one.outlook();
    const auto again = two.outlook();
    RC_ASSERT(seen.curve == again.curve && seen.level_sigma == again.level_sigma);
    RC_ASSERT(seen.round_sigma == again.round_sigma && seen.first_pass == again.first_pass);
    for (const double value : seen.curve.table()) RC_ASSERT(std::isfinite(value) && value <= 2.0001e9);
    RC_ASSERT(seen.level_sigma >= 0 && seen.level_sigma <= 3);
    for (const double sigma : seen.curve_sigma) RC_ASSERT(sigma >= 0 && sigma <= 3);
    RC_ASSERT(seen.round_sigma >= 0.01 && seen.round_sigma <= 1);
    RC_ASSERT(seen.round_phi >= 0 && seen.round_phi < 1);
    RC_ASSERT(seen.busy.ratio >= 0 && seen.busy.ratio <= 1);
    RC_ASSERT(seen.unbraked_ratio >= 0 && seen.unbraked_ratio <= 1);
    RC_ASSERT(seen.first_pass.count > 0 && seen.first_pass.count <= 2'004'000'000);
    RC_ASSERT(one.learned() == two.learned());
}

TEST(GuestModel, learns_a_sync_and_gives_an_outlook_in_a_millisecond_or_three_under_load) {
    Feed feed;
    test::Chance chance(4);
    double best_ms = 1e9;
    for (int i = 0; i < 60; ++i) {
        const double x = chance.log_uniform(0.1, 5);
        const auto begin = std::chrono::steady_clock::now();
        feed.pass(x, x, saturating(x));
        EXPECT_GT(feed.model.outlook().round_sigma, 0);
        const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
        if (i >= 40) best_ms = std::min(best_ms, took.count());
    }
    std::printf("a sync and its outlook take %.3f ms\n", best_ms);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(best_ms, 3.0);
#endif
}

TEST(GuestModel, forecasts_a_guest_that_runs_longer_for_the_same_dirt_under_tracking) {
    // Dirties by the clock: 60 MB/s, busy 6 % of the time before the move and 7.2 % of it while QEMU tracks.
    GuestModel model(memory);
    double ran_s = 0;
    const auto run = [&](double from_s, double to_s, double busy) {
        for (double s = from_s; s < to_s - 1e-9; s += 0.1) {
            model.add_run_time(at_s(s), from_seconds(ran_s), all_of_it);
            ran_s += 0.1 * busy;
        }
        model.add_run_time(at_s(to_s), from_seconds(ran_s), all_of_it);
    };
    run(0, 1.1, 0.06);
    model.add_sample({milliseconds{100}, bytes(6e6), 8192, {0}, from_seconds(0.1 * 0.06)});
    model.add_sample({seconds{1}, bytes(60e6), 8192, {0}, from_seconds(0.06)});
    model.add_sync({1, at_s(1.1), memory, {}, {}, all_of_it, {}});
    run(1.1, 3.1, 0.072);
    model.add_sync({2, at_s(3.1), bytes(120e6), {}, {}, all_of_it, bytes(200e6)});
    const auto outlook = model.outlook();
    EXPECT_NEAR(outlook.curve.bytes_in(outlook.busy.ratio * 0.5), 30e6, 1.5e6) << "half a second of the clock";
    EXPECT_NEAR(to_seconds(model.last_work()), 2 * 0.06, 0.002);
}

}  // namespace
}  // namespace segue

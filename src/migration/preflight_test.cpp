#include "migration/preflight.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

GuestFacts good_src() {
    GuestFacts facts;
    facts.version = "10.0.13";
    facts.run_state = RunState::running;
    facts.run_state_word = "running";
    facts.machine_type = "pc-i440fx-10.0";
    facts.cpu_type = "qemu64-x86_64-cpu";
    facts.vcpus = 1;
    facts.memory = mebibytes(128);
    facts.devices = {{"00:01.0", "8086:7010"}};
    facts.out_of_band = true;
    facts.pid = 10;
    return facts;
}

GuestFacts good_dst() {
    GuestFacts facts = good_src();
    facts.run_state = RunState::inmigrate;
    facts.run_state_word = "inmigrate";
    facts.pid = 11;
    return facts;
}

/// One finding, with these words in it.
void expect_one(const std::vector<Finding>& findings, const std::string& words) {
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_NE(findings[0].what.find(words), std::string::npos) << findings[0].what;
    EXPECT_FALSE(findings[0].remedy.empty());
}

std::vector<Finding> findings_of(const GuestFacts& src, const GuestFacts& dst) {
    return preflight(src, dst, {}).findings;
}

TEST(OwnBrake, is_checked_on_both_sides_and_only_where_asked_for) {
    Request request;
    EXPECT_TRUE(preflight(good_src(), good_dst(), request).findings.empty());
    request.brake = BrakeKind::auto_converge;
    const auto findings = preflight(good_src(), good_dst(), request).findings;
    ASSERT_EQ(findings.size(), 2U);
    EXPECT_NE(findings[0].what.find("source"), std::string::npos);
    EXPECT_NE(findings[1].what.find("destination"), std::string::npos);
    GuestFacts able = good_src();
    able.auto_converge = true;
    expect_one(preflight(able, good_dst(), request).findings, "destination: QEMU 10.0.13 has no");
    GuestFacts able_there = good_dst();
    able_there.auto_converge = true;
    EXPECT_TRUE(preflight(able, able_there, request).findings.empty());
}

TEST(OwnBrake, never_goes_below_min_cpu_and_never_stalls_longer_than_max_stall) {
    Bounds bounds;
    bounds.min_cpu = {0.2};
    bounds.max_stall = std::chrono::milliseconds{150};
    EXPECT_EQ(own_brake_floor(bounds), Share{0.2});
    bounds.min_cpu = {0.01};
    // 10 ms of running between two sleeps of 150 ms.
    EXPECT_NEAR(own_brake_floor(bounds).ratio, 0.0625, 1e-9);
}

TEST(Preflight, finds_nothing_in_two_twins) {
    EXPECT_TRUE(findings_of(good_src(), good_dst()).empty());
}

TEST(Preflight, names_the_side_and_the_remedy_of_each_wrong_thing) {
    struct Case {
        void (*spoil)(GuestFacts& src, GuestFacts& dst);
        const char* words;
    };
    const Case cases[] = {
        {[](GuestFacts& s, GuestFacts&) {
             s.run_state = RunState::paused;
             s.run_state_word = "paused";
         },
         "paused"},
        {[](GuestFacts& s, GuestFacts&) { s.migration = MigrationStatus::active; }, "under way already"},
        {[](GuestFacts& s, GuestFacts&) { s.missing_features = {"return-path"}; }, "return-path"},
        {[](GuestFacts& s, GuestFacts&) { s.out_of_band = false; }, "out-of-band"},
        {[](GuestFacts& s, GuestFacts&) { s.blockers = {"9p in use"}; }, "9p in use"},
        {[](GuestFacts&, GuestFacts& d) { d.run_state = RunState::running; }, "destination: its guest is running"},
        {[](GuestFacts&, GuestFacts& d) {
             d.run_state = RunState::paused;
             d.run_state_word = "paused";
         },
         "does not wait"},
        {[](GuestFacts&, GuestFacts& d) { d.migration = MigrationStatus::setup; }, "listens"},
        {[](GuestFacts&, GuestFacts& d) { d.missing_features = {"events"}; }, "destination: QEMU"},
        {[](GuestFacts&, GuestFacts& d) { d.pid = 0; }, "cannot be seen"},
        {[](GuestFacts& s, GuestFacts& d) { d.pid = s.pid; }, "same QEMU"},
        {[](GuestFacts&, GuestFacts& d) { d.machine_type = "pc-i440fx-7.2"; }, "pc-i440fx-7.2 on the destination"},
        {[](GuestFacts&, GuestFacts& d) { d.cpu_type = "max-x86_64-cpu"; }, "CPU model differs"},
        {[](GuestFacts&, GuestFacts& d) { d.cpu_features = "other"; }, "CPU features differ"},
        {[](GuestFacts&, GuestFacts& d) { d.vcpus = 2; }, "vCPUs"},
        {[](GuestFacts&, GuestFacts& d) { d.memory = mebibytes(256); }, "memory differs"},
        {[](GuestFacts&, GuestFacts& d) { d.devices.clear(); }, "destination lacks 8086:7010"},
        {[](GuestFacts& s, GuestFacts&) { s.devices.clear(); }, "source lacks 8086:7010"},
    };
    for (const auto& wrong : cases) {
        auto src = good_src();
        auto dst = good_dst();
        wrong.spoil(src, dst);
        SCOPED_TRACE(wrong.words);
        expect_one(findings_of(src, dst), wrong.words);
        EXPECT_NE(findings_of(src, dst)[0].code, "other");
    }
}

TEST(Preflight, tells_everything_in_one_go) {
    auto src = good_src();
    auto dst = good_dst();
    src.run_state = RunState::paused;
    dst.vcpus = 4;
    dst.memory = mebibytes(64);
    EXPECT_EQ(findings_of(src, dst).size(), 3U);
}

TEST(Preflight, refuses_memory_that_is_not_there_and_lets_the_operator_take_what_may_come_to_lack) {
    auto src = good_src();
    auto dst = good_dst();
    src.resident = mebibytes(100);
    dst.host.memory_available = mebibytes(128);
    EXPECT_TRUE(findings_of(src, dst).empty());
    dst.host.memory_available = mebibytes(110);
    expect_one(findings_of(src, dst), "it may come to use");
    Request request;
    request.unsafe = true;
    const auto taken = preflight(src, dst, request);
    EXPECT_TRUE(taken.findings.empty());
    expect_one(taken.notes, "it may come to use");
    dst.host.memory_available = mebibytes(90);
    expect_one(preflight(src, dst, request).findings, "it uses");
    EXPECT_EQ(preflight(src, dst, request).findings[0].code, "memory-free");
    dst.host.memory_taken = mebibytes(120);  // Huge pages, or memory given at the start.
    EXPECT_TRUE(findings_of(src, dst).empty());
    dst.host = {};  // An older segue.
    EXPECT_TRUE(findings_of(src, dst).empty());
}

TEST(Preflight, leaves_to_others_on_their_way_there_what_they_still_need) {
    auto src = good_src();
    auto dst = good_dst();
    src.resident = mebibytes(100);
    dst.host.memory_available = mebibytes(200);
    dst.host.memory_promised = mebibytes(60);
    EXPECT_TRUE(findings_of(src, dst).empty());
    dst.host.memory_promised = mebibytes(80);
    expect_one(findings_of(src, dst), "120 MiB of memory are free for this guest beside the 80 MiB that other guests");
    dst.host.memory_promised = mebibytes(500);  // More than there is: something must wait.
    Request request;
    request.unsafe = true;
    expect_one(preflight(src, dst, request).findings, "it uses 100 MiB now");
}

TEST(Preflight, names_the_features_that_a_side_lacks_and_how_to_do_without_what_cannot_be_had) {
    auto src = good_src();
    auto dst = good_dst();
    src.cpu_features = "1.ECX=201 7:0.EBX=30020 family=6";
    dst.cpu_features = "1.ECX=200201 7:0.EBX=20 family=6";
    expect_one(findings_of(src, dst), "the destination lacks avx512f, avx512dq; the source lacks x2apic");
    EXPECT_EQ(findings_of(src, dst)[0].remedy, "name the same -cpu model and flags on both");
    dst.cpu_unavailable = {"avx512f", "pku"};
    expect_one(findings_of(src, dst), "QEMU 10.0.13 there was asked for avx512f and cannot give it");
    EXPECT_NE(findings_of(src, dst)[0].remedy.find("-cpu ...,-avx512f "), std::string::npos);
    dst.cpu_features = "1.ECX=ffffffff 1.EDX=ffffffff 7:0.EBX=30020 family=15";
    expect_one(findings_of(src, dst), " more; family 6 on the source and 15 on the destination");
}

TEST(Preflight, tells_what_the_other_host_says_is_in_the_way_with_its_own_code) {
    auto dst = good_dst();
    dst.host.obstacles = {{"data-port", "port 5000 is taken", "give another"}};
    const auto findings = findings_of(good_src(), dst);
    expect_one(findings, "destination: port 5000 is taken");
    EXPECT_EQ(findings[0].code, "data-port");
}

TEST(Preflight, tells_what_is_wrong_with_the_source_where_no_destination_could_be_started) {
    const std::vector<Obstacle> obstacles{{"network-tap", "no tap", "make it"}, {"data-port", "taken", "another"}};
    EXPECT_EQ(preflight_without_dst(good_src(), obstacles).size(), 2U);
    EXPECT_EQ(preflight_without_dst(std::nullopt, obstacles).size(), 2U);
    auto src = good_src();
    src.blockers = {"a device"};
    const auto findings = preflight_without_dst(src, obstacles);
    ASSERT_EQ(findings.size(), 3U);
    EXPECT_EQ(findings[0].code, "blocked");
    EXPECT_EQ(findings[1].code, "network-tap");
    EXPECT_EQ(findings[2].what, "destination: taken");
}

TEST(Preflight, refuses_a_guest_that_would_reach_nobody_unless_that_is_wanted) {
    auto src = good_src();
    auto dst = good_dst();
    src.host.taps = {{"tap0", "br0", true}, {"tap1", "", false}};
    dst.host.taps = {{"tap3", "lan", true}, {"tap4", "", false}};
    EXPECT_TRUE(findings_of(src, dst).empty());  // As many of them carry there as here.
    dst.host.taps[0].carries = false;
    const auto findings = findings_of(src, dst);
    ASSERT_EQ(findings.size(), 2U);
    EXPECT_NE(findings[0].what.find("tap3, by which the guest would reach its network, is joined to lan, and one of"),
              std::string::npos) << findings[0].what;
    EXPECT_NE(findings[1].what.find("is joined to nothing (tap0 of the source is joined to br0)"), std::string::npos);
    EXPECT_EQ(findings[0].code, "network-unjoined");
    Request request;
    request.unsafe = true;
    EXPECT_TRUE(preflight(src, dst, request).findings.empty());
    EXPECT_EQ(preflight(src, dst, request).notes.size(), 2U);
    dst.host.taps.clear();  // An older segue.
    EXPECT_TRUE(findings_of(src, dst).empty());
    dst.host.taps = {{"tap3", "", false}};
    src.host.taps = {{"tap0", "", false}};  // Routed, perhaps: nothing is known.
    EXPECT_TRUE(findings_of(src, dst).empty());
}

TEST(Preflight, notes_clocks_that_disagree_and_moves_all_the_same) {
    for (const auto ahead : {std::chrono::seconds{90}, std::chrono::seconds{-90}}) {
        const auto found = preflight(good_src(), good_dst(), {}, ahead);
        EXPECT_TRUE(found.findings.empty());
        expect_one(found.notes, ahead.count() > 0 ? "ahead of" : "behind");
    }
    EXPECT_TRUE(preflight(good_src(), good_dst(), {}, std::chrono::milliseconds{900}).notes.empty());
}

TEST(Preflight, tells_of_disks_together_with_all_else) {
    auto src = good_src();
    auto dst = good_dst();
    src.host.boot = "one";
    dst.host.boot = "other";
    src.disks_known = dst.disks_known = true;
    Disk disk{"disk0", "/srv/a.raw", true, false, false, true, false, {}};
    disk.storage = {true, false, "8:1", "12", {4096}, "nfs4", "filer:/vms", ""};
    src.disks = dst.disks = {disk};
    dst.vcpus = 4;
    const auto found = preflight(src, dst, {});
    ASSERT_EQ(found.findings.size(), 2U);
    EXPECT_EQ(found.findings[0].code, "vcpus");
    EXPECT_EQ(found.findings[1].code, "disk-cache");
    ASSERT_EQ(found.disks.size(), 1U);
    EXPECT_EQ(found.disks[0].shared, Shared::yes);
    dst.disks[0].storage.inode = "13";
    EXPECT_EQ(preflight(src, dst, {}).findings[0].code, "disk-not-shared");
}

TEST(CheckBounds, refuses_a_downtime_below_the_costs_and_names_the_least) {
    Request request;
    request.bounds.max_downtime = std::chrono::milliseconds{80};
    expect_one(check_bounds(request, std::chrono::milliseconds{30}, {}), "--max-downtime 80 ms cannot hold");
    request.bounds.max_downtime = std::chrono::milliseconds{86};
    EXPECT_TRUE(check_bounds(request, std::chrono::milliseconds{30}, {}).empty());
}

TEST(CheckBounds, refuses_a_flush_that_eats_the_downtime) {
    Request request;
    request.bounds.max_downtime = std::chrono::milliseconds{500};
    EXPECT_FALSE(check_bounds(request, std::chrono::milliseconds{30}, std::chrono::seconds{2}).empty());
}

}  // namespace
}  // namespace segue

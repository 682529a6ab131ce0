// When a share that was set with go counts as one that does not work.
#include <gtest/gtest.h>

#include <utility>

#include "policy/converge/watch.hpp"

namespace segue::converge {
namespace {

constexpr double mib = 1024 * 1024;
constexpr double floor_share = 0.05;

/// 200 MiB hot at 550 MiB/s on 100 MB/s; budgets of 16 to 20 MB.
Ground hot_ground() {
    Outlook outlook;
    outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(550));
    outlook.busy = all_of_it;
    outlook.memory = mebibytes(512);
    outlook.costs = prior_fixed_costs;
    const BrakeRange brake{{floor_share, 0.1, 0.2, 1.0}, {0.04, 0.02, 0.01, 0}};
    return ground_of(outlook, brake, {20e6, 20e6}, 1e8, 1e8, 6);
}

class WatchOnOneShare {
public:
    WatchOnOneShare(double share, double backlog, double expected_s) : share_(share) {
        watch_.set(0, backlog, expected_s);
    }
    void sees(double now_s, double backlog) { watch_.heed(ground_, now_s, backlog, share_); }
    /// A sync every 0.2 s, up to and with the last moment.
    void sees_all_along(double from_s, double to_s, double backlog) {
        for (double at_s = from_s; at_s < to_s + 0.01; at_s += 0.2) sees(at_s, backlog);
    }
    [[nodiscard]] bool failed() const { return watch_.failed(ground_, share_); }
    [[nodiscard]] double most() { return watch_.most_share(ground_, share_); }
    [[nodiscard]] double held_s() const { return watch_.held_s(); }

private:
    Ground ground_ = hot_ground();
    Watch watch_;
    double share_;
};

TEST(Watch, fails_what_stands_still_for_5_s_however_long_the_way_there_was_expected_to_be) {
    WatchOnOneShare watch(floor_share, 2000 * mib, 60);
    watch.sees(20, 30 * mib);
    watch.sees_all_along(20.2, 24.8, 29 * mib);
    EXPECT_FALSE(watch.failed());
    watch.sees_all_along(25, 25.2, 29 * mib);
    EXPECT_TRUE(watch.failed());
}

TEST(Watch, stands_still_until_it_has_fallen_by_a_twentieth) {
    for (const auto& [part, failed] : {std::pair{0.96, true}, {0.94, false}}) {
        WatchOnOneShare watch(floor_share, 2000 * mib, 60);
        watch.sees_all_along(20, 23, 30 * mib);
        watch.sees_all_along(23.2, 25.4, part * 30 * mib);
        EXPECT_EQ(watch.failed(), failed) << part;
    }
}

TEST(Watch, takes_five_syncs_for_it) {
    for (const int syncs : {4, 5}) {
        // Rounds of 1.5 s, which sending 90 MiB and half a second more allow for.
        WatchOnOneShare watch(floor_share, 90 * mib, 0.6);
        for (int i = 0; i < syncs; ++i) watch.sees(0.1 + 1.5 * i, 90 * mib);
        EXPECT_EQ(watch.failed(), syncs == 5);
    }
}

TEST(Watch, counts_of_a_round_only_what_sending_it_may_take_since_a_silent_link_holds_nobody) {
    WatchOnOneShare watch(floor_share, 30 * mib, 0.2);
    watch.sees_all_along(0.2, 1, 30 * mib);
    watch.sees(20, 30 * mib);
    EXPECT_LT(watch.held_s(), 2.5);
    EXPECT_FALSE(watch.failed());
    watch.sees_all_along(20.2, 23.4, 30 * mib);
    EXPECT_TRUE(watch.failed());
}

TEST(Watch, begins_anew_where_the_backlog_has_doubled_and_then_allows_for_what_that_takes) {
    for (const auto& [times, failed] : {std::pair{1.9, true}, {2.1, false}}) {
        WatchOnOneShare watch(floor_share, 30 * mib, 0.1);
        watch.sees_all_along(0.2, 3, 30 * mib);
        watch.sees_all_along(3.2, 5.6, times * 30 * mib);
        EXPECT_EQ(watch.failed(), failed) << times;
    }
}

TEST(Watch, gives_what_falls_all_along_ten_times_its_time_and_no_more) {
    WatchOnOneShare watch(floor_share, 200 * mib, 2);
    double backlog = 200 * mib;
    double at_s = 2;
    for (; at_s < 19; at_s += 2) {
        watch.sees(at_s, backlog);
        EXPECT_FALSE(watch.failed()) << at_s;
        backlog *= 0.9;
    }
    watch.sees(at_s, backlog);
    watch.sees(at_s + 1, 0.9 * backlog);
    EXPECT_TRUE(watch.failed());
}

TEST(Watch, waits_out_a_phase_of_a_twentieth_of_the_time_since_go_also_where_the_share_was_lowered) {
    WatchOnOneShare watch(floor_share, 40'000 * mib, 400);
    watch.sees_all_along(400, 415, 30 * mib);
    EXPECT_FALSE(watch.failed());
    watch.sees_all_along(415.2, 424, 30 * mib);
    EXPECT_TRUE(watch.failed());

    const auto ground = hot_ground();
    Watch lowered;
    lowered.set(0, 40'000 * mib, 400);
    lowered.heed(ground, 400, 90 * mib, 0.2);
    lowered.set(400, 90 * mib, 0.3);
    for (int i = 1; i <= 90; ++i) lowered.heed(ground, 400 + 0.2 * i, 90 * mib, floor_share);
    EXPECT_FALSE(lowered.failed(ground, floor_share)) << "18 s of 418";
    for (int i = 91; i <= 120; ++i) lowered.heed(ground, 400 + 0.2 * i, 90 * mib, floor_share);
    EXPECT_TRUE(lowered.failed(ground, floor_share));
}

TEST(Watch, excuses_what_fits_for_as_long_as_a_look_may_take) {
    WatchOnOneShare higher(0.2, 10 * mib, 0.1);
    higher.sees_all_along(0.2, 1, 10 * mib);
    EXPECT_EQ(higher.most(), 1.0);
    higher.sees_all_along(1.2, 2, 10 * mib);
    EXPECT_DOUBLE_EQ(higher.most(), 0.15) << "QEMU allows less than is believed";
    WatchOnOneShare lowest(floor_share, 30 * mib, 0.1);
    lowest.sees_all_along(0.2, 5.8, 30 * mib);
    lowest.sees(6, 10 * mib);
    EXPECT_FALSE(lowest.failed());
    lowest.sees_all_along(6.2, 8, 10 * mib);
    EXPECT_TRUE(lowest.failed());
}

TEST(Watch, lowers_a_share_that_stands_still_or_is_late) {
    WatchOnOneShare stands(0.2, 2000 * mib, 60);
    stands.sees(20, 90 * mib);
    stands.sees_all_along(20.2, 21, 90 * mib);
    EXPECT_EQ(stands.most(), 1.0) << "five syncs, but no time";
    stands.sees_all_along(21.2, 26, 90 * mib);
    EXPECT_DOUBLE_EQ(stands.most(), 0.15);
    WatchOnOneShare late(0.2, 200 * mib, 2);
    late.sees(4.4, 90 * mib);
    EXPECT_EQ(late.most(), 1.0);
    late.sees(4.6, 60 * mib);
    EXPECT_DOUBLE_EQ(late.most(), 0.15);
}

TEST(Watch, gives_a_guest_that_nobody_holds_its_ten_times) {
    auto ground = hot_ground();
    ground.settings = {ground.unbraked_setting()};
    Watch watch;
    watch.set(0, 30 * mib, 3);
    for (int i = 1; i <= 140; ++i) watch.heed(ground, 0.2 * i, 30 * mib, 1);
    EXPECT_FALSE(watch.failed(ground, 1)) << "28 s";
    for (int i = 141; i <= 160; ++i) watch.heed(ground, 0.2 * i, 30 * mib, 1);
    EXPECT_TRUE(watch.failed(ground, 1));
}

}  // namespace
}  // namespace segue::converge

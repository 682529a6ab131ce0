// When a share that was set with go counts as one that does not work.
#include <gtest/gtest.h>

#include "policy/converge/steer.hpp"

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
    return ground_of(outlook, brake, 20e6, 1e8, 1e8, 6);
}

class WatchOnOneShare {
public:
    WatchOnOneShare(double share, double expected_s) : share_(share) { watch_.set(0, expected_s); }
    void sees(double now_s, double backlog) { watch_.heed(now_s, backlog, setting_of(ground_, share_)); }
    /// A sync every 0.2 s, up to and with the last moment.
    void sees_all_along(double from_s, double to_s, double backlog) {
        for (double at_s = from_s; at_s < to_s + 0.01; at_s += 0.2) sees(at_s, backlog);
    }
    [[nodiscard]] bool failed(double now_s) const { return watch_.failed(ground_, now_s, share_); }
    [[nodiscard]] double most(double now_s) { return watch_.most_share(ground_, now_s, share_); }

private:
    Ground ground_ = hot_ground();
    Watch watch_;
    double share_;
};

TEST(Watch, fails_what_stands_still_for_5_s_however_long_the_way_there_was_expected_to_be) {
    WatchOnOneShare watch(floor_share, 60);
    watch.sees(20, 30 * mib);
    watch.sees_all_along(20.2, 24.8, 29 * mib);
    EXPECT_FALSE(watch.failed(24.8));
    watch.sees_all_along(25, 25.2, 29 * mib);
    EXPECT_TRUE(watch.failed(25.2));
}

TEST(Watch, fails_nothing_because_one_sync_came_late) {
    WatchOnOneShare watch(floor_share, 60);
    watch.sees_all_along(20, 20.6, 30 * mib);
    watch.sees(29, 30 * mib);
    EXPECT_TRUE(watch.failed(29)) << "the fifth sync";
    WatchOnOneShare silent(floor_share, 60);
    silent.sees(20, 30 * mib);
    silent.sees(29, 30 * mib);
    EXPECT_FALSE(silent.failed(29));
}

TEST(Watch, begins_anew_where_the_backlog_has_doubled_as_after_a_silence_that_lifted_the_brake) {
    WatchOnOneShare watch(floor_share, 60);
    watch.sees_all_along(20, 21, 30 * mib);
    watch.sees(30, 200 * mib);
    watch.sees_all_along(32, 33, 100 * mib);
    watch.sees_all_along(33.2, 37, 40 * mib);
    EXPECT_FALSE(watch.failed(37));
}

TEST(Watch, fails_nothing_that_falls_by_a_tenth_every_6_s_before_its_time_is_over) {
    WatchOnOneShare watch(floor_share, 60);
    double backlog = 200 * mib;
    for (double at_s = 6; at_s < 100; at_s += 6) {
        watch.sees(at_s, backlog);
        EXPECT_FALSE(watch.failed(at_s)) << at_s;
        backlog *= 0.9;
    }
    watch.sees(601, 190 * mib);
    EXPECT_TRUE(watch.failed(601)) << "ten times what was expected";
}

TEST(Watch, waits_out_a_phase_of_a_twentieth_of_the_time_that_the_guest_was_held) {
    WatchOnOneShare watch(floor_share, 400);
    watch.sees_all_along(400, 415, 30 * mib);
    EXPECT_FALSE(watch.failed(415));
    watch.sees_all_along(415.2, 424, 30 * mib);
    EXPECT_TRUE(watch.failed(424));
}

TEST(Watch, neither_fails_nor_lowers_what_fits_and_only_has_not_been_looked_at) {
    WatchOnOneShare lowest(floor_share, 0.1);
    lowest.sees_all_along(0.2, 30, 10 * mib);
    EXPECT_FALSE(lowest.failed(30));
    WatchOnOneShare higher(0.2, 0.1);
    higher.sees_all_along(0.2, 30, 10 * mib);
    EXPECT_EQ(higher.most(30), 1.0);
}

TEST(Watch, lowers_a_share_that_stands_still_or_is_late) {
    WatchOnOneShare stands(0.2, 60);
    stands.sees(20, 90 * mib);
    stands.sees_all_along(20.2, 21, 90 * mib);
    EXPECT_EQ(stands.most(21), 1.0) << "five syncs, but no time";
    stands.sees_all_along(21.2, 26, 90 * mib);
    EXPECT_DOUBLE_EQ(stands.most(26), 0.15);
    WatchOnOneShare late(0.2, 2);
    late.sees(4.4, 90 * mib);
    EXPECT_EQ(late.most(4.4), 1.0);
    late.sees(4.6, 60 * mib);
    EXPECT_DOUBLE_EQ(late.most(4.6), 0.15);
}

}  // namespace
}  // namespace segue::converge

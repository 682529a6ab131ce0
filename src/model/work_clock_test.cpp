// Work between two instants, and how busy a guest is, against one whose work is known.
#include "model/work_clock.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Instant at_ms(std::int64_t ms) {
    return {milliseconds{ms}};
}

/// A guest busy for `busy` of its time, read every 100 ms for so long, under a brake.
void feed(WorkClock& clock, std::int64_t from_ms, std::int64_t to_ms, double& worked_ms, double busy, double share) {
    for (std::int64_t ms = from_ms; ms <= to_ms; ms += 100) {
        clock.add(at_ms(ms), from_seconds(worked_ms / 1e3), {share});
        if (ms < to_ms) worked_ms += 100 * std::min(busy, share);
    }
}

TEST(WorkClock, knows_nothing_from_one_reading) {
    WorkClock clock;
    clock.add(at_ms(100), milliseconds{5}, all_of_it);
    EXPECT_FALSE(clock.between(at_ms(100), at_ms(200)));
    EXPECT_FALSE(clock.measured_share());
    EXPECT_FALSE(clock.busy_measured());
    EXPECT_EQ(clock.busy(), all_of_it);
}

TEST(WorkClock, gives_work_between_any_two_instants) {
    WorkClock clock;
    double worked = 0;
    feed(clock, 0, 5000, worked, 0.4, 1);
    EXPECT_NEAR(to_seconds(*clock.between(at_ms(1030), at_ms(3370))), 0.4 * 2.34, 1e-6);
    EXPECT_EQ(clock.between(at_ms(3000), at_ms(3000)), Duration{0});
    EXPECT_NEAR(to_seconds(*clock.between(at_ms(4900), at_ms(5300))), 0.4 * 0.4, 1e-6);
    EXPECT_FALSE(clock.between(at_ms(4000), at_ms(6000)));
    EXPECT_FALSE(clock.between(at_ms(4000), at_ms(3000)));
}

TEST(WorkClock, learns_busy_only_while_nobody_brakes) {
    WorkClock clock;
    double worked = 0;
    feed(clock, 0, 10'000, worked, 0.6, 1);
    feed(clock, 10'100, 40'000, worked, 0.6, 0.1);
    EXPECT_NEAR(clock.busy().ratio, 0.6, 0.01);
    EXPECT_NEAR(clock.measured_share()->ratio, 0.1, 0.01);
}

TEST(WorkClock, follows_a_guest_that_becomes_busy) {
    WorkClock clock(0.9);
    double worked = 0;
    feed(clock, 0, 20'000, worked, 0.1, 1);
    EXPECT_NEAR(clock.busy().ratio, 0.1, 0.02);
    feed(clock, 20'100, 45'000, worked, 0.8, 1);
    EXPECT_NEAR(clock.busy().ratio, 0.8, 0.03);
}

TEST(WorkClock, takes_what_is_remembered_until_it_measures) {
    WorkClock clock(0.3);
    EXPECT_NEAR(clock.busy().ratio, 0.3, 1e-9);
}

TEST(WorkClock, remembers_a_pass_of_hours_with_few_readings) {
    WorkClock clock;
    double worked = 0;
    feed(clock, 0, 3'600'000, worked, 0.5, 1);
    EXPECT_NEAR(to_seconds(*clock.between(at_ms(60'000), at_ms(3'599'950))), 0.5 * 3539.95, 0.1);
}

/// Before and under dirty tracking, unbraked; tracked from 2 s on, for so long.
WorkClock tracked(double busy_before, double busy_since, std::int64_t for_ms = 4000) {
    WorkClock clock;
    double worked = 0;
    feed(clock, 0, 2000, worked, busy_before, 1);
    clock.tracking_begins(at_ms(2000));
    feed(clock, 2000, 2000 + for_ms, worked, busy_since, 1);
    return clock;
}

TEST(WorkClock, knows_what_tracking_costs_a_guest_that_does_the_same_as_before) {
    for (const std::int64_t for_ms : {500, 4000, 60'000}) {
        const auto clock = tracked(0.06, 0.07, for_ms);
        EXPECT_NEAR(clock.tracking_cost(), 7.0 / 6, 1e-6) << for_ms;
        EXPECT_NEAR(clock.busy().ratio, 0.07, 1e-6) << for_ms << ": as busy as it is now";
    }
    EXPECT_NEAR(to_seconds(*tracked(0.06, 0.07).between(at_ms(3000), at_ms(5000))), 2 * 0.07, 1e-6) << "run time";
}

TEST(WorkClock, takes_a_guest_that_does_something_else_now_for_what_it_is) {
    EXPECT_EQ(tracked(0.1, 0.3).tracking_cost(), 1) << "three times as busy";
    EXPECT_NEAR(tracked(0.1, 0.16).tracking_cost(), 1.2, 1e-6) << "beyond the most it is taken off again";
    EXPECT_EQ(tracked(0.3, 0.2).tracking_cost(), 1) << "tracking makes nothing cheaper";
    EXPECT_EQ(tracked(0.95, 0.97).tracking_cost(), 1) << "never idle: it would not show";
    EXPECT_EQ(tracked(0, 0.1).tracking_cost(), 1);
}

TEST(WorkClock, keeps_what_tracking_costs_when_the_guest_changes_later) {
    auto clock = tracked(0.06, 0.07, 8000);
    double worked = 2000 * 0.06 + 8000 * 0.07;
    feed(clock, 10'100, 30'000, worked, 0.5, 1);
    EXPECT_NEAR(clock.tracking_cost(), 7.0 / 6, 1e-6);
}

TEST(WorkClock, knows_no_cost_of_tracking_from_what_is_only_remembered) {
    WorkClock clock(0.06);
    double worked = 0;
    feed(clock, 0, 200, worked, 0.07, 1);
    clock.tracking_begins(at_ms(200));
    feed(clock, 200, 4000, worked, 0.08, 1);
    EXPECT_EQ(clock.tracking_cost(), 1);
}

TEST(WorkClock, knows_no_cost_of_tracking_before_it_has_seen_enough_of_it) {
    EXPECT_EQ(tracked(0.06, 0.08, 300).tracking_cost(), 1);
}

TEST(WorkClock, ignores_readings_that_go_backwards) {
    WorkClock clock;
    clock.add(at_ms(0), milliseconds{0}, all_of_it);
    clock.add(at_ms(100), milliseconds{100}, all_of_it);
    clock.add(at_ms(50), milliseconds{200}, all_of_it);
    clock.add(at_ms(200), milliseconds{50}, all_of_it);
    clock.add(at_ms(200), milliseconds{-50}, all_of_it);
    EXPECT_EQ(clock.between(at_ms(0), at_ms(100)), milliseconds{100});
    EXPECT_EQ(clock.busy(), all_of_it);
}

}  // namespace
}  // namespace segue

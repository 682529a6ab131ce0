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

#include "app/sim/study/auto_converge.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace segue::study {
namespace {

TEST(AutoConverge, throttles_at_the_second_bad_period_and_every_second_one_after) {
    AutoConverge rule({});
    std::vector<int> seen;
    for (int i = 1; i <= 20; ++i) {
        rule.synced(i * 2.0, 100, 100);
        seen.push_back(rule.throttle());
    }
    EXPECT_EQ(seen, (std::vector<int>{0, 20, 20, 30, 30, 40, 40, 50, 50, 60, 60, 70, 70, 80, 80, 90, 90, 99, 99, 99}));
}

TEST(AutoConverge, half_of_what_was_sent_is_not_yet_too_much) {
    AutoConverge rule({});
    for (int i = 1; i <= 10; ++i) rule.synced(i * 2.0, 50, 100);
    EXPECT_EQ(rule.throttle(), 0);
}

TEST(AutoConverge, a_good_period_does_not_count_back) {
    AutoConverge rule({});
    rule.synced(2, 100, 100);
    rule.synced(4, 0, 100);
    rule.synced(6, 100, 100);
    EXPECT_EQ(rule.throttle(), 20);
}

TEST(AutoConverge, periods_of_up_to_a_second_are_judged_together) {
    AutoConverge rule({});
    // 0.4, 0.8, 1.2: only the third ends a period, of 120 dirtied and 300 sent.
    for (int i = 1; i <= 3; ++i) rule.synced(i * 0.4, 40, 100);
    rule.synced(2.3, 60, 100);
    EXPECT_EQ(rule.throttle(), 0);
    rule.synced(3.4, 60, 100);
    EXPECT_EQ(rule.throttle(), 20);
}

TEST(AutoConverge, runs_ten_ms_and_then_sleeps) {
    AutoConvergeSettings at_once;
    at_once.initial = 80;
    AutoConverge rule(at_once);
    EXPECT_EQ(rule.stall_s(), 0);
    rule.synced(2, 100, 100);
    rule.synced(4, 100, 100);
    EXPECT_NEAR(rule.stall_s(), 0.040, 1e-9);
    EXPECT_NEAR(rule.share(), 0.2, 1e-9);
}

TEST(AutoConverge, the_sync_timer_runs_only_while_it_throttles) {
    AutoConvergeSettings newer;
    newer.sync_timer = true;
    AutoConverge rule(newer);
    rule.synced(2, 100, 100);
    EXPECT_FALSE(rule.sync_due_s().has_value());
    rule.synced(4, 100, 100);
    EXPECT_EQ(rule.sync_due_s(), 9.0);
}

}  // namespace
}  // namespace segue::study

#include "policy/converge/unforeseen.hpp"

#include <gtest/gtest.h>

namespace segue::converge {
namespace {

TEST(Unforeseen, WidensWhatSaysTooMuchAndLeavesWhatIsWideAlready) {
    const auto sure = unforeseen_before({10, 10, 10});
    EXPECT_NEAR(sure.p10, 9.3, 0.01);
    EXPECT_NEAR(sure.p90, 11.8, 0.01);
    EXPECT_EQ(sure.p50, 10);
    const auto wide = unforeseen_before({2, 10, 40});
    EXPECT_NEAR(wide.p10, 2, 0.1);
    EXPECT_NEAR(wide.p90, 40, 0.2);
}

TEST(Unforeseen, DoubtsUnderwayOnlyWhatIsStillToCome) {
    const auto nearly_done = unforeseen_underway({100, 100, 100}, 0.5);
    EXPECT_GT(nearly_done.p10, 99.8);
    EXPECT_LT(nearly_done.p90, 100.3);
    const auto half_way = unforeseen_underway({100, 100, 100}, 50);
    EXPECT_NEAR(half_way.p10, 90, 0.1);
    EXPECT_NEAR(half_way.p90, 110, 0.1);
    EXPECT_EQ(unforeseen_underway({40, 100, 100}, 50).p10, 50);
}

TEST(Unforeseen, NeverPromisesADowntimeBeyondTheBound) {
    EXPECT_EQ(unforeseen_downtime({0.1, 0.29, 0.3}, 0.3).p90, 0.3);
    EXPECT_EQ(unforeseen_downtime({0.1, 0.35, 0.3}, 0.3).p90, 0.35);
}

TEST(Unforeseen, LeavesMoreRoomBelowADowntimeThanAbove) {
    const auto sure = unforeseen_downtime({0.1, 0.1, 0.1}, 1);
    EXPECT_NEAR(sure.p10, 0.055, 0.001);
    EXPECT_NEAR(sure.p90, 0.130, 0.001);
}

}  // namespace
}  // namespace segue::converge

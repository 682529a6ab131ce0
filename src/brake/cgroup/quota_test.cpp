#include "brake/cgroup/quota.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

using std::chrono::milliseconds;

TEST(Quota, IsHalfAPointAboveTheShareAndNeverLess) {
    for (const bool burst : {true, false}) {
        for (int percent = 0; percent < 100; ++percent) {
            const Share share{percent / 100.0};
            const Quota quota = quota_for(share, burst);
            EXPECT_GE(quota.quota_us, quota_least_us);
            EXPECT_LE(quota.period_us, 1'000'000) << "the kernel's longest period";
            const double meant = std::min(share.ratio + share_margin, 1.0);
            EXPECT_GE(quota.ratio(), meant - 1e-9) << percent;
            EXPECT_LE(quota.ratio(), meant + 0.0005) << percent;
        }
    }
}

TEST(Quota, HasTheShortestPeriodThatTheKernelsLeastQuotaAllows) {
    EXPECT_EQ(quota_for(Share{0.05}, true), (Quota{1001, 18'182}));
    EXPECT_EQ(quota_for(Share{0.5}, true), (Quota{2525, 5000}));
    EXPECT_EQ(quota_for(Share{0.5}, false), (Quota{10'100, 20'000}));
}

TEST(StallForecast, IsWhatATickTakesTooMuchOrThePeriodAndTenMilliseconds) {
    const Duration tick = milliseconds{4};
    EXPECT_NEAR(to_seconds(stall_forecast(quota_for(Share{0.05}, true), tick)), 0.0787, 0.0005);
    EXPECT_NEAR(to_seconds(stall_forecast(quota_for(Share{0.9}, true), tick)), 0.0105, 0.0005);
    // A kernel at 1000 Hz: the period is what counts.
    EXPECT_NEAR(to_seconds(stall_forecast({1000, 10'000}, milliseconds{1})), 0.019, 0.0001);
}

TEST(BrakeSteps, RiseFromTheFloorToAllAndStallLessAndLess) {
    for (const double floor : {0.0, 0.01, 0.05, 0.1, 0.5, 0.9, 0.99}) {
        const auto steps = brake_steps(Share{floor}, true, milliseconds{4});
        EXPECT_EQ(steps.front().share, Share{floor});
        EXPECT_EQ(steps.back().share, all_of_it);
        EXPECT_EQ(steps.back().stall_worst, Duration{0});
        EXPECT_GE(steps.size(), 12U) << "ten between the floor and all of it";
        for (std::size_t at = 1; at < steps.size(); ++at) {
            EXPECT_LT(steps[at - 1].share, steps[at].share) << floor << " step " << at;
            EXPECT_GE(steps[at - 1].stall_worst, steps[at].stall_worst) << floor << " step " << at;
        }
    }
}

}  // namespace
}  // namespace segue

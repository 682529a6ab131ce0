#include "policy/converge/converge.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

View hot_guest() {
    View view;
    view.memory = mebibytes(512);
    view.bandwidth = mebibytes_per_second(100);
    view.budget = mebibytes(23);
    view.max_downtime = std::chrono::milliseconds{300};
    view.brake = {{0.05, 0.1, 0.2, 0.4, 0.7, 1.0}, {0.07, 0.046, 0.026, 0.016, 0.01, 0}};
    view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(550));
    view.outlook.busy = all_of_it;
    view.outlook.memory = view.memory;
    view.outlook.first_pass = view.memory;
    view.outlook.bandwidth_known = true;
    view.outlook.bandwidth_bytes_per_second = {100e6, 104e6, 106e6};
    view.outlook.costs = prior_fixed_costs;
    view.outlook.level_sigma = 0.1;
    view.passes = {{1, {}, mebibytes(512)}, {2, std::chrono::seconds{5}, mebibytes(200)}};
    view.elapsed = std::chrono::seconds{5};
    return view;
}

TEST(ConvergePolicy, brakes_and_goes_at_once_when_waiting_gains_nothing) {
    const auto decision = make_converge_policy()->decide(hot_guest());
    EXPECT_TRUE(std::holds_alternative<AllowSwitchover>(decision.action)) << decision.because;
    ASSERT_TRUE(decision.share);
    EXPECT_LT(decision.share->ratio, 0.3);
    std::puts(decision.because.c_str());
}

}  // namespace
}  // namespace segue

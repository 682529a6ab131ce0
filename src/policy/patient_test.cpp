#include <gtest/gtest.h>

#include "policy/policy.hpp"

namespace segue {
namespace {

View after_passes(std::initializer_list<std::int64_t> backlogs_mib) {
    View view;
    view.bandwidth = mebibytes_per_second(100);
    view.budget = mebibytes(10);
    for (const auto mib : backlogs_mib) {
        view.passes.push_back({static_cast<std::int64_t>(view.passes.size()) + 1, {}, mebibytes(mib)});
    }
    return view;
}

bool goes(const View& view) {
    return std::holds_alternative<AllowSwitchover>(make_patient_policy()->decide(view).action);
}

TEST(PatientPolicy, waits_in_the_first_pass) {
    EXPECT_FALSE(goes(after_passes({5})));
}

TEST(PatientPolicy, waits_while_the_bandwidth_is_not_known) {
    auto view = after_passes({512, 5});
    view.bandwidth.reset();
    EXPECT_FALSE(goes(view));
}

TEST(PatientPolicy, goes_when_the_backlog_is_near_the_budget) {
    EXPECT_FALSE(goes(after_passes({512, 200, 190})));
    EXPECT_TRUE(goes(after_passes({512, 200, 29})));
}

TEST(PatientPolicy, goes_when_the_next_pass_may_fit) {
    EXPECT_TRUE(goes(after_passes({512, 400, 60})));
}

TEST(PatientPolicy, says_why_with_its_numbers) {
    const auto decision = make_patient_policy()->decide(after_passes({512, 200, 29}));
    EXPECT_NE(decision.because.find("29 MiB"), std::string::npos) << decision.because;
    EXPECT_NE(decision.because.find("10 MiB"), std::string::npos) << decision.because;
}

TEST(PatientPolicy, never_says_go_twice) {
    auto view = after_passes({512, 200, 29});
    view.allowed = true;
    EXPECT_FALSE(goes(view));
}

}  // namespace
}  // namespace segue

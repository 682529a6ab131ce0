#include "policy/converge/foresee.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

Ground ground_of(const Curve& curve, double round_sigma) {
    Outlook outlook;
    outlook.curve = curve;
    outlook.busy = all_of_it;
    outlook.memory = mebibytes(512);
    outlook.costs = prior_fixed_costs;
    outlook.round_sigma = round_sigma;
    return converge::ground_of(outlook, {{0.05, 0.1, 0.2, 1.0}, {0.04, 0.02, 0.01, 0}}, {20e6, 20e6}, 1e8, 1e8, 6);
}

Foreseen foreseen(const Ground& ground, double backlog) {
    const Steering steering(ground, ground.memory);
    Situation start;
    start.backlog = backlog;
    const auto out = foresee(steering, steering.price(0.5), start, {1, 1});
    EXPECT_TRUE(out);
    return out.value_or(Foreseen{});
}

TEST(Foresee, takes_the_middle_of_courses_that_end_a_pass_sooner_or_later) {
    const Curve hot = Curve::saturating(mebibytes(90), mebibytes_per_second(110));
    for (const double sigma : {0.0, 0.03, 0.1}) {
        const auto ground = ground_of(hot, sigma);
        const Steering steering(ground, ground.memory);
        const auto priced = steering.price(0.5);
        Situation start;
        start.backlog = 9e7;
        const auto told = foresee(steering, priced, start, {0, 1});
        ASSERT_TRUE(told);
        int sooner = 0;
        int later = 0;
        int at_most = 0;
        int at_least = 0;
        for (int seed = 0; seed < 40; ++seed) {
            Luck luck;
            for (std::size_t i = 0; i < Luck::rounds; ++i) {
                luck.round[i] = 1.5 * std::sin(13.0 * seed + 7.0 * static_cast<double>(i) + 1);
            }
            const auto course = play(steering, priced, start, luck);
            sooner += course.total_s < told->total_s.p10 ? 1 : 0;
            later += course.total_s > told->total_s.p90 ? 1 : 0;
            at_most += course.total_s <= told->total_s.p50 + 0.01 ? 1 : 0;
            at_least += course.total_s >= told->total_s.p50 - 0.01 ? 1 : 0;
        }
        EXPECT_GE(at_most, 10) << sigma;
        EXPECT_GE(at_least, 10) << sigma;
        EXPECT_LE(sooner, 12) << sigma;
        EXPECT_LE(later, 12) << sigma;
    }
}

TEST(Foresee, counts_what_has_not_passed_of_the_pass_under_way) {
    const auto ground = ground_of(Curve::saturating(mebibytes(90), mebibytes_per_second(10)), 0.03);
    const Steering steering(ground, ground.memory);
    const auto priced = steering.price(0.5);
    Situation start;
    start.backlog = 9e7;
    const auto at_once = foresee(steering, priced, start, {0, 1});
    const auto later = foresee(steering, priced, start, {2, 1});
    ASSERT_TRUE(at_once && later);
    EXPECT_NEAR(later->total_s.p50 - at_once->total_s.p50, 2, 1e-9);
    EXPECT_EQ(later->downtime_s.p50, at_once->downtime_s.p50);
}

TEST(Foresee, knows_that_a_guest_with_nothing_left_stops_by_itself) {
    const auto idle = foreseen(ground_of(Curve{}, 0.03), 0);
    // A mebibyte is left: that is sent before.
    const auto quiet = foreseen(ground_of(Curve{}, 0.03), 1e6);
    EXPECT_NEAR(idle.downtime_s.p50, quiet.downtime_s.p50, 1e-3);
    EXPECT_LT(idle.total_s.p50 + 0.009, quiet.total_s.p50);
}

TEST(Foresee, reckons_with_a_go_that_finds_more_because_it_counts_early) {
    // Passes bring it down to its natural level before go; an early one finds the first of them under way.
    const auto out = foreseen(ground_of(Curve::saturating(mebibytes(90), mebibytes_per_second(60)), 0.03), 3e6);
    EXPECT_LE(out.downtime_s.p10, out.downtime_s.p50);
    EXPECT_GT(out.downtime_s.p90, out.downtime_s.p50 + 0.008);
}

TEST(Foresee, says_nothing_of_what_does_not_end) {
    auto ground = ground_of(Curve::saturating(mebibytes(400), mebibytes_per_second(4000)), 0.03);
    ground.settings = {ground.settings.back()};
    const Steering steering(ground, ground.memory);
    Situation start;
    start.backlog = 4e8;
    EXPECT_FALSE(foresee(steering, steering.price(0.5), start, {}));
}

}  // namespace
}  // namespace segue::converge

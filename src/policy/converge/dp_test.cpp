#include "policy/converge/dp.hpp"

#include <gtest/gtest.h>

#include "policy/converge/play.hpp"

namespace segue::converge {
namespace {

Outlook hot_guest() {
    Outlook out;
    out.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(550));
    out.busy = all_of_it;
    out.memory = mebibytes(512);
    out.costs = prior_fixed_costs;
    return out;
}

Ground ground(const Outlook& outlook, double floor = 0.05) {
    const BrakeRange brake{{floor, 2 * floor, 4 * floor, 1.0}, {0.04, 0.02, 0.01, 0}};
    return ground_of(outlook, brake, {20e6, 20e6}, 1e8, 1e8, 6);
}

TEST(Programme, costs_more_from_a_higher_backlog) {
    const Terrain terrain(ground(hot_guest()), 512e6);
    const auto values = solve(terrain, prices_of(0.5));
    for (std::size_t i = 1; i < Terrain::points; ++i) {
        EXPECT_GE(values.after_go[i], values.after_go[i - 1] * 0.999);
        EXPECT_GE(values.before_go[i], values.before_go[i - 1] * 0.999);
        EXPECT_LE(values.before_go[i], values.after_go[i] + 0.2);
    }
}

TEST(Programme, costs_what_a_braked_round_at_the_natural_level_costs) {
    auto outlook = hot_guest();
    outlook.level_sigma = outlook.round_sigma = 0;
    const Terrain terrain(ground(outlook), 512e6);
    const auto values = solve(terrain, {1, 0});
    const double level = natural_level(terrain.ground(), 512e6, 1);
    const double cost = Terrain::look_up(values.after_go, terrain.position(level));
    const auto run = run_go(terrain.ground(), terrain.ground().settings.front(), level, 1);
    ASSERT_TRUE(run.stops);
    EXPECT_NEAR(cost, 0.95 * run.time_s + 0.08 + run.pending / 1e8, 0.1 * cost);
}

TEST(Programme, reckons_with_a_go_that_counts_early_or_late) {
    auto outlook = hot_guest();
    outlook.level_sigma = outlook.round_sigma = 0;
    outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(5));
    const Terrain terrain(ground(outlook), 512e6);
    const double backlog = 6e6;  // 60 ms of this link.
    const double known_work = terrain.ground().curve.work_for(backlog);
    const auto unbraked = terrain.ground().settings.size() - 1;
    const auto table = terrain.step(backlog, known_work, unbraked, Go::usual_wait);
    const auto now = terrain.step(backlog, known_work, unbraked, Go::any_wait);
    EXPECT_EQ(now.pending[usual], table.pending[usual]);
    EXPECT_NEAR(now.pending[rough], 4e6, 0.5e6) << "what 20 ms did not send";
    EXPECT_LT(table.pending[rough], 0.5e6);
}

TEST(Programme, without_a_brake_is_that_of_the_same_ground_with_no_brake_in_it) {
    const auto all = ground(hot_guest());
    auto top = all;
    top.settings = {all.unbraked_setting()};
    const auto unaided = Terrain(all, 512e6).unaided();
    const Terrain alone(top, 512e6);
    ASSERT_EQ(unaided.ground().settings.size(), 1U);
    for (std::size_t i = 0; i < Terrain::points; ++i) {
        EXPECT_EQ(unaided.step_at(0, i).next, alone.step_at(0, i).next);
        EXPECT_EQ(unaided.first_step_at(0, i).pending, alone.first_step_at(0, i).pending);
        EXPECT_EQ(unaided.wait_at(i).next, alone.wait_at(i).next);
        const double backlog = alone.backlog_at(i);
        for (const auto noise : {calm, usual, rough}) {
            EXPECT_EQ(unaided.stop_time(noise, backlog), alone.stop_time(noise, backlog));
        }
    }
    EXPECT_EQ(solve(unaided, prices_of(0.5)).before_go, solve(alone, prices_of(0.5)).before_go);
}

TEST(Programme, waits_longer_the_less_time_costs) {
    double waited_before = 1e9;
    const Steering steering(ground(hot_guest()), 512e6);
    for (const double aggression : {0.0, 0.3, 0.6, 0.9, 1.0}) {
        const auto priced = steering.price(aggression);
        double waits = 0;
        for (std::size_t i = 0; i < Terrain::points; ++i) {
            Situation now;
            now.backlog = steering.terrain().backlog_at(i);
            waits += steering.choose(priced, now).go ? 0 : 1;
        }
        EXPECT_LE(waits, waited_before) << aggression;
        waited_before = waits;
    }
    EXPECT_EQ(waited_before, 0) << "nothing is waited for when only time counts";
}

TEST(Programme, knows_from_which_share_on_nothing_ends) {
    const Terrain able(ground(hot_guest(), 0.05), 512e6);
    EXPECT_FALSE(is_never(able.stop_time(usual, 200e6)));
    const Terrain unable(ground(hot_guest(), 0.24), 512e6);
    EXPECT_TRUE(is_never(unable.stop_time(usual, 200e6)));
    EXPECT_GE(able.stop_time(rough, 200e6), able.stop_time(calm, 200e6));
}

TEST(Ground, keeps_both_ends_and_lets_the_source_look_later_where_a_share_stalls) {
    const BrakeRange brake{{0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0}, {0.4, 0.08, 0.04, 0.02, 0.01, 0.01, 0}};
    auto outlook = hot_guest();
    outlook.busy = Share{0.5};
    const auto out = ground_of(outlook, brake, {20e6, 20e6}, 1e8, 1e8, 4);
    ASSERT_EQ(out.settings.size(), 4U);
    EXPECT_EQ(out.settings.front().share, 0.02);
    EXPECT_NEAR(out.settings.front().told, 0.002 * 1e8, 1) << "0.4 s of stall are more than the budget";
    EXPECT_NEAR(out.settings[1].told, 20e6 - 0.04 * 1e8, 1);
    for (const auto& setting : out.settings) EXPECT_EQ(setting.budget, 20e6) << "Segue stops it, with no stall";
    EXPECT_EQ(out.settings[2].share, 0.4) << "0.7 brakes nobody who is busy half of his time";
    EXPECT_EQ(out.settings.back().work_rate, 0.5);
}

TEST(Ground, counts_what_a_brake_does_not_slow) {
    auto outlook = hot_guest();
    outlook.unbraked_ratio = 0.5;
    const auto out = ground(outlook);
    const double free = dirtied(out, out.settings.back(), 0.1);
    EXPECT_GT(dirtied(out, out.settings.front(), 0.1), 0.5 * free);
    EXPECT_LT(dirtied(out, out.settings.front(), 0.1), free);
}

}  // namespace
}  // namespace segue::converge

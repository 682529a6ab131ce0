// What becomes of a small backlog between go and the moment from which go counts.
#include "policy/converge/mechanics.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "model/count.hpp"

namespace segue::converge {
namespace {

/// Writes `flow` bytes a second of work among `hot` bytes, at random.
Ground ground_with(double flow, double hot) {
    std::array<double, Curve::points> table{};
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = -hot * std::expm1(-Curve::work_at(i) * flow / hot);
    Ground out;
    out.curve = Curve{table};
    out.bandwidth = out.switch_bandwidth = 1e8;
    out.memory = 1e9;
    out.settings = {{1.0, 0, 1.0, 3e7, 3e7}};
    return out;
}

GoRound first_round(const Ground& ground, double backlog) {
    return go_round(ground, ground.unbraked_setting(), backlog, ground.curve.work_for(backlog), go_effect_s);
}

TEST(GoRound, ends_before_go_counts_where_the_guest_is_idle) {
    const auto ground = ground_with(1e5, 1e8);
    const auto round = first_round(ground, 2e6);
    EXPECT_LT(round.time_s, go_effect_s);
    EXPECT_LE(round.rest + round.fresh, before_go_s * ground.bandwidth);
}

TEST(GoRound, leaves_the_natural_level_of_a_guest_that_converges) {
    // A fifth of what is sent is dirtied meanwhile: 5 MB fall to nothing in a few passes, before go counts.
    const auto falling = first_round(ground_with(2e7, 1e9), 5e6);
    EXPECT_LT(falling.rest + falling.fresh, 5e5);
    // A hot set that is dirty again as soon as it is sent.
    const auto standing = first_round(ground_with(1e10, 4e6), 8e6);
    EXPECT_GT(standing.rest + standing.fresh, 2e6);
    EXPECT_LE(standing.rest + standing.fresh, 8e6);
    EXPECT_EQ(standing.time_s, go_effect_s);
}

TEST(GoRound, knows_no_step_where_a_backlog_just_outlasts_the_wait_for_go) {
    const auto ground = ground_with(3e7, 5e7);
    const double edge = ground.bandwidth * go_effect_s;
    const auto below = first_round(ground, 0.999 * edge);
    const auto above = first_round(ground, 1.001 * edge);
    EXPECT_NEAR(below.time_s, above.time_s, 0.01);
    EXPECT_NEAR(below.rest + below.fresh, above.rest + above.fresh, 0.05 * edge);
}

Ground braked_ground(double flow, double hot) {
    auto out = ground_with(flow, hot);
    out.settings = {{0.05, 0.07, 0.05, 2e7, 1.3e7}, {1.0, 0, 1.0, 2e7, 2e7}};
    return out;
}

GoRound braked_round(const Ground& ground, double backlog) {
    return go_round(ground, ground.settings.front(), backlog, ground.curve.work_for(backlog), 0);
}

TEST(GoRound, of_a_braked_guest_ends_as_soon_as_what_is_counted_fits) {
    const auto ground = braked_ground(4e8, 2e8);
    const auto round = braked_round(ground, 3e7);
    EXPECT_TRUE(round.stopped);
    EXPECT_NEAR(round.rest + ground.counted * round.fresh, 2e7, 4e5);
    EXPECT_LE(round.rest + ground.counted * round.fresh, 2e7);
    // What fits already is stopped at once.
    EXPECT_EQ(braked_round(ground, 1.9e7).time_s, 0);
}

TEST(GoRound, of_a_braked_guest_goes_on_to_the_sync_where_what_was_dirtied_is_too_much_to_be_guessed) {
    const auto hot = braked_ground(1.5e9, 2e8);
    EXPECT_FALSE(braked_round(hot, 4e7).stopped);
    auto doubtful = braked_ground(4e8, 2e8);
    EXPECT_TRUE(braked_round(doubtful, 3e7).stopped);
    doubtful.counted = 4;
    EXPECT_FALSE(braked_round(doubtful, 3e7).stopped);
}

TEST(GoRound, of_a_guest_that_runs_free_is_never_ended_by_a_count) {
    const auto ground = braked_ground(1e6, 2e8);
    EXPECT_FALSE(go_round(ground, ground.unbraked_setting(), 3e7, ground.curve.work_for(3e7), 0).stopped);
}

TEST(Counting, takes_the_doubt_at_that_much_work) {
    Outlook outlook;
    outlook.level_sigma = 0.01;
    outlook.round_sigma = 0.01;
    EXPECT_EQ(counted_for(outlook, 0.005), 1.25) << "at least a quarter more";
    outlook.curve_sigma.fill(0.02);
    for (std::size_t i = 0; Curve::work_at(i) < 0.01; ++i) outlook.curve_sigma[i] = 1;
    EXPECT_NEAR(counted_for(outlook, 0.003), std::exp(2 * std::hypot(1, 0.01)), 1e-9);
    EXPECT_EQ(counted_for(outlook, 0.1), 1.25);
    EXPECT_EQ(counted_for(outlook, 1e6), 1.25) << "beyond the curve";
    EXPECT_NEAR(counted_for(outlook, 0), std::exp(2 * std::hypot(1, 0.01)), 1e-9);
}

}  // namespace
}  // namespace segue::converge

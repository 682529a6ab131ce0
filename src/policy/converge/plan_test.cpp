#include "policy/converge/plan.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "policy/converge/cases_test.hpp"
#include "policy/converge/converge.hpp"

namespace segue {
namespace {

PlanQuestion hot_guest(double floor) {
    PlanQuestion out;
    out.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(550));
    out.outlook.busy = all_of_it;
    out.outlook.memory = mebibytes(512);
    out.outlook.first_pass = mebibytes(512);
    out.outlook.bandwidth_bytes_per_second = {103e6, 105e6, 106e6};
    out.outlook.bandwidth_known = true;
    out.outlook.costs = prior_fixed_costs;
    out.outlook.level_sigma = 0.15;
    out.outlook.round_sigma = 0.03;
    out.max_downtime = std::chrono::milliseconds{300};
    out.reserve = std::chrono::milliseconds{30};
    out.brake = test::brake_from(floor, 0.15);
    return out;
}

TEST(Plan, has_eleven_rows_that_never_get_slower_or_milder) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        const auto plan = make_plan(test::case_of(seed).truth);
        ASSERT_EQ(plan.rows.size(), 11U);
        for (std::size_t i = 1; i < plan.rows.size(); ++i) {
            const auto& before = plan.rows[i - 1];
            const auto& row = plan.rows[i];
            EXPECT_NEAR(row.aggression, static_cast<double>(i) / 10, 1e-9);
            if (before.finishes_ratio <= 0 || row.finishes_ratio <= 0) continue;
            EXPECT_LE(row.total_s.p50, before.total_s.p50);
            EXPECT_LE(row.total_s.p90, before.total_s.p90);
            EXPECT_LE(row.lowest_share.p50, before.lowest_share.p50);
            EXPECT_LE(row.total_s.p10, row.total_s.p50);
            EXPECT_LE(row.total_s.p50, row.total_s.p90);
        }
    }
}

TEST(Plan, answers_the_same_question_the_same) {
    const auto question = hot_guest(0.05);
    const auto one = make_plan(question);
    const auto two = make_plan(question);
    for (std::size_t i = 0; i < one.rows.size(); ++i) {
        EXPECT_EQ(one.rows[i].total_s, two.rows[i].total_s);
        EXPECT_EQ(one.rows[i].lost_work_s, two.rows[i].lost_work_s);
    }
    EXPECT_EQ(plan_row(question, 0).total_s, one.rows[0].total_s);
}

TEST(Plan, of_a_guest_that_never_converges_shows_the_brake) {
    const auto plan = make_plan(hot_guest(0.05));
    ASSERT_TRUE(plan.feasible);
    EXPECT_TRUE(plan.relaxations.empty());
    const auto& row = plan.rows[5];
    EXPECT_GE(row.finishes_ratio, 0.95);
    EXPECT_LT(row.lowest_share.p50, 0.2);
    EXPECT_GT(row.stall_s.p50, 0.01);
    EXPECT_GT(row.mean_share.p50, row.lowest_share.p50);
    EXPECT_LE(row.downtime_s.p90, 0.3);
    EXPECT_NEAR(row.total_s.p50, 7.5, 1.5);
    EXPECT_NEAR(row.sent_bytes.p50, 740e6, 150e6);
    EXPECT_NE(std::find(row.binding.begin(), row.binding.end(), "max-downtime"), row.binding.end());
}

TEST(Plan, counts_no_stall_as_standstill_however_many_vcpus_there_are) {
    auto question = hot_guest(0.05);
    question.outlook.vcpus = 4;
    const auto several = plan_row(question, 0.5);
    question.outlook.vcpus = 1;
    const auto one = plan_row(question, 0.5);
    EXPECT_EQ(one.downtime_s, several.downtime_s) << "a guest that is stopped has been let go";
    // Near all of what max downtime leaves, and always within it.
    EXPECT_GT(one.downtime_s.p50, 0.15);
    EXPECT_LE(one.downtime_s.p90, 0.3);
}

TEST(Plan, of_a_quiet_guest_shows_none) {
    auto question = hot_guest(0.05);
    question.outlook.curve = Curve::saturating(mebibytes(20), mebibytes_per_second(5));
    const auto plan = make_plan(question);
    for (const auto& row : plan.rows) {
        EXPECT_TRUE(row.feasible);
        EXPECT_EQ(row.lowest_share.p10, 1);
        EXPECT_TRUE(row.binding.empty());
    }
}

TEST(Plan, that_is_infeasible_names_what_would_help_and_it_does) {
    const auto question = hot_guest(0.5);
    const auto plan = make_plan(question);
    ASSERT_FALSE(plan.feasible);
    EXPECT_EQ(plan.binding, "min-cpu");
    ASSERT_GE(plan.relaxations.size(), 3U);
    for (const auto& relaxation : plan.relaxations) {
        auto relaxed = question;
        if (relaxation.bound == "max-downtime") {
            EXPECT_GT(relaxation.value, 0.3);
            relaxed.max_downtime = from_seconds(relaxation.value);
        } else if (relaxation.bound == "min-cpu") {
            EXPECT_LT(relaxation.value, 0.5);
            relaxed.brake = test::brake_from(relaxation.value, 0.15);
        } else if (relaxation.bound == "max-bandwidth") {
            const double times = relaxation.value / 105e6;
            EXPECT_GT(times, 1);
            relaxed.outlook.bandwidth_bytes_per_second = {103e6 * times, 105e6 * times, 106e6 * times};
        } else {
            FAIL() << relaxation.bound;
        }
        EXPECT_TRUE(plan_row(relaxed, 1).feasible) << relaxation.bound << " " << relaxation.value;
    }
}

TEST(Plan, whose_timeout_is_too_short_asks_for_a_longer_one) {
    auto question = hot_guest(0.05);
    question.timeout = std::chrono::seconds{6};
    const auto plan = make_plan(question);
    ASSERT_FALSE(plan.feasible);
    EXPECT_EQ(plan.binding, "timeout");
    const auto found = std::find_if(plan.relaxations.begin(), plan.relaxations.end(),
                                    [](const Relaxation& relaxation) { return relaxation.bound == "timeout"; });
    ASSERT_NE(found, plan.relaxations.end());
    question.timeout = from_seconds(found->value);
    EXPECT_TRUE(plan_row(question, 1).feasible);
}

TEST(Plan, leaves_no_room_for_what_the_fixed_costs_eat) {
    auto question = hot_guest(0.05);
    question.max_downtime = std::chrono::milliseconds{50};
    const auto plan = make_plan(question);
    EXPECT_FALSE(plan.feasible);
    EXPECT_EQ(plan.binding, "max-downtime");
    ASSERT_FALSE(plan.relaxations.empty());
    EXPECT_EQ(plan.relaxations.front().bound, "max-downtime");
}

TEST(Plan, without_a_known_link_has_no_feasible_row) {
    auto question = hot_guest(0.05);
    question.outlook.bandwidth_bytes_per_second = {};
    const auto plan = make_plan(question);
    EXPECT_EQ(plan.rows.size(), 11U);
    EXPECT_FALSE(plan.feasible);
    EXPECT_EQ(plan.binding, "max-bandwidth");
}

TEST(Plan, over_links_tells_what_each_would_make_of_the_move) {
    auto question = hot_guest(0.05);
    const double known_s = make_plan(question).rows[5].total_s.p50;
    question.outlook.bandwidth_bytes_per_second = {};
    question.outlook.bandwidth_known = false;
    const auto plan = plan_over_links(question, 0.5);
    ASSERT_GE(plan.rows.size(), 5U);
    EXPECT_TRUE(plan.feasible);
    EXPECT_EQ(plan.binding, "");
    const PlanRow* before = nullptr;
    for (const auto& row : plan.rows) {
        ASSERT_TRUE(row.link);
        EXPECT_EQ(row.aggression, 0.5);
        EXPECT_TRUE(row.feasible || row.link->per_second < 100'000'000);
        if (before != nullptr) { EXPECT_GT(row.link->per_second, before->link->per_second); }
        if (before != nullptr && before->feasible) {
            EXPECT_LT(row.total_s.p50, before->total_s.p50);
        }
        // 119 MB/s of payload for the 105 of the guest whose link is known.
        if (row.link->per_second == 125'000'000) { EXPECT_NEAR(row.total_s.p50, known_s * 105 / 119, 0.1 * known_s); }
        before = &row;
    }
}

TEST(Plan, over_links_names_what_stands_in_the_way_even_of_the_fastest) {
    auto question = hot_guest(0.05);
    question.outlook.bandwidth_bytes_per_second = {};
    question.max_downtime = std::chrono::milliseconds{40};
    const auto plan = plan_over_links(question, 0.5);
    EXPECT_FALSE(plan.feasible);
    EXPECT_EQ(plan.binding, "max-downtime");
    ASSERT_FALSE(plan.relaxations.empty());
    EXPECT_EQ(plan.relaxations.front().bound, "max-downtime");
    EXPECT_GT(plan.relaxations.front().value, 0.04);
}

// The rows are played on the rounds of the policy's own model; here they meet the other one.
TEST(Plan, holds_what_happens) {
    int within = 0;
    int all = 0;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const auto given = test::case_of(seed);
        const double aggression = static_cast<double>(seed % 11) / 10;
        const auto row = plan_row(given.truth, aggression);
        const auto moved = test::Move(given, aggression).run(*make_converge_policy());
        if (!row.feasible || moved.end != test::Moved::End::moved) continue;
        all += 1;
        const double width = 0.02 * row.total_s.p50;
        if (moved.total_s >= row.total_s.p10 - width && moved.total_s <= row.total_s.p90 + width) within += 1;
    }
    ASSERT_GE(all, 30);
    EXPECT_GE(within, 0.75 * all);
}

}  // namespace
}  // namespace segue

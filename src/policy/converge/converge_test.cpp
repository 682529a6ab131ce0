#include <gtest/gtest.h>

#include <string>

#include "policy/converge/hot_guest_test.hpp"

namespace segue::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ConvergePolicy, brakes_hard_and_goes_at_once_when_waiting_gains_nothing) {
    const auto decision = decided(hot_guest());
    EXPECT_TRUE(goes(decision)) << decision.because;
    ASSERT_TRUE(decision.share);
    EXPECT_LE(decision.share->ratio, 0.1);
    EXPECT_NE(decision.because.find("200 MiB left"), std::string::npos) << decision.because;
}

TEST(ConvergePolicy, brakes_the_only_busy_one_of_many_vcpus) {
    auto view = hot_guest();
    view.outlook.vcpus = 16;
    view.outlook.busy = Share{1.0 / 16};
    view.outlook.busiest = {1.0 / 16, 1};
    view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(16 * 550));
    const auto decision = decided(view);
    EXPECT_TRUE(goes(decision)) << decision.because;
    ASSERT_TRUE(decision.share);
    EXPECT_LE(decision.share->ratio, 0.1);
}

TEST(ConvergePolicy, lets_the_first_pass_run_at_full_speed) {
    for (const double aggression : {0.0, 0.5, 1.0}) {
        auto view = first_pass(hot_guest());
        view.aggression = aggression;
        const auto decision = decided(view);
        EXPECT_TRUE(carries_on(decision));
        EXPECT_EQ(decision.share, all_of_it);
    }
}

TEST(ConvergePolicy, brakes_the_first_pass_only_for_a_timeout_that_needs_it) {
    auto view = first_pass(hot_guest());
    view.timeout = milliseconds{7300};
    const auto hurried = decided(view);
    ASSERT_TRUE(hurried.share);
    EXPECT_LT(hurried.share->ratio, 1) << hurried.because;
    view.timeout = seconds{30};
    EXPECT_EQ(decided(view).share, all_of_it);
}

TEST(ConvergePolicy, does_not_brake_the_first_pass_for_what_is_only_doubtful) {
    auto view = first_pass(hot_guest());
    view.outlook.level_sigma = 0.3;
    view.timeout = milliseconds{9600};
    EXPECT_EQ(decided(view).share, all_of_it);
    view.timeout = milliseconds{8000};
    EXPECT_LT(decided(view).share->ratio, 1);
}

TEST(ConvergePolicy, counts_what_has_passed_of_pass_1_once) {
    auto view = first_pass(hot_guest());
    view.timeout = seconds{9};
    const auto [first, again] = decided_twice(view, view);
    EXPECT_EQ(first.share, all_of_it) << first.because;
    EXPECT_EQ(again.share, all_of_it) << again.because;
    ASSERT_TRUE(first.total_s && again.total_s);
    EXPECT_NEAR(again.total_s->p50, first.total_s->p50, 0.2);
}

TEST(ConvergePolicy, waits_while_the_link_is_not_measured) {
    auto view = hot_guest();
    view.bandwidth.reset();
    EXPECT_TRUE(carries_on(decided(view)));
    view.outlook.bandwidth_bytes_per_second = {};
    EXPECT_TRUE(carries_on(decided(view)));
    EXPECT_FALSE(decided(view).share);
}

TEST(ConvergePolicy, never_brakes_a_guest_that_gets_under_its_budget_by_itself) {
    auto view = hot_guest();
    view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(40));
    for (const double aggression : {0.0, 0.5, 1.0}) {
        view.aggression = aggression;
        for (const int left : {200, 90, 30, 10, 1}) {
            view.passes.back().backlog = mebibytes(left);
            const auto decision = decided(view);
            EXPECT_FALSE(gives_up(decision));
            EXPECT_EQ(decision.share, all_of_it) << left << " MiB: " << decision.because;
        }
        // It may be looked at once more while it falls, but where only time counts.
        EXPECT_EQ(goes(decided(view)), aggression == 1.0) << decided(view).because;
        view.passes.push_back({3, seconds{5}, mebibytes(1), milliseconds{10}});
        EXPECT_TRUE(goes(decided(view))) << decided(view).because;
        view.passes.pop_back();
    }
}

TEST(ConvergePolicy, looks_on_where_a_short_pass_saves_more_standstill_than_its_time_is_worth) {
    auto view = hot_guest();
    view.outlook.curve = Curve::saturating(mebibytes(3), mebibytes_per_second(900));
    view.passes.push_back({3, seconds{8}, mebibytes(8), seconds{2}});
    view.passes.push_back({4, seconds{9}, mebibytes(4), milliseconds{80}});
    view.elapsed = seconds{9};
    view.aggression = 0;
    const auto looks = decided(view);
    EXPECT_TRUE(carries_on(looks)) << looks.because;
    EXPECT_NE(looks.because.find("4 MiB left, 8 MiB before"), std::string::npos) << looks.because;
    view.aggression = 0.99;
    EXPECT_TRUE(goes(decided(view))) << "no time for it: " << decided(view).because;
    // The next pass should leave a fifth less: 8 ms of standstill for 40 ms of time, worth 2 ms of work, or 15.
    view.passes[2].backlog = mebibytes(5);
    view.aggression = 0.5;
    EXPECT_TRUE(carries_on(decided(view))) << decided(view).because;
    view.aggression = 0.9;
    EXPECT_TRUE(goes(decided(view))) << decided(view).because;
    view.aggression = 0;
    view.outlook.round_sigma = 0.2;
    EXPECT_TRUE(goes(decided(view))) << "two rounds' noise may do that: " << decided(view).because;
    view.outlook.round_phi = 0.7;
    EXPECT_TRUE(carries_on(decided(view))) << "not where one takes after the other: " << decided(view).because;
    view.outlook.round_phi = 0;
    view.outlook.round_sigma = 0.03;
    view.passes[2].backlog = mebibytes(8);
    view.elapsed = milliseconds{300};
    EXPECT_TRUE(goes(decided(view))) << "not short against the move: " << decided(view).because;
    view.elapsed = seconds{9};
    view.timeout = milliseconds{9'800};
    view.outlook.bandwidth_bytes_per_second.p10 = 40e6;
    view.brake = {};
    EXPECT_TRUE(goes(decided(view))) << "the timeout leaves no time for it: " << decided(view).because;
    view.timeout.reset();
    view.allowed = true;
    const auto said = decided(view);
    EXPECT_EQ(said.because.find("one more pass"), std::string::npos) << "go was said already: " << said.because;
}

TEST(ConvergePolicy, lets_an_idle_guest_switch_as_soon_as_it_fits) {
    auto view = hot_guest();
    view.outlook.curve = {};
    view.passes.back().backlog = Bytes{0};
    const auto decision = decided(view);
    EXPECT_TRUE(goes(decision)) << decision.because;
    EXPECT_EQ(decision.share, all_of_it);
    ASSERT_TRUE(decision.downtime_s);
    EXPECT_LT(decision.downtime_s->p90, 0.1);
}

TEST(ConvergePolicy, waits_for_free_passes_when_time_is_cheap_and_not_when_only_time_counts) {
    auto view = hot_guest();
    // The first pass left far more than the natural level.
    view.outlook.curve = Curve::saturating(mebibytes(480), mebibytes_per_second(125));
    view.outlook.round_sigma = view.outlook.level_sigma = 0.03;
    view.passes.back().backlog = mebibytes(350);
    view.aggression = 0;
    EXPECT_TRUE(carries_on(decided(view))) << decided(view).because;
    view.aggression = 1;
    EXPECT_TRUE(goes(decided(view))) << decided(view).because;
}

TEST(ConvergePolicy, does_not_wait_beyond_the_last_moment_that_keeps_the_timeout) {
    auto view = hot_guest();
    view.outlook.curve = Curve::saturating(mebibytes(480), mebibytes_per_second(125));
    view.outlook.round_sigma = view.outlook.level_sigma = 0.03;
    view.passes.back().backlog = mebibytes(350);
    view.aggression = 0;
    view.timeout = milliseconds{10'500};
    const auto decision = decided(view);
    EXPECT_TRUE(goes(decision)) << decision.because;
    EXPECT_NE(decision.because.find("timeout"), std::string::npos) << decision.because;
}

TEST(ConvergePolicy, keeps_the_share_down_after_go) {
    auto view = hot_guest();
    auto policy = make_converge_policy();
    const auto go = policy->decide(view);
    ASSERT_TRUE(goes(go));
    hold(view, *go.share, seconds{7}, mebibytes(31), milliseconds{100});
    const auto next = policy->decide(view);
    EXPECT_TRUE(carries_on(next));
    ASSERT_TRUE(next.share);
    EXPECT_LE(next.share->ratio, view.share.ratio);
}

TEST(ConvergePolicy, holds_on_to_a_share_that_slows_nobody_just_now) {
    auto view = hot_guest();
    const auto policy = make_converge_policy();
    const auto go = policy->decide(view);
    ASSERT_TRUE(goes(go));
    hold(view, *go.share, seconds{7}, mebibytes(3), milliseconds{100});
    view.outlook.busy = Share{0.04};
    const auto decision = policy->decide(view);
    EXPECT_TRUE(carries_on(decision)) << decision.because;
    EXPECT_EQ(decision.share, view.share) << decision.because;
    EXPECT_NE(decision.because.find("stays held to 5 % of its CPU"), std::string::npos) << decision.because;
}

TEST(ConvergePolicy, takes_a_lower_share_when_one_does_not_do_what_was_expected) {
    auto view = hot_guest();
    view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(40));
    view.passes.back().backlog = mebibytes(60);
    view.aggression = 1;
    auto policy = make_converge_policy();
    const auto go = policy->decide(view);
    ASSERT_TRUE(goes(go)) << go.because;
    ASSERT_EQ(go.share, all_of_it);
    view.allowed = true;
    view.elapsed = seconds{25};
    view.passes.push_back({3, seconds{25}, mebibytes(60)});
    const auto next = policy->decide(view);
    ASSERT_TRUE(next.share);
    EXPECT_LT(next.share->ratio, 1) << next.because;
}

TEST(ConvergePolicy, waits_for_a_shorter_standstill_of_an_idle_guest_as_of_a_busy_one) {
    auto view = hot_guest();
    view.passes.back().backlog = mebibytes(20);
    for (const double busy : {0.05, 0.2, 1.0}) {
        view.outlook.busy = Share{busy};
        // The same by the clock, however little of the CPU it takes.
        view.outlook.curve = Curve::saturating(mebibytes(200), ByteRate{static_cast<std::int64_t>(20e6 / busy)});
        view.aggression = 0.5;
        EXPECT_TRUE(carries_on(decided(view))) << busy << ": " << decided(view).because;
        view.aggression = 1;
        EXPECT_TRUE(goes(decided(view))) << busy << ": " << decided(view).because;
    }
}

TEST(ConvergePolicy, takes_the_budget_for_what_it_is_whatever_share_is_granted) {
    auto view = hot_guest();
    const auto free = decided(view);
    view.share = Share{0.05};
    const auto braked = decided(view);
    EXPECT_EQ(free.because, braked.because);
}

TEST(ConvergePolicy, forecasts_the_end_and_the_standstill) {
    const auto decision = decided(hot_guest());
    ASSERT_TRUE(decision.total_s && decision.downtime_s);
    EXPECT_LT(decision.total_s->p10, decision.total_s->p50);
    EXPECT_LT(decision.total_s->p50, decision.total_s->p90);
    EXPECT_NEAR(decision.total_s->p50, 7.3, 0.6);
    EXPECT_LE(decision.downtime_s->p90, 0.31);
}

/// What the standstill of a guest with 30 MiB left is forecast to take that dirties so much a second of work.
double stands_s(View view, double mib_a_second) {
    view.allowed = true;
    view.passes.push_back({3, seconds{6}, mebibytes(30), seconds{1}, view.share});
    view.outlook.curve = Curve::saturating(mebibytes(200), ByteRate{static_cast<std::int64_t>(mib_a_second * 0x1p20)});
    const auto decision = decided(view);
    EXPECT_TRUE(decision.downtime_s) << decision.because;
    return decision.downtime_s ? decision.downtime_s->p50 : 0;
}

TEST(ConvergePolicy, forecasts_that_a_braked_guest_is_stopped_as_soon_as_what_is_left_fits) {
    auto view = hot_guest();
    view.share = Share{0.05};
    view.brake = {{0.05, 1.0}, {0.07, 0}};
    const double budget_s = to_seconds(view.budget / ByteRate{100 * 1024 * 1024});
    const double fixed_s = to_seconds(expected_costs(view.outlook.costs).total());
    for (const double rate : {1.0, 100.0, 400.0}) {
        EXPECT_NEAR(stands_s(view, rate), fixed_s + budget_s, 0.02) << rate;
    }
}

TEST(ConvergePolicy, forecasts_that_the_look_that_ends_a_move_comes_late) {
    auto view = hot_guest();
    view.brake = {};
    // Nothing is dirtied beside the round: any look ends it, the one in the middle of its 50 ms stands for them.
    const double any_look = stands_s(view, 0.05);
    // So much that only the later half of the looks do: what is dirtied, less what half of that half sends.
    const double over_s = 7.0 / 100 + 0.025;
    const double late_looks = stands_s(view, 0.024 / over_s * 100);
    EXPECT_NEAR(late_looks - any_look, 0.024 - 0.012, 0.003);
}

/// Asked every 1.5 s, each time with nothing left for bytes but where `sees` says otherwise: when it gives up.
template <class Sees>
std::optional<double> given_up_after_s(View view, Sees sees) {
    const auto policy = make_converge_policy();
    const Bytes budget = view.budget;
    for (int i = 0; i < 100; ++i) {
        view.elapsed += milliseconds{1500};
        view.passes.push_back({view.passes.back().number + 1, view.elapsed, mebibytes(200)});
        view.budget = sees(i) ? budget : mebibytes(-20);
        view.braked_budget = sees(i) ? budget : mebibytes(-1);  // More than a stall's worth.
        const auto decision = policy->decide(view);
        if (!gives_up(decision)) continue;
        EXPECT_EQ(decision.share, all_of_it);
        EXPECT_NE(decision.because.find("leaves no time for bytes"), std::string::npos) << decision.because;
        EXPECT_NE(decision.because.find("it needs downtime >= "), std::string::npos) << decision.because;
        return 1.5 * i;
    }
    return std::nullopt;
}

TEST(ConvergePolicy, does_not_hold_or_copy_for_ever_a_guest_for_whose_bytes_no_time_is_left) {
    auto view = hot_guest();
    const auto never = [](int) { return false; };
    EXPECT_NEAR(given_up_after_s(view, never).value_or(0), 60, 2);
    view.allowed = true;
    view.share = Share{0.05};
    EXPECT_NEAR(given_up_after_s(view, never).value_or(0), 10.5, 2);
    const auto for_moments = [](int i) { return i % 4 == 3; };
    view.allowed = false;
    EXPECT_FALSE(given_up_after_s(view, for_moments));
}

TEST(ConvergePolicy, lets_a_held_guest_go_when_the_speed_of_the_link_stays_unknown) {
    auto view = hot_guest();
    view.allowed = true;
    view.share = Share{0.05};
    view.bandwidth.reset();
    const auto policy = make_converge_policy();
    bool gave_up = false;
    for (int i = 0; i < 10 && !gave_up; ++i) {
        view.elapsed += seconds{2};
        view.passes.push_back({view.passes.back().number + 1, view.elapsed, mebibytes(200)});
        gave_up = gives_up(policy->decide(view));
        EXPECT_TRUE(gave_up || i < 8);
    }
    EXPECT_TRUE(gave_up);
}

TEST(ConvergePolicy, survives_views_with_nothing_in_them) {
    EXPECT_TRUE(carries_on(decided(View{})));
    auto view = hot_guest();
    view.budget = view.braked_budget = Bytes{-5};
    EXPECT_TRUE(carries_on(decided(view)));
    view.outlook.costs.stop = seconds{1};
    view.passes.push_back({3, seconds{7}, mebibytes(200)});
    EXPECT_TRUE(gives_up(decided(view)));
    view = hot_guest();
    view.outlook = {};
    EXPECT_FALSE(gives_up(decided(view)));
}

}  // namespace
}  // namespace segue::test

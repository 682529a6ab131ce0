#include "app/sim/study/move.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "app/sim/study/optimum.hpp"
#include "app/sim/study/study.hpp"
#include "policy/converge/converge.hpp"

namespace segue::study {
namespace {

constexpr double mib = 1024.0 * 1024;

/// 4 GiB, a hot set of half a GiB written at `heat` times the link's 1 GiB/s.
Case plain(double heat) {
    Case one;
    one.seed = 7;
    one.guest.family = "hot-cold";
    one.guest.memory_bytes = 4096 * mib;
    PageClass hot;
    hot.pages = 512 * mib / page_bytes;
    hot.rate = {heat * 1024 * mib / page_bytes / hot.pages};
    one.guest.classes = {hot};
    one.wire.bytes_per_s = 1024 * mib;
    one.costs = {from_seconds(0.002), from_seconds(0.008), from_seconds(0.003)};
    one.bounds.max_downtime_s = 0.4;
    one.bounds.max_stall_s = 0.1;
    one.bounds.min_cpu = 0.05;
    return one;
}

Pilot pilot_of(Policy& policy) {
    Pilot pilot;
    pilot.policy = &policy;
    pilot.beholder = make_knowing;
    return pilot;
}

TEST(StudyMove, a_quiet_guest_takes_its_memory_over_the_rate) {
    const Case one = plain(0.02);
    const auto policy = make_reference_policy();
    const auto result = run_move(one, one.bounds, pilot_of(*policy));
    EXPECT_EQ(result.end, End::moved);
    EXPECT_NEAR(result.total_s, 4.1, 0.4);
    EXPECT_EQ(result.lowest_share, 1);
    EXPECT_LT(result.downtime_s, one.bounds.max_downtime_s);
}

TEST(StudyMove, a_guest_that_never_converges_is_braked_and_keeps_its_bounds) {
    const Case one = plain(6);
    const auto policy = make_reference_policy();
    const auto result = run_move(one, one.bounds, pilot_of(*policy));
    EXPECT_EQ(result.end, End::moved);
    EXPECT_LT(result.lowest_share, 0.5);
    EXPECT_GE(result.lowest_share, one.bounds.min_cpu);
    EXPECT_LE(result.downtime_s, one.bounds.max_downtime_s);
    EXPECT_LE(result.worst_stall_s, one.bounds.max_stall_s);
    EXPECT_GT(result.lost_s, 0.2);
}

TEST(StudyMove, the_same_seed_gives_the_same_move_bit_for_bit) {
    const auto traces = synthetic_traces();
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        const Case one = case_from(seed, traces);
        std::vector<std::string> lines[2];
        for (auto& log : lines) {
            const auto policy = make_converge_policy();
            Pilot pilot = pilot_of(*policy);
            pilot.beholder = [](const Setting& setting, const GuestRun&, const Case&) {
                return make_learning(setting);
            };
            pilot.log = [&log](const std::string& line) { log.push_back(line); };
            pilot.endless_s = 300;
            static_cast<void>(run_move(one, one.bounds, pilot));
        }
        EXPECT_EQ(lines[0], lines[1]) << seed;
    }
}

TEST(StudyMove, auto_converge_burns_more_than_twice_the_work_of_the_optimum) {
    const Case one = plain(6);
    const auto policy = make_reference_policy();
    const auto best = run_move(one, one.bounds, pilot_of(*policy));
    Pilot by_itself;
    by_itself.beholder = make_knowing;
    const auto theirs = run_move(one, one.bounds, by_itself);
    EXPECT_GT(theirs.lost_s, 2 * best.lost_s);
    EXPECT_GT(theirs.total_s, best.total_s);
}

TEST(StudyMove, the_timeout_ends_what_does_not_end) {
    const Case one = plain(6);
    Bounds bounds = one.bounds;
    bounds.timeout_s = 9;
    const auto policy = make_patient_policy();
    const auto result = run_move(one, bounds, pilot_of(*policy));
    EXPECT_EQ(result.end, End::timed_out);
    EXPECT_LE(result.total_s, 9 + 1e-9);
}

class GoesAtOnce final : public Policy {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "goes-at-once"; }
    [[nodiscard]] Decision decide(const View&) override { return {AllowSwitchover{}, {}}; }
};

TEST(StudyMove, a_switchover_that_would_end_after_the_timeout_is_undone_as_the_product_does) {
    const Case one = plain(0.3);
    GoesAtOnce policy;
    const auto free = run_move(one, one.bounds, pilot_of(policy));
    ASSERT_EQ(free.end, End::moved);
    int undone_standing = 0;
    for (int ms = -20; ms <= 400; ms += 10) {
        Bounds bounds = one.bounds;
        bounds.timeout_s = free.total_s - 0.001 * ms;
        const auto result = run_move(one, bounds, pilot_of(policy));
        EXPECT_LE(result.total_s, *bounds.timeout_s + 1e-9) << ms;
        if (result.end == End::timed_out && result.downtime_s > 0) ++undone_standing;
    }
    EXPECT_GT(undone_standing, 0) << "the last veto was never met";
}

TEST(StudyOptimum, costs_about_one_stall_round) {
    // theory.md 3.4: M 4, W 0.5, rate 5, d 0.1, floor 0.02: 0.53 link-seconds.
    const Curve curve = Curve::saturating(Bytes{500'000'000}, ByteRate{5'000'000'000});
    RoundProblem problem;
    problem.curve = &curve;
    problem.bandwidth = 1e9;
    problem.go_s = 0;
    problem.budget = 1e8;
    problem.brake.shares.clear();
    problem.brake.stall_s.clear();
    for (int i = 0; i <= 60; ++i) {
        problem.brake.shares.push_back(0.02 * std::pow(50.0, i / 60.0));
        problem.brake.stall_s.push_back(0);
    }
    const auto answer = best_rounds(problem, 4e9);
    ASSERT_TRUE(answer.feasible);
    EXPECT_NEAR(answer.lost_s, 0.53, 0.04);
    EXPECT_NEAR(answer.time_s, 5.0, 0.4);
}

TEST(StudyOptimum, the_clairvoyant_bound_is_the_legendre_transform) {
    // W 0.5, rate 5: W (1 - (1 + ln 5) / 5) = 0.24 link-seconds.
    const Curve curve = Curve::saturating(Bytes{500'000'000}, ByteRate{5'000'000'000});
    EXPECT_NEAR(clairvoyant_s(curve, 1e9), 0.239, 0.005);
}

TEST(StudyOptimum, a_constant_rate_is_a_geometric_series) {
    EXPECT_NEAR(*constant_rate_total_s(8, 0.5, 1, 0.3, 0), 8 + 4 + 2 + 1 + 0.5 + 0.25, 1e-9);
    EXPECT_FALSE(constant_rate_total_s(8, 1.5, 1, 0.3, 0).has_value());
}

TEST(StudyFigures, a_broken_bound_is_counted_and_complained_of) {
    Outcome outcome;
    outcome.kind = Kind::feasible;
    for (auto* attempt : {&outcome.ours, &outcome.calm, &outcome.keen}) attempt->result.end = End::moved;
    EXPECT_EQ(complaint_of(outcome).weight, 0);
    outcome.ours.broken = {"downtime"};
    EXPECT_GE(complaint_of(outcome).weight, 1000);
    const auto figures = figures_of({outcome});
    const auto found = std::ranges::find(figures, "downtime broken", &Figure::name);
    ASSERT_NE(found, figures.end());
    EXPECT_EQ(found->holds, false);
}

}  // namespace
}  // namespace segue::study

// Properties of the estimators: each against a slow, obviously right account of the same thing.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/bandwidth.hpp"
#include "model/fixed_costs.hpp"
#include "model/round_forecast.hpp"
#include "model/work_spread.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Instant at_ms(std::int64_t ms) {
    return {milliseconds{ms}};
}

TEST(BandwidthEstimate, knows_nothing_before_the_first_busy_window) {
    BandwidthEstimate estimate;
    EXPECT_FALSE(estimate.cautious());
    estimate.add(at_ms(0), {0}, true);
    estimate.add(at_ms(49), {5'000'000}, true);
    EXPECT_FALSE(estimate.cautious());
}

TEST(BandwidthEstimate, measures_a_steady_stream) {
    BandwidthEstimate estimate;
    for (int i = 0; i <= 20; ++i) estimate.add(at_ms(i * 50), {i * 5'000'000}, true);
    EXPECT_NEAR(static_cast<double>(estimate.median()->per_second), 100e6, 1e3);
    EXPECT_NEAR(static_cast<double>(estimate.cautious()->per_second), 100e6, 1e3);
}

TEST(BandwidthEstimate, leaves_out_times_in_which_nothing_waited) {
    BandwidthEstimate estimate;
    estimate.add(at_ms(0), {0}, true);
    estimate.add(at_ms(50), {5'000'000}, true);
    estimate.add(at_ms(100), {5'100'000}, false);  // A zero-page phase: hardly anything was sent.
    estimate.add(at_ms(1000), {5'200'000}, true);
    estimate.add(at_ms(1050), {10'200'000}, true);
    EXPECT_EQ(estimate.windows(), 2U);
    EXPECT_NEAR(static_cast<double>(estimate.cautious()->per_second), 100e6, 1e3);
}

TEST(BandwidthEstimate, forgets_a_faster_past) {
    BandwidthEstimate estimate;
    std::int64_t acked = 0;
    std::int64_t ms = 0;
    for (int i = 0; i < 50; ++i) estimate.add(at_ms(ms += 50), {acked += 5'000'000}, true);
    for (int i = 0; i < 25; ++i) estimate.add(at_ms(ms += 50), {acked += 500'000}, true);
    EXPECT_NEAR(static_cast<double>(estimate.at_quantile(1.0)->per_second), 10e6, 1e3);
}

TEST(FixedCosts, are_the_priors_for_a_guest_never_seen) {
    EXPECT_EQ(charge_for({}), prior_fixed_costs);
}

TEST(FixedCosts, charge_the_worst_of_the_last_five_with_a_margin) {
    std::vector<FixedCosts> history;
    for (int ms : {10, 40, 20, 20, 20, 900}) history.push_back({milliseconds{ms}, milliseconds{ms}, milliseconds{ms}});
    EXPECT_EQ(charge_for(history).stop, milliseconds{55});  // 40 + 10 + 5; the sixth is too old to count.
}

TEST(FixedCosts, are_expected_to_be_about_what_they_were_and_far_below_a_prior_where_nothing_was_seen) {
    const FixedCosts seen{milliseconds{3}, milliseconds{12}, milliseconds{6}};
    const auto expected = expected_costs(charge_for({seen, seen}));
    EXPECT_NEAR(to_seconds(expected.total()), to_seconds(seen.total()), 0.15 * to_seconds(seen.total()));
    EXPECT_EQ(expected_costs(prior_fixed_costs).total(), prior_fixed_costs.total() / 4);
    EXPECT_GT(expected_costs({}).total().count(), 0);
}

TEST(RollbackReserve, grows_with_a_slow_host_and_with_a_borrowed_monitor) {
    const auto quiet = rollback_reserve({}, {}, true, {});
    EXPECT_GT(rollback_reserve(milliseconds{4}, {}, true, {}), quiet);
    EXPECT_GT(rollback_reserve({}, milliseconds{4}, true, {}), quiet);
    EXPECT_GT(rollback_reserve({}, {}, false, {}), quiet);
    EXPECT_EQ(rollback_reserve({}, {}, true, milliseconds{40}), milliseconds{60});
}

TEST(PendingBudget, is_what_the_bandwidth_carries_in_what_is_left_of_the_bound) {
    const FixedCosts costs{milliseconds{10}, milliseconds{30}, milliseconds{10}};
    EXPECT_EQ(pending_budget(milliseconds{200}, milliseconds{50}, costs, {100'000'000}, {0}).count, 11'000'000);
    EXPECT_LE(pending_budget(milliseconds{90}, milliseconds{50}, costs, {100'000'000}, {0}).count, 0);
}

double mean_of(const std::vector<double>& busy) {
    double sum = 0;
    for (const double one : busy) sum += one;
    return sum / static_cast<double>(busy.size());
}

double told_at(const std::vector<double>& busy, double share) {
    const double mean = mean_of(busy);
    return work_rate_at(mean, busiest_of(mean, spread_of(busy)), share);
}

double truly_at(const std::vector<double>& busy, double share) {
    double sum = 0;
    for (const double one : busy) sum += std::min(one, share);
    return sum / static_cast<double>(busy.size());
}

TEST(WorkSpread, of_two_kinds_of_vcpus_is_exact) {
    std::vector<double> one_of_sixteen(16, 0.0);
    one_of_sixteen.front() = 1;
    for (const auto& busy : {one_of_sixteen, {1.0}, {0.4, 0.4}, {1.0, 0.1}, {1.0, 1.0, 0.1, 0.1, 0.1}, {0.6, 0.02}}) {
        for (const double share : {0.05, 0.1, 0.2, 0.5, 1.0}) {
            EXPECT_NEAR(told_at(busy, share), truly_at(busy, share), 1e-3) << busy.size() << " at " << share;
        }
    }
}

TEST(WorkSpread, of_other_vcpus_is_nearer_than_taking_all_for_alike) {
    for (const auto& busy : std::vector<std::vector<double>>{
             {1.0, 0.5, 0.2, 0.05}, {1.0, 0.9, 0.3}, {0.8, 0.02, 0.02, 0.3, 0.1, 0.05, 0.4, 0.02}}) {
        double before = 0;
        for (const double share : {0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0}) {
            const double told = told_at(busy, share);
            EXPECT_GE(told, before - 1e-12);
            EXPECT_LE(told, std::min(mean_of(busy), share) + 1e-12);
            EXPECT_GE(told, 0.85 * truly_at(busy, share)) << busy.size() << " at " << share;
            before = told;
        }
    }
    EXPECT_EQ(work_rate_at(0.3, {}, 0.2), 0.2) << "all alike where nothing is known";
}

TEST(DirtyCurve, is_found_again_from_two_samples_of_itself) {
    for (const double w : {20e6, 100e6, 400e6}) {
        for (const double r : {10e6, 50e6, 200e6}) {
            const DirtyCurve truth{{static_cast<std::int64_t>(w)}, {static_cast<std::int64_t>(r)}};
            if (r / w > 4) continue;  // Saturated within the first second: the rate cannot be seen.
            const auto fitted = fit_dirty_curve({seconds{1}, truth.dirtied_in(seconds{1})},
                                                {seconds{3}, truth.dirtied_in(seconds{3})}, {512'000'000});
            const auto ms500 = milliseconds{500};
            EXPECT_NEAR(static_cast<double>(fitted.dirtied_in(ms500).count),
                        static_cast<double>(truth.dirtied_in(ms500).count),
                        0.06 * static_cast<double>(truth.dirtied_in(ms500).count) + 1e4)
                << "working set " << w << " rate " << r;
        }
    }
}

TEST(DirtyCurve, of_an_idle_guest_is_nothing) {
    EXPECT_EQ(fit_dirty_curve({seconds{1}, {0}}, {seconds{3}, {0}}, {512'000'000}).dirtied_in(seconds{10}).count, 0);
}

TEST(RoundForecast, of_an_idle_guest_is_one_pass) {
    const auto out = forecast_rounds({{0}, {0}}, {512'000'000}, {100'000'000}, {10'000'000}, milliseconds{50});
    EXPECT_TRUE(out.converges);
    EXPECT_EQ(out.passes, 1);
    EXPECT_NEAR(to_seconds(out.total), 5.12 + 0.05, 0.01);
}

TEST(RoundForecast, matches_a_hand_count_of_rounds) {
    const DirtyCurve curve{{100'000'000}, {50'000'000}};
    double v = 512e6;
    double total = 0;
    int passes = 0;
    while (true) {
        ++passes;
        total += v / 100e6;
        v = 100e6 * (1 - std::exp(-0.5 * v / 100e6));
        if (v <= 10e6) break;
    }
    const auto out = forecast_rounds(curve, {512'000'000}, {100'000'000}, {10'000'000}, milliseconds{0});
    ASSERT_TRUE(out.converges);
    EXPECT_EQ(out.passes, passes);
    EXPECT_NEAR(to_seconds(out.total), total + v / 100e6, 0.01);
}

TEST(RoundForecast, says_never_for_a_guest_that_dirties_faster_than_the_stream) {
    const DirtyCurve curve{{200'000'000}, {400'000'000}};
    const auto out = forecast_rounds(curve, {512'000'000}, {100'000'000}, {10'000'000}, milliseconds{0});
    EXPECT_FALSE(out.converges);
    EXPECT_GT(out.floor.count, 100'000'000);
}

}  // namespace
}  // namespace segue

// The fit against guests whose curve is known, and against observations that nobody could have made.
#include "model/curve_fit.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>

#include "model/nnls.hpp"
#include "model/random_guest_test.hpp"

namespace segue {
namespace {

constexpr Bytes memory{4'000'000'000};

using Truth = std::function<double(double)>;

CurveBelief fit_of(const Truth& truth, const std::vector<double>& works, double relative_sd = 0.02) {
    CurveFit fit{memory};
    for (const double x : works) fit.add({x, truth(x), relative_sd, CurveEvidence::sync, 0});
    return fit.fit();
}

void expect_near(const CurveBelief& belief, const Truth& truth, double from_s, double to_s, double part) {
    for (double x = from_s; x <= to_s; x *= 1.25) {
        EXPECT_NEAR(belief.curve.bytes_in(x), truth(x), part * truth(x)) << "at " << x;
    }
}

TEST(CurveFit, of_nothing_is_a_guess_and_says_so) {
    const auto belief = CurveFit{memory}.fit();
    EXPECT_GT(belief.curve.bytes_in(1), 0);
    EXPECT_LE(belief.curve.bytes_in(1e3), 4e9);
    EXPECT_GE(belief.sigma_at(1), 1.5);
}

TEST(CurveFit, finds_a_saturating_guest_between_its_observations) {
    const Truth truth = [](double x) { return 300e6 * -std::expm1(-x / 1.5); };
    expect_near(fit_of(truth, {0.05, 0.2, 0.7, 2, 6}), truth, 0.05, 6, 0.03);
}

TEST(CurveFit, finds_the_knee_of_a_cyclic_writer) {
    const Truth truth = [](double x) { return std::min(500e6 * x, 400e6); };
    expect_near(fit_of(truth, {0.1, 0.3, 0.6, 1, 2, 5}), truth, 0.1, 5, 0.10);
}

TEST(CurveFit, finds_both_classes_of_a_guest_with_a_hot_and_a_cold_set) {
    const Truth truth = [](double x) { return 80e6 * -std::expm1(-x / 0.15) + 900e6 * -std::expm1(-x / 20); };
    expect_near(fit_of(truth, {0.05, 0.15, 0.5, 1.5, 5, 15, 40}), truth, 0.05, 40, 0.05);
}

TEST(CurveFit, finds_a_zipf_guest) {
    const Truth truth = [](double x) {
        double sum = 0;
        for (int i = 1; i <= 500; ++i) sum += 1e6 * -std::expm1(-x * 40 / i);
        return sum;
    };
    expect_near(fit_of(truth, {0.1, 0.4, 1.5, 6}), truth, 0.1, 6, 0.04);
}

TEST(CurveFit, goes_through_a_single_observation_and_is_unsure_far_from_it) {
    CurveFit fit{memory};
    fit.add({1.0, 100e6, 0.02, CurveEvidence::sync, 0});
    const auto belief = fit.fit();
    EXPECT_NEAR(belief.curve.bytes_in(1), 100e6, 3e6);
    // Below: no less than a line through zero, no more than all of it at once; the doubt spans both.
    EXPECT_GT(belief.curve.bytes_in(0.1), 9e6);
    EXPECT_LT(belief.curve.bytes_in(0.1), 60e6);
    EXPECT_LT(belief.sigma_at(1), 0.1);
    EXPECT_GT(belief.sigma_at(0.05), 0.4);
    EXPECT_GT(belief.sigma_at(20), 0.3);
}

TEST(CurveFit, of_two_equal_observations_at_different_works_is_flat_between_them) {
    CurveFit fit{memory};
    fit.add({1.0, 200e6, 0.02, CurveEvidence::sync, 0});
    fit.add({3.0, 200e6, 0.02, CurveEvidence::sync, 0});
    const auto belief = fit.fit();
    EXPECT_NEAR(belief.curve.bytes_in(1), 200e6, 8e6);
    EXPECT_NEAR(belief.curve.bytes_in(2), 200e6, 8e6);
    EXPECT_LT(belief.curve.bytes_in(10), 240e6);
}

TEST(CurveFit, of_an_idle_guest_stays_within_what_rounding_may_hide) {
    CurveFit fit{memory};
    fit.add({1.0, 0, 0.03, CurveEvidence::sample, 0.3e6});
    fit.add({3.0, 0, 0.03, CurveEvidence::sample, 0.9e6});
    const auto belief = fit.fit();
    EXPECT_LT(belief.curve.bytes_in(1), 1e6);
    EXPECT_LT(belief.curve.bytes_in(10), 10e6);
    EXPECT_GT(belief.sigma_at(1), 0.2);
}

TEST(CurveFit, of_contradicting_observations_lies_between_them) {
    CurveFit fit{memory};
    for (int i = 0; i < 4; ++i) {
        fit.add({1.0, 50e6, 0.05, CurveEvidence::sync, 0});
        fit.add({1.0, 150e6, 0.05, CurveEvidence::sync, 0});
    }
    const double middle = fit.fit().curve.bytes_in(1);
    EXPECT_GT(middle, 50e6);
    EXPECT_LT(middle, 150e6);
}

TEST(CurveFit, is_hardly_moved_by_one_wild_round) {
    CurveFit fit{memory};
    for (int i = 0; i < 6; ++i) fit.add({1.0, 100e6, 0.05, CurveEvidence::sync, 0});
    fit.add({1.0, 2000e6, 0.05, CurveEvidence::sync, 0});
    for (int i = 0; i < 2; ++i) fit.add({1.0, 100e6, 0.05, CurveEvidence::sync, 0});
    EXPECT_LT(fit.fit().curve.bytes_in(1), 130e6);
}

TEST(CurveFit, forgets_an_older_level_of_the_guest) {
    CurveFit fit{memory};
    for (int i = 0; i < 5; ++i) fit.add({5.0, 100e6, 0.05, CurveEvidence::sync, 0});
    for (int i = 0; i < 12; ++i) fit.add({5.0, 200e6, 0.05, CurveEvidence::sync, 0});
    EXPECT_NEAR(fit.fit().curve.bytes_in(5), 200e6, 10e6);
}

TEST(CurveFit, keeps_a_long_pass_while_short_ones_follow_it) {
    CurveFit fit{memory};
    fit.add({20.0, 1000e6, 0.02, CurveEvidence::sync, 0});
    for (int i = 0; i < 12; ++i) fit.add({0.1, 10e6, 0.02, CurveEvidence::sync, 0});
    EXPECT_NEAR(fit.fit().curve.bytes_in(20), 1000e6, 50e6);
}

TEST(CurveFit, learns_from_syncs_what_page_sampling_misses) {
    const Truth truth = [](double x) { return 600e6 * -std::expm1(-x / 4); };
    CurveFit fit{memory};
    for (const double x : {1.0, 3.0}) fit.add({x, 0.8 * truth(x), 0.03, CurveEvidence::sample, 0});
    const double before = fit.fit().curve.bytes_in(1);
    for (const double x : {4.0, 2.0, 2.0}) fit.add({x, truth(x), 0.03, CurveEvidence::sync, 0});
    EXPECT_LT(before, 0.86 * truth(1));
    EXPECT_GT(fit.fit().curve.bytes_in(1), 0.9 * truth(1));
}

TEST(CurveFit, holds_on_to_the_shape_when_the_guest_changes) {
    const Truth truth = [](double x) { return 300e6 * -std::expm1(-x / 1.5); };
    CurveFit fit{memory};
    for (const double x : {0.1, 0.5, 2.0, 6.0}) fit.add({x, truth(x), 0.02, CurveEvidence::sync, 0});
    fit.change(2.0, 0);
    for (const double x : {0.1, 0.5, 2.0, 6.0}) EXPECT_NEAR(fit.fit().curve.bytes_in(x), 2 * truth(x), 0.2 * truth(x));
    fit.add({2.0, 3 * truth(2), 0.02, CurveEvidence::sync, 0});
    EXPECT_NEAR(fit.fit().curve.bytes_in(2), 3 * truth(2), 0.3 * truth(2));
}

RC_GTEST_PROP(CurveFit, of_anything_is_a_curve_within_memory, ()) {
    CurveFit fit{memory};
    const auto count = *rc::gen::inRange(1, 100);
    for (int i = 0; i < count; ++i) {
        const double strange = *rc::gen::element(0.0, -1.0, 1e300, 1e-300, std::numeric_limits<double>::infinity(),
                                                 std::numeric_limits<double>::quiet_NaN(), 1e9, 1.0);
        const double plain = *rc::gen::inRange(0, 1'000'000'000);
        const bool odd = *rc::gen::inRange(0, 4) == 0;
        const auto evidence = *rc::gen::element(CurveEvidence::remembered, CurveEvidence::sample, CurveEvidence::sync);
        fit.add({odd ? strange : *rc::gen::inRange(1, 100'000) / 1e3, *rc::gen::arbitrary<bool>() ? plain : strange,
                 *rc::gen::element(0.0, 0.02, 0.3, 1e9, strange), evidence, *rc::gen::element(0.0, 1e6, strange)});
        if (*rc::gen::inRange(0, 20) == 0) fit.change(*rc::gen::element(0.01, 1.5, 300.0), 1);
    }
    RC_ASSERT(fit.observations().size() <= CurveFit::observations_max);
    const auto belief = fit.fit();
    double before = 0;
    for (std::size_t i = 0; i < Curve::points; ++i) {
        const double value = belief.curve.table()[i];
        RC_ASSERT(std::isfinite(value) && value >= before && value <= 4.0001e9);
        RC_ASSERT(belief.log_sigma[i] >= 0.02 && belief.log_sigma[i] <= 2);
        before = value;
    }
    RC_ASSERT(fit.fit().curve == belief.curve && fit.fit().log_sigma == belief.log_sigma);
}

TEST(CurveFit, of_a_page_and_a_terabyte_beside_it_is_of_some_doubt) {
    for (const double little : {0.0, 1.0, 4096.0, 1e6}) {
        for (const double much : {4096.0, 1e9, 1e12}) {
            for (const double little_s : {1e-6, 0.1, 5.0, 4000.0}) {
                for (const double much_s : {1e-4, 0.5, 60.0, 4000.0}) {
                    CurveFit fit{Bytes{std::int64_t{1} << 40}};
                    fit.add({little_s, little, 0.02, CurveEvidence::sync, 4096});
                    fit.add({much_s, much, 0.02, CurveEvidence::sync, 4096});
                    for (const double sigma : fit.fit().log_sigma) {
                        EXPECT_TRUE(sigma >= 0.02 && sigma <= 2)
                            << sigma << " of " << little << " in " << little_s << " and " << much << " in " << much_s;
                    }
                }
            }
        }
    }
}

TEST(CurveFit, is_the_same_to_the_bit_from_the_same_observations) {
    const auto one = fit_of([](double x) { return 1e8 * x / (1 + x); }, {0.1, 1, 10});
    const auto two = fit_of([](double x) { return 1e8 * x / (1 + x); }, {0.1, 1, 10});
    EXPECT_EQ(one.curve, two.curve);
    EXPECT_EQ(one.log_sigma, two.log_sigma);
}

TEST(SolveNonnegative, meets_the_conditions_of_the_least) {
    test::Chance chance(5);
    for (int round = 0; round < 200; ++round) {
        NnlsMatrix h{};
        NnlsVector b{};
        for (int o = 0; o < 1 + round % 20; ++o) {
            NnlsVector row{};
            for (auto& value : row) value = chance.log_uniform(1e-3, 10);
            const double target = chance.log_uniform(1e-2, 1e3);
            for (std::size_t i = 0; i < row.size(); ++i) {
                b[i] += row[i] * target;
                for (std::size_t j = 0; j < row.size(); ++j) h[i][j] += row[i] * row[j];
            }
        }
        for (std::size_t i = 0; i < b.size(); ++i) h[i][i] += 0.01;
        const auto a = solve_nonnegative(h, b);
        for (std::size_t i = 0; i < b.size(); ++i) {
            double slope = -b[i];
            for (std::size_t j = 0; j < b.size(); ++j) slope += h[i][j] * a[j];
            EXPECT_GE(a[i], 0);
            EXPECT_GE(slope, -1e-5 * (1 + b[i])) << i;
            EXPECT_LE(a[i] * slope, 1e-5 * (1 + std::abs(a[i] * b[i]))) << i;
        }
    }
}

TEST(CurveFit, takes_well_under_a_millisecond) {
    for (const int count : {1, 2, 5, 40}) {
        CurveFit fit{memory};
        test::Chance chance(3);
        for (int i = 0; i < count; ++i) {
            fit.add({chance.log_uniform(0.05, 20), chance.log_uniform(1e6, 1e9), 0.05, CurveEvidence::sync, 0});
        }
        double best_ms = 1e9;
        for (int i = 0; i < 20; ++i) {
            const auto begin = std::chrono::steady_clock::now();
            EXPECT_GT(fit.fit().curve.bytes_in(1), 0);
            const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
            best_ms = std::min(best_ms, took.count());
        }
        std::printf("a fit of %d observations takes %.3f ms\n", count, best_ms);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        EXPECT_LT(best_ms, 1.0);
#endif
    }
}

}  // namespace
}  // namespace segue

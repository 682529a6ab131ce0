#include "model/curve.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace segue {
namespace {

TEST(Curve, of_a_quiet_guest_is_nothing) {
    EXPECT_EQ(Curve{}.bytes_in(100), 0);
    EXPECT_TRUE(std::isinf(Curve{}.work_for(1)));
}

TEST(Curve, saturating_is_within_one_per_cent_of_its_formula) {
    const double w = 200e6;
    const double r = 550e6;
    const auto curve = Curve::saturating({200'000'000}, {550'000'000});
    for (double x = 0.0005; x < 2000; x *= 1.07) {
        const double exact = w * (1 - std::exp(-r * x / w));
        EXPECT_NEAR(curve.bytes_in(x), exact, 0.01 * exact) << x;
    }
}

TEST(Curve, of_any_numbers_is_concave_and_never_falls) {
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        std::array<double, Curve::points> any{};
        for (auto& value : any) value = std::uniform_real_distribution<double>(0, 1e9)(random);
        const Curve curve{any};
        double slope_before = curve.bytes_in(Curve::first_s) / Curve::first_s;
        for (std::size_t i = 0; i < Curve::points; ++i) EXPECT_GE(curve.table()[i], any[i] * (1 - 1e-12));
        for (std::size_t i = 1; i < Curve::points; ++i) {
            const double rise = curve.table()[i] - curve.table()[i - 1];
            const double slope = rise / (Curve::work_at(i) - Curve::work_at(i - 1));
            EXPECT_GE(slope, -1e-3);
            EXPECT_LE(slope, slope_before * (1 + 1e-6) + 1e-3);
            slope_before = slope;
        }
        EXPECT_EQ(Curve::recorded(curve.table()), curve);
    }
}

TEST(Curve, is_linear_between_its_points_and_has_them_itself) {
    std::array<double, Curve::points> roots{};
    for (std::size_t i = 0; i < Curve::points; ++i) roots[i] = 1e8 * std::sqrt(Curve::work_at(i));
    const Curve curve(roots);
    const auto& table = curve.table();
    for (std::size_t i = 0; i + 1 < Curve::points; ++i) {
        const double low = Curve::work_at(i);
        const double high = Curve::work_at(i + 1);
        EXPECT_NEAR(curve.bytes_in(low), table[i], 1e-9 * table[i]);
        for (const double part : {1e-12, 0.01, 0.5, 0.99, 1 - 1e-12}) {
            const double expected = table[i] + part * (table[i + 1] - table[i]);
            EXPECT_NEAR(curve.bytes_in(low + part * (high - low)), expected, 1e-9 * expected) << i << ' ' << part;
        }
    }
}

TEST(Curve, work_for_is_the_inverse_of_bytes_in) {
    const auto curve = Curve::saturating({100'000'000}, {300'000'000});
    for (double x = 0.0002; x < 1; x *= 1.3) EXPECT_NEAR(curve.work_for(curve.bytes_in(x)), x, 1e-9 + 1e-6 * x);
}

TEST(Curve, stretched_needs_so_many_times_the_work_for_the_same_bytes) {
    const auto curve = Curve::saturating(mebibytes(200), mebibytes_per_second(550));
    const auto slower = curve.stretched(1.25);
    for (const double work_s : {0.002, 0.05, 0.4, 3.0, 100.0}) {
        EXPECT_NEAR(slower.bytes_in(1.25 * work_s), curve.bytes_in(work_s), 0.004 * curve.bytes_in(work_s)) << work_s;
    }
    const Curve again{slower.table()};
    for (std::size_t i = 0; i < Curve::points; ++i) {
        EXPECT_NEAR(again.table()[i], slower.table()[i], 1e-9 * slower.table()[i] + 1e-3) << "as concave as it was";
    }
}

}  // namespace
}  // namespace segue

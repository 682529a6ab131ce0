// Bands that are too narrow are widened until they cover; those that are right are left.
#include "model/conformal.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/random_guest_test.hpp"

namespace segue {
namespace {

using test::Chance;

/// Part of the outcomes within the widened bands of a forecaster who claims `claimed` and is off by `real`.
double coverage(double claimed, double real, std::uint64_t seed, int forecasts) {
    Conformal conformal;
    Chance chance(seed);
    int inside = 0;
    for (int i = 0; i < forecasts; ++i) {
        const Band band = lognormal_band(chance.log_uniform(1, 1e9), claimed);
        const double outcome = band.p50 * std::exp(real * chance.normal());
        const Band wide = conformal.widened(band);
        if (outcome >= wide.p10 && outcome <= wide.p90) ++inside;
        conformal.add(band, outcome);
    }
    return static_cast<double>(inside) / forecasts;
}

TEST(Conformal, leaves_a_band_as_it_is_before_anything_came_true) {
    EXPECT_EQ(Conformal{}.factor(), 1);
    const Band band{1, 2, 4};
    EXPECT_EQ(Conformal{}.widened(band), band);
}

TEST(Conformal, covers_four_of_five_whoever_forecasts) {
    EXPECT_NEAR(coverage(0.1, 0.1, 1, 2000), 0.8, 0.04);
    EXPECT_NEAR(coverage(0.1, 0.3, 2, 2000), 0.8, 0.04);
    EXPECT_GE(coverage(0.3, 0.1, 3, 2000), 0.8);
}

TEST(Conformal, follows_a_forecaster_who_gets_worse) {
    Conformal conformal;
    for (int i = 0; i < 60; ++i) conformal.add({9, 10, 11}, 10.05);
    EXPECT_LT(conformal.factor(), 1);
    for (int i = 0; i < 60; ++i) conformal.add({9, 10, 11}, i % 2 == 0 ? 13 : 8);
    EXPECT_GT(conformal.factor(), 1.5);
}

TEST(Conformal, scores_each_side_by_its_own_half) {
    Conformal up;
    Conformal down;
    for (int i = 0; i < 60; ++i) {
        up.add({9, 10, 20}, 15);
        down.add({9, 10, 20}, 15.0 / 2.25);
    }
    EXPECT_LT(up.factor(), 1);
    EXPECT_GT(down.factor(), 3);
}

TEST(Conformal, ignores_what_has_no_logarithm) {
    Conformal conformal;
    conformal.add({0, 0, 0}, 1);
    conformal.add({1, 2, 3}, 0);
    conformal.add({1, 2, 3}, -1);
    conformal.add({1, 2, 3}, std::numeric_limits<double>::infinity());
    conformal.add({3, 2, 1}, 2);
    EXPECT_EQ(conformal.count(), 0U);
    EXPECT_EQ(conformal.widened(Band{}), Band{});
}

}  // namespace
}  // namespace segue

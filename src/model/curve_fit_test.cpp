// The fit against guests whose curve is known.
#include "model/curve_fit.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

TEST(CurveFit, of_nothing_is_a_guess_and_says_so) {
    const auto belief = CurveFit{mebibytes(512)}.fit();
    EXPECT_GT(belief.curve.bytes_in(1), 0);
    EXPECT_GE(belief.sigma_at(1), 1.5);
}

}  // namespace
}  // namespace segue

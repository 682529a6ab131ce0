#include "io/chance.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

TEST(DrawHex, draws_another_one_each_time) {
    const std::string a = draw_hex();
    EXPECT_EQ(a.size(), 32U);
    EXPECT_EQ(a.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_NE(a, draw_hex());
}

}  // namespace
}  // namespace segue

#include "model/page_sampling.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

TEST(PageSampling, hashes_65536_pages_as_far_as_qemu_lets_us) {
    EXPECT_EQ(sample_pages_per_gib(mebibytes(130)), 16384);
    EXPECT_EQ(sample_pages_per_gib(mebibytes(8 * 1024)), 8192);
    EXPECT_EQ(sample_pages_per_gib(mebibytes(1024 * 1024)), 512);
    EXPECT_EQ(sample_pages_per_gib({0}), 16384);
    EXPECT_EQ(pages_hashed(mebibytes(128)), 2048);
    EXPECT_EQ(pages_hashed(mebibytes(8 * 1024)), 65'536);
    EXPECT_EQ(pages_hashed(mebibytes(1024 * 1024)), 512 * 1024);
}

TEST(PageSampling, of_a_plan_looks_at_last_for_as_long_as_pass_1_takes_and_for_30_s_at_most) {
    using std::chrono::milliseconds;
    using std::chrono::seconds;
    EXPECT_EQ(last_look(milliseconds{4'900}), Duration{0});
    EXPECT_EQ(last_look(milliseconds{5'900}), seconds{5});
    EXPECT_EQ(last_look(seconds{20}), seconds{20});
    EXPECT_EQ(last_look(std::chrono::hours{1}), seconds{30});
}

TEST(PageSampling, beside_pass_1_needs_a_rest_of_it_that_lasts_longer_and_zero_pages_do_not_count) {
    constexpr auto rate = mebibytes_per_second(100);
    constexpr Duration three = std::chrono::seconds{3};
    EXPECT_TRUE(pass_outlasts(three, mebibytes(400), mebibytes(500), mebibytes(100), rate));
    EXPECT_FALSE(pass_outlasts(three, mebibytes(320), mebibytes(500), mebibytes(100), rate));
    EXPECT_FALSE(pass_outlasts(three, mebibytes(400), mebibytes(300), mebibytes(100), rate)) << "the rest is zero";
    EXPECT_FALSE(pass_outlasts(three, mebibytes(400), mebibytes(50), mebibytes(100), rate));
    EXPECT_FALSE(pass_outlasts(three, mebibytes(400), mebibytes(500), mebibytes(100), {})) << "nothing gets through";
}

}  // namespace
}  // namespace segue

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

}  // namespace
}  // namespace segue

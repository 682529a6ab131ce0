#include "io/zero_scan.hpp"

#include <gtest/gtest.h>

#include "units/bytes.hpp"

namespace segue {
namespace {

TEST(ZeroScan, IsFasterThanADiskAndSlowerThanACache) {
    const ByteRate rate = zero_scan_rate();
    EXPECT_GT(rate.per_second, std::int64_t{50} << 20);
    EXPECT_LT(rate.per_second, std::int64_t{400} << 30);
}

}  // namespace
}  // namespace segue

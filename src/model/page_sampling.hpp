#pragma once
/// \file  How many pages one page sampling of QEMU hashes: what is asked for and how much its answer can be trusted.
///
/// calc-dirty-rate takes `sample-pages` for each GiB of RAM, 512 by default and 16 384 at most (qapi/migration.json,
/// migration/dirtyrate.h); 65 536 pages in all cost 0.1 s of one CPU. Pure. Cost: O(1).

#include <algorithm>
#include <cstdint>

#include "units/bytes.hpp"

namespace segue {

[[nodiscard]] constexpr double gibibytes_of(Bytes memory) {
    return static_cast<double>(std::max<std::int64_t>(memory.count, 1)) / static_cast<double>(mebibytes(1024).count);
}

/// For each GiB: as many as keep the pages hashed at about 65 536 in all, as far as QEMU lets us.
[[nodiscard]] constexpr std::int64_t sample_pages_per_gib(Bytes memory) {
    return static_cast<std::int64_t>(std::clamp(65'536.0 / gibibytes_of(memory), 512.0, 16'384.0));
}

/// In all.
[[nodiscard]] constexpr std::int64_t pages_hashed(Bytes memory) {
    return static_cast<std::int64_t>(static_cast<double>(sample_pages_per_gib(memory)) * gibibytes_of(memory));
}

}  // namespace segue

#pragma once
/// \file  Page sampling by QEMU: over which intervals, and how many pages one sample hashes, which tells how much its
///        answer can be trusted.
///
/// calc-dirty-rate takes `sample-pages` for each GiB of RAM, 512 by default and 16 384 at most (qapi/migration.json,
/// migration/dirtyrate.h); 65 536 pages in all cost 0.1 s of one CPU. Pure. Cost: O(1).

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

/// The shortest is the one that shows what a blackout's worth of work dirties, which decides how hard a brake must be;
/// the longer ones show what passes dirty.
inline constexpr std::array sample_intervals = {Duration{std::chrono::milliseconds{100}},
                                                Duration{std::chrono::milliseconds{500}},
                                                Duration{std::chrono::seconds{3}}};
/// A move begins after so many of them, whose 0.6 s show whether it is hopeless; a plan waits for all.
inline constexpr std::size_t samples_before_start = 2;
/// For a QEMU before 8.2, which samples by whole seconds and not beside pass 1: all before the start.
inline constexpr std::array whole_second_intervals = {Duration{std::chrono::seconds{1}},
                                                      Duration{std::chrono::seconds{3}}};
/// Until a first rate of the link is known; and so much sooner than pass 1 a sample beside it must end, since comparing
/// its pages costs 0.1 s of a CPU.
inline constexpr Duration sample_settle = std::chrono::milliseconds{300};

/// Whether pass 1 will outlast a sample that begins now. Its zero pages go by at once: \p content of the memory is not.
[[nodiscard]] constexpr bool pass_outlasts(Duration interval, Bytes pending, Bytes content, Bytes sent, ByteRate rate) {
    const Bytes left = std::min(pending, std::max(content - sent, Bytes{0}));
    return rate.per_second > 0 && left / rate >= interval + sample_settle;
}

/// How long a plan looks at last: as long as pass 1 will take, since what that leaves decides what comes after it, and
/// cannot be told from 3 s (docs/evidence.md). 0: the samples above are enough. QEMU measures 60 s at most.
[[nodiscard]] constexpr Duration last_look(Duration pass_1) {
    constexpr Duration worth_it = std::chrono::seconds{5};
    constexpr Duration most = std::chrono::seconds{30};
    const Duration whole = std::chrono::floor<std::chrono::seconds>(pass_1);
    return whole < worth_it ? Duration{0} : std::min(whole, most);
}

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

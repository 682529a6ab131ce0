#pragma once
/// \file  What the bounds of a move may be, wherever they are written; ends included.
///
/// max-downtime: 2000 s is QEMU's own largest downtime-limit, and below 10 ms no switchover with its rollback
/// reserve fits. Rates: at 1 MiB/s the default downtime still leaves 300 KiB for the blackout; below that there
/// is nothing to switch with. min-cpu: a guest with less than 1 % of its CPU is not kept running but stopped slowly.
/// max-stall: below 20 ms even the kernel's tick breaks it.

#include "units/bytes.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue::bound_range {

inline constexpr Duration max_downtime_min = std::chrono::milliseconds{10};
inline constexpr Duration max_downtime_max = std::chrono::seconds{2000};
inline constexpr Duration timeout_min = std::chrono::seconds{1};
inline constexpr Duration timeout_max = std::chrono::hours{24 * 30};
inline constexpr ByteRate rate_min = mebibytes_per_second(1);
inline constexpr ByteRate rate_max{1'000'000'000'000};
inline constexpr Share min_cpu_min{0.01};
inline constexpr Share min_cpu_max{1.0};
inline constexpr Duration max_stall_min = std::chrono::milliseconds{20};
inline constexpr Duration max_stall_max = std::chrono::seconds{10};
inline constexpr double aggression_min = 0.0;
inline constexpr double aggression_max = 1.0;

}  // namespace segue::bound_range

#pragma once
/// \file  Every bound on a queue, a message or a loop, with its reason. Nothing here has a unit of
///        time but the names that say so.

#include <cstddef>

namespace segue::limits {

/// Longest QMP message taken from a peer. The largest real ones (query-qmp-schema aside, which we
/// never ask) are device trees of a few tens of KiB.
inline constexpr std::size_t qmp_message_bytes_max = 1024 * 1024;

/// Nesting in a QMP message. QEMU's own reply depth stays below 10.
inline constexpr std::size_t qmp_depth_max = 64;

/// QEMU serves an out-of-band command behind those already parsed: with 6 or fewer outstanding, a
/// yank was answered in 0.5 ms, with 10 two of three were not answered in time (measured).
inline constexpr std::size_t qmp_outstanding_max = 4;

/// Commands waiting for their turn in our own queue; more is our own mistake.
inline constexpr std::size_t qmp_queued_max = 64;

}  // namespace segue::limits

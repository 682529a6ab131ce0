#pragma once
/// \file  The memory that `segue receive` shares with the guardian beside the destination QEMU: until when this
///        QEMU may wait for its word, and who came first, the word or its end.
///
/// Layout: fixed, native byte order, one host, one build: `version` must match exactly.
/// Thread: every field has one writer, named below, but `claim`, which is a compare-and-set between both.
/// All atomics are lock-free. Instants are CLOCK_BOOTTIME nanoseconds.

#include <atomic>
#include <cstdint>

#include "units/duration.hpp"

namespace segue::guard {

inline constexpr std::uint32_t dst_board_magic = 0x53474453;
inline constexpr std::uint32_t dst_board_version = 1;

/// Decided once. Numbers are never reused.
enum class DstClaim : std::uint32_t {
    open = 0,
    claimed = 1,  ///< A word is being accepted: the guardian never touches this QEMU any more.
    killed = 2,   ///< The guardian ends this QEMU: no word will be accepted.
};

struct DstBoard {
    std::uint32_t magic = dst_board_magic;
    std::uint32_t version = dst_board_version;

    std::atomic<std::uint32_t> claim{0};  ///< DstClaim.

    // Written by segue receive.
    std::atomic<std::uint32_t> armed{0};     ///< 1 if this QEMU is ours to kill.
    std::atomic<std::int64_t> alive_at_ns{0};  ///< The source's last sign of life. Written before `armed`.
    std::atomic<std::uint32_t> released{0};  ///< 1: the guardian may leave.

    // Written by the guardian.
    std::atomic<std::uint32_t> watching{0};      ///< 1 once it stands.
    std::atomic<std::int64_t> killed_at_ns{0};  ///< When it sent the kill; 0: never.
};

static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

/// \return  Whether the claim is `wanted` now, by this call or an earlier one of the same side.
[[nodiscard]] inline bool decide(DstBoard& board, DstClaim wanted) noexcept {
    auto found = static_cast<std::uint32_t>(DstClaim::open);
    const auto value = static_cast<std::uint32_t>(wanted);
    return board.claim.compare_exchange_strong(found, value) || found == value;
}

}  // namespace segue::guard

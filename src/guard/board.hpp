#pragma once
/// \file  The memory that Segue shares with its guardian during one move: who may say the word, how far
///        the move is, and until when the guest may stand still.
///
/// The guardian is a small process of its own (app/guard) that sees to it that the guest runs again
/// within max downtime when Segue dies or stalls (DESIGN.md section 4 point 3). Both map this board;
/// neither trusts anything else the other may have meant to say.
///
/// Layout: fixed, native byte order, one host, one build: `version` must match exactly.
/// Thread: every field has one writer, named below, but `verdict`, which is a compare-and-set between
/// both. All atomics are lock-free. Instants are CLOCK_BOOTTIME nanoseconds.

#include <atomic>
#include <cstdint>
#include <string_view>

#include "units/duration.hpp"

namespace segue::guard {

inline constexpr std::uint32_t board_magic = 0x53475545;
inline constexpr std::uint32_t board_version = 1;
inline constexpr std::uint32_t put_back_bytes_max = 16 * 1024;

/// The one decision that must be taken once: who owns the guest in the end. Numbers are never reused.
enum class Verdict : std::uint32_t {
    open = 0,      ///< Nobody has decided: both the word and a rollback are still possible.
    word = 1,      ///< Segue may send (or has sent) the hand-over word. The guardian touches nothing.
    rollback = 2,  ///< The word will never be sent. This, not the destination's death, makes undoing safe.
};

/// How far Segue got, written *before* it acts. Numbers are never reused.
enum class Stage : std::uint32_t {
    idle = 0,       ///< `migrate` has not been sent: the guest cannot stop by us.
    copying = 1,    ///< `migrate` may have been sent. The source may stop the guest by itself.
    switching = 2,  ///< The source may stop the guest at any time: go has been said.
    held = 3,       ///< `pre-switchover` was seen: the guest stands, its memory still ours to keep.
    continued = 4,  ///< `migrate-continue` may have been sent: QEMU's monitor may answer nothing.
    loaded = 5,     ///< The source said `completed`: the destination holds a whole, paused copy.
    undoing = 6,    ///< Segue is rolling back itself.
    over = 7,       ///< The move has ended and everything is put back: the guardian may leave.
};

/// What the guardian does. Written by the guardian.
enum class GuardState : std::uint32_t {
    starting = 0,
    watching = 1,      ///< Connected (or queued), calibrated, ready.
    rolling_back = 2,  ///< It has set `verdict` to rollback and is working.
    rolled_back = 3,   ///< It saw the guest run on the source again (or knows that it never stopped).
    needs_help = 4,    ///< It has no monitor of its own: Segue must cancel or continue now, or be killed
                       ///< (rules.hpp: help_wait, undo_wait). The stream is already cut.
    failed = 5,        ///< It could not bring the guest back: a person must look.
};

enum class RollbackReason : std::uint32_t { none = 0, deadline = 1, segue_died = 2, segue_stalled = 3 };

struct Board {
    std::uint32_t magic = board_magic;
    std::uint32_t version = board_version;

    std::atomic<std::uint32_t> verdict{0};  ///< Verdict. Compare-and-set by both.

    // Written by Segue.
    std::atomic<std::uint32_t> stage{0};      ///< Stage.
    std::atomic<std::uint32_t> pass{0};       ///< Dirty syncs seen; for logs and fault points only.
    std::atomic<std::int64_t> ran_at_ns{0};   ///< Last proof that a vCPU ran on the source.
    std::atomic<std::int64_t> budget_ns{0};   ///< Max downtime minus the reserve for rolling back.
    std::atomic<std::uint32_t> source_runs{0};  ///< 1 once Segue saw RESUME (or running) after a rollback.
    /// 1 if somebody else had paused the guest before the move: then it must not be made to run, and
    /// its standing has no deadline.
    std::atomic<std::uint32_t> stood_before{0};
    /// In-band QMP lines (each `{...}\n`, without ids) that give the source its capabilities and
    /// parameters back; sent by the guardian only when Segue is dead. Length last, with release.
    std::atomic<std::uint32_t> put_back_length{0};
    char put_back[put_back_bytes_max] = {};

    // Written by the guardian.
    std::atomic<std::uint32_t> guard_state{0};      ///< GuardState.
    std::atomic<std::uint32_t> rollback_reason{0};  ///< RollbackReason.
    std::atomic<std::uint32_t> own_monitor{0};      ///< 1 if greeted on a monitor of its own.
    std::atomic<std::int64_t> lateness_worst_ns{0};    ///< Worst lateness of its timers, at calibration.
    std::atomic<std::int64_t> round_trip_worst_ns{0};  ///< Worst out-of-band round trip, 0 if queued.
    std::atomic<std::int64_t> resumed_at_ns{0};        ///< When it saw the guest run again.

    // Written by Segue; younger than the rest.
    std::atomic<std::int64_t> undoing_at_ns{0};  ///< Its last sign of life while undoing.
};

/// One word each for logs and the guardian's last line: "held", "rolled back", "segue died".
[[nodiscard]] std::string_view to_string(Stage stage) noexcept;
[[nodiscard]] std::string_view to_string(GuardState state) noexcept;
[[nodiscard]] std::string_view to_string(RollbackReason reason) noexcept;

static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

/// Claims the right to send the word. At most one of this and `claim_rollback` ever returns true.
[[nodiscard]] inline bool claim_word(Board& board) noexcept {
    auto expected = static_cast<std::uint32_t>(Verdict::open);
    return board.verdict.compare_exchange_strong(expected, static_cast<std::uint32_t>(Verdict::word));
}

enum class RollbackClaim {
    ours,     ///< This call decided it.
    already,  ///< The other side (or an earlier call) had decided it: rolling back is right all the same.
    too_late, ///< The word was claimed.
};

[[nodiscard]] inline RollbackClaim try_rollback(Board& board) noexcept {
    auto found = static_cast<std::uint32_t>(Verdict::open);
    if (board.verdict.compare_exchange_strong(found, static_cast<std::uint32_t>(Verdict::rollback))) {
        return RollbackClaim::ours;
    }
    return found == static_cast<std::uint32_t>(Verdict::rollback) ? RollbackClaim::already : RollbackClaim::too_late;
}

/// True if the verdict is rollback now, by this call or an earlier one.
[[nodiscard]] inline bool claim_rollback(Board& board) noexcept {
    return try_rollback(board) != RollbackClaim::too_late;
}

}  // namespace segue::guard

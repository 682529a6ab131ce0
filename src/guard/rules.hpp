#pragma once
/// \file  When the guardian rolls back. Pure, so that the simulator runs the very rules of the guardian.

#include <algorithm>
#include <optional>

#include "guard/board.hpp"
#include "units/duration.hpp"

namespace segue::guard {

/// What the guardian knows at one moment.
struct View {
    Instant now;
    Verdict verdict = Verdict::open;
    Stage stage = Stage::idle;
    Instant ran_at;       ///< Board::ran_at_ns.
    Duration budget{0};   ///< Board::budget_ns.
    bool segue_alive = true;
    bool own_monitor = false;
    /// Board::source_runs, or the guardian's own rollback saw the guest run.
    bool source_runs = false;
    bool stood_before = false;  ///< Board::stood_before.
    /// STOP seen on its own monitor and no RESUME since.
    std::optional<Instant> stop_seen_at;
};

enum class Action {
    wait,       ///< Look again at `Advice::wake_at` or at the next event.
    roll_back,  ///< Claim the verdict, then bring the source back.
    put_back,   ///< Segue died before anything could have stopped: restore what it changed, leave.
    leave,      ///< Nothing to guard (any more).
};

struct Advice {
    Action action = Action::wait;
    RollbackReason reason = RollbackReason::none;
    Instant wake_at;  ///< Only for `wait`; far in the future when only an event can matter.
};

/// STOP is emitted after the vCPUs were paused; pausing them was never seen to take longer than this.
inline constexpr Duration pause_worst = std::chrono::milliseconds{10};
inline constexpr Duration no_deadline = std::chrono::hours{24};

// For the reserve that Segue takes off max downtime. With a monitor of its own the guardian needs its
// worst lateness, its worst round trip and QEMU's 1.1 to 15 ms (measured). Without one, add help_wait
// and the 0.3 ms after which the dead holder's monitor greets it; a Segue that answers may use
// undo_wait, but its guest then stands that long past the budget.

/// How long a Segue that holds the only monitor has for a sign of life (`undoing`, or `source_runs`)
/// before it is killed. A healthy one answers within a millisecond; ten leave room for one late tick
/// of the scheduler (4 ms at 250 Hz) on a busy host.
inline constexpr Duration help_wait = std::chrono::milliseconds{10};
/// How long it may be silent while `undoing`: twice the 15 ms that QEMU was seen
/// to need from a cut to RESUME. Killing it sooner would bring nothing, the cut has been made.
inline constexpr Duration undo_wait = std::chrono::milliseconds{30};

/// Until when a guardian without a monitor of its own leaves the rollback to Segue. As long as Segue gives
/// signs of life it is not killed: what keeps it (a flush that nothing can interrupt) would keep us too.
[[nodiscard]] constexpr Instant leave_it_to_segue_until(Instant asked_at, Stage stage, Instant undoing_at) noexcept {
    if (stage != Stage::undoing) return asked_at + help_wait;
    return std::max(asked_at, undoing_at) + undo_wait;
}

/// How long a braked guest may run without a sign of life from Segue before it is let go. Around a dirty sync QEMU
/// answers nothing for some tenths of a second, and Segue with it; a false alarm costs the brake until it is set
/// again, a missed one costs the guest its CPU until somebody looks.
inline constexpr Duration brake_silence_max = std::chrono::seconds{2};

/// When the brake must go if nothing changes; far in the future where only an event can matter.
[[nodiscard]] constexpr Instant brake_deadline(const View& view) noexcept {
    if (!view.segue_alive || view.verdict != Verdict::open || view.stage == Stage::undoing ||
        view.stage == Stage::over) {
        return view.now;
    }
    if (view.stage == Stage::idle || view.budget.count() == 0) return view.now + no_deadline;
    return view.ran_at + std::max(brake_silence_max, view.budget);
}

[[nodiscard]] constexpr Advice advise(const View& view) noexcept {
    const Advice idle{Action::wait, RollbackReason::none, view.now + no_deadline};
    if (view.verdict == Verdict::word || view.stage == Stage::over) return {Action::leave, {}, {}};
    if (!view.segue_alive) {
        if (view.stage == Stage::idle) return {Action::put_back, RollbackReason::segue_died, {}};
        return {Action::roll_back, RollbackReason::segue_died, {}};
    }
    if (view.stage == Stage::idle || view.budget.count() == 0 || view.stood_before) return idle;
    // Rolled back, by whomever, and the guest runs: the rest is not a matter of milliseconds. If it
    // stands again later that is somebody's wish, since this migration is over.
    if (view.verdict == Verdict::rollback && view.source_runs) return idle;

    // The guest is known to stand once go ended in `held`, or when our own monitor said so. An undoing
    // that has not made it run yet is guarded like any other standstill.
    const bool stands = view.stage >= Stage::held || view.stop_seen_at.has_value();
    // With eyes of our own, a running guest needs nobody; without, Segue's proof is all we have.
    if (!stands && view.own_monitor) return idle;

    Instant since = view.ran_at;
    if (view.stop_seen_at) since = std::max(since, *view.stop_seen_at - pause_worst);
    const Instant deadline = since + view.budget;
    if (view.now >= deadline) {
        const auto reason = stands ? RollbackReason::deadline : RollbackReason::segue_stalled;
        return {Action::roll_back, reason, {}};
    }
    return {Action::wait, RollbackReason::none, deadline};
}

}  // namespace segue::guard

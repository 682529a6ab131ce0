#pragma once
/// \file  When the guardian beside the destination ends its QEMU. Pure, so that tests need no process.

#include "guard/dst_board.hpp"
#include "units/duration.hpp"

namespace segue::guard {

/// What it knows at one moment.
struct DstView {
    Instant now;
    DstClaim claim = DstClaim::open;
    bool armed = false;
    Instant alive_at;
    bool released = false;
    bool receive_alive = true;
    bool qemu_alive = true;
};

enum class DstAction {
    wait,   ///< Look again at `wake_at` or at the next event.
    kill,   ///< Decide the claim, then kill.
    leave,  ///< Nothing to guard any more.
};

struct DstAdvice {
    DstAction action = DstAction::wait;
    Instant wake_at;  ///< Only for `wait`; far in the future when only an event can matter.
};

/// Equal to receive::ping_silence_max, which this folder must not see.
inline constexpr Duration dst_silence_max = std::chrono::seconds{2};
inline constexpr Duration dst_no_deadline = std::chrono::hours{24};

[[nodiscard]] constexpr DstAdvice advise(const DstView& view) noexcept {
    if (!view.qemu_alive || view.claim == DstClaim::claimed) return {DstAction::leave, {}};
    if (view.claim == DstClaim::killed) return {DstAction::kill, {}};  // Decided, and it lives still.
    if (view.released) return {DstAction::leave, {}};
    // What was never touched is not ours to kill.
    if (!view.armed) return {view.receive_alive ? DstAction::wait : DstAction::leave, view.now + dst_no_deadline};
    if (!view.receive_alive) return {DstAction::kill, {}};
    const Instant deadline = view.alive_at + dst_silence_max;
    if (view.now >= deadline) return {DstAction::kill, {}};
    return {DstAction::wait, deadline};
}

}  // namespace segue::guard

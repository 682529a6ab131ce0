#pragma once
/// \file  What a switchover costs beside the bytes: stopping (drain and flush), loading, handing over.
///
/// None of it can be enforced, only forecast: it is learned per guest, with priors that are meant to be
/// too long for a small guest (qemu.md 1.6; measured.md: STOP to pre-switchover 1 ms without a disk).
/// Pure.

#include <vector>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

struct FixedCosts {
    Duration stop{0};      ///< Last proof that a vCPU ran to `pre-switchover`: pause, drain, flush.
    Duration load{0};      ///< Last byte at the destination to the source's `completed`.
    Duration handover{0};  ///< `completed` to the destination's RESUME.

    [[nodiscard]] constexpr Duration total() const { return stop + load + handover; }
    friend constexpr bool operator==(const FixedCosts&, const FixedCosts&) = default;
};

inline constexpr FixedCosts prior_fixed_costs{std::chrono::milliseconds{15}, std::chrono::milliseconds{30},
                                              std::chrono::milliseconds{15}};

/// What to charge for the next switchover: the worst of the last five moves of this guest, a quarter and
/// 5 ms on top; each part that was never seen at its prior. \param history  Newest first.
[[nodiscard]] FixedCosts charge_for(const std::vector<FixedCosts>& history);

/// What a switchover may be expected to take where so much is charged for it: charge_for() undone. A part that was
/// never seen takes a quarter of its prior (measured: 9 to 13 ms together of the priors' 60, on a busy machine 25).
[[nodiscard]] FixedCosts expected_costs(const FixedCosts& charged);

/// Rolling back takes this long at worst: RESUME came 1.1 to 15 ms after a yank, under 1 ms after a
/// cancel (measured), plus what this host adds: the guardian's timers being late and QEMU answering late.
/// \param seen_worst  The longest rollback of this guest so far, or zero.
[[nodiscard]] Duration rollback_reserve(Duration timer_lateness_worst, Duration round_trip_worst, bool own_monitor,
                                        Duration seen_worst);

/// What a dirty sync may be expected to take: the bitmaps of so much memory (qemu.md 1.3).
[[nodiscard]] Duration sync_time(Bytes memory);

/// What is charged where Segue stops a braked guest itself, in place of `costs.stop`: STOP came 0.9 to 1.7 ms after the
/// words in 14 of 15 tries, 6.4 ms in one, and QEMU makes one more dirty sync before it goes to `pre-switchover`.
[[nodiscard]] Duration braked_stop_charge(const FixedCosts& costs, Bytes memory);

/// The most that may be pending when the guest stops, so that `max_downtime` holds with the reserve
/// kept for a rollback. Zero or less: this bound cannot be met on this path.
/// \param tail  What the guest dirties between the exact sync and its stop.
[[nodiscard]] Bytes pending_budget(Duration max_downtime, Duration reserve, const FixedCosts& costs, ByteRate bandwidth,
                                   Bytes tail);

}  // namespace segue

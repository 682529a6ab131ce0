#pragma once
/// \file  A share as the kernel takes it: a quota of run time in every period. And the longest that each share
///        keeps a busy vCPU standing. Pure.
///
/// Measured (kernel 6.18, 250 Hz, 3 to 4 s each, sliding 1 s windows): the kernel looks at a quota only at its tick,
/// so a vCPU runs for one tick (4 ms) at least and pays the rest back by standing; that, not the period, makes the
/// stalls. A short period without burst loses what a late tick or a busy host leaves of it: 4.5 ms in 5 ms gave 73 %
/// and 2 ms in 4 ms gave 43 %. With a burst of a whole quota they gave 90.6 % and 50.6 %, beside eight other busy
/// processes too (a burst of 1 ms: 87.1 %). Longer periods widen the windows: 9 ms in 10 ms gave 89.75 to 91.24 %.

#include <cstdint>
#include <vector>

#include "brake/brake.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue {

/// In microseconds, as both versions of the kernel's files take them. What a group may carry over to its next period
/// (the burst) is one quota.
struct Quota {
    std::int64_t quota_us = 0;
    std::int64_t period_us = 0;

    friend bool operator==(const Quota&, const Quota&) = default;
    [[nodiscard]] double ratio() const { return static_cast<double>(quota_us) / static_cast<double>(period_us); }
};

/// The kernel's least quota.
inline constexpr std::int64_t quota_least_us = 1000;
/// What is given beyond the share: a window of 1 s holds up to half a run more or less than its mean, and that was
/// 0.1 to 0.45 points.
inline constexpr double share_margin = 0.005;
/// The pair with the shortest stalls for this share. \pre 0 <= share < all_of_it.
/// \param burst  Whether the kernel has it (5.14 and later).
[[nodiscard]] Quota quota_for(Share share, bool burst);

/// The longest that a busy vCPU stands under `quota`. \param run  The longest that the kernel lets it run before it
/// looks: its tick, or what was seen.
[[nodiscard]] Duration stall_forecast(const Quota& quota, Duration run);

/// From `floor` to all of it, fourteen of them, each the same part larger than the one before.
[[nodiscard]] std::vector<BrakeStep> brake_steps(Share floor, bool burst, Duration run);

}  // namespace segue

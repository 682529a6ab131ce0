#pragma once
/// \file  What a guest may have dirtied since its last dirty sync, for Segue's own count of what is left: the engine
///        stops a braked guest by it, the policy reckons with that, the study does the same.
/// Pure. Cost: 20 ns.

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "model/outlook.hpp"

namespace segue {

/// What a round has dirtied since its sync is not known before the next one: for Segue's own count of what is left it
/// is taken for so many times what the curve says, two standard deviations, and where that is more than this part of
/// what may be pending, the next sync is waited for.
[[nodiscard]] inline double counted_for(const Outlook& outlook, double work_s) {
    const double point = std::log10(std::max(work_s, Curve::first_s) / Curve::first_s) * Curve::points_a_decade;
    const auto at = std::min(static_cast<std::size_t>(std::lround(point)), Curve::points - 1);
    const double curve = std::max(outlook.level_sigma, outlook.curve_sigma[at]);
    return std::max(std::exp(2 * std::hypot(curve, outlook.round_sigma)), 1.25);
}
inline constexpr double counted_part_max = 0.25;

/// So much, in bytes; rather too much.
/// \param work_s  Of the vCPUs since the sync.
/// \param wall_s  The same by the clock: a brake does not slow all of the dirtying.
[[nodiscard]] inline double counted_since_sync(const Outlook& outlook, double work_s, double wall_s) {
    const double braked = outlook.curve.bytes_in(work_s);
    const double free = outlook.curve.bytes_in(wall_s * outlook.busy.ratio);
    return counted_for(outlook, work_s) * (braked + outlook.unbraked_ratio * std::max(free - braked, 0.0));
}

}  // namespace segue

#pragma once
/// \file  What could have been done at best by one who knew the guest: the measure for regret, never for steering.
///
/// The optimum is the programme of dp.hpp over all allowed shares with the true curve and no noise, under QEMU's
/// round mechanics. The clairvoyant bound holds for any order of pages (theory.md 3.2) and is reported beside it.
/// Pure. Cost: a millisecond.

#include "policy/converge/plan.hpp"

namespace segue {

/// The optimum ends within all bounds, each tightened by `slack` (0.1: a tenth). DESIGN.md section 1 defines a feasible
/// move by it. \param truth  The true guest and link; its sigmas are not looked at.
[[nodiscard]] bool feasible(const PlanQuestion& truth, double slack);

/// Guest work that the optimum loses, standstill included, seconds; infinity where it cannot end.
[[nodiscard]] double optimum_lost_work(const PlanQuestion& truth);

/// Least lost work of any order of pages and any split of brake and pause: sup {D(a) - B a} / B over windows of a
/// seconds of the unbraked guest.
[[nodiscard]] double clairvoyant_lost_work(const Curve& curve, double busy, double bandwidth);

}  // namespace segue

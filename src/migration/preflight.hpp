#pragma once
/// \file  What can be refused before anything is changed. Pure: facts of both sides in, findings out.

#include <vector>

#include "hypervisor/guest.hpp"
#include "migration/request.hpp"

namespace segue {

/// All findings at once, worst first; empty when nothing is in the way.
/// \param remote  The destination was read on another host: its pids mean nothing here.
/// A move that is not live knows neither brake nor forecast, and its guest may stand until the timeout.
void make_non_live(Request& request);

[[nodiscard]] std::vector<Finding> preflight(const GuestFacts& src, const GuestFacts& dst, bool remote = false);

/// Each side that lacks the hypervisor's own brake, where it is asked for.
[[nodiscard]] std::vector<Finding> check_own_brake(const GuestFacts& src, const GuestFacts& dst, BrakeKind brake);

/// The least share that the hypervisor's own brake may go to: QEMU lets a vCPU run for 10 ms and then sleep for
/// 10 ms x p / (1 - p) at a stretch (qemu.md 5.2), so max stall limits it as min CPU does.
[[nodiscard]] Share own_brake_floor(const Bounds& bounds);

/// What to charge for the next switchover of this guest on this path.
[[nodiscard]] FixedCosts switchover_costs(const Request& request);

/// Bounds that cannot hold together on this path, with the nearest that can.
/// \param flush  How long writing back the images took just now, if it was tried.
[[nodiscard]] std::vector<Finding> check_bounds(const Request& request, Duration reserve, Duration flush);

}  // namespace segue

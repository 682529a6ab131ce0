#pragma once
/// \file  What can be refused before anything is changed. Pure: facts of both sides in, findings out.

#include <optional>
#include <vector>

#include "hypervisor/guest.hpp"
#include "migration/request.hpp"
#include "migration/storage_check.hpp"

namespace segue {

struct Preflight {
    std::vector<Finding> findings;  ///< In the way, all at once, worst first.
    std::vector<Finding> notes;     ///< Worth knowing; with `Request::unsafe`, what is risky.
    std::vector<DiskVerdict> disks;
};
/// \param ahead  How far the destination's clock is ahead of the source's; none: not known.
[[nodiscard]] Preflight preflight(const GuestFacts& src, const GuestFacts& dst, const Request& request,
                                  std::optional<Duration> ahead = {});

/// The same where no destination could be started: what is wrong with the source, if it was read, and why so.
[[nodiscard]] std::vector<Finding> preflight_without_dst(const std::optional<GuestFacts>& src,
                                                         const std::vector<Obstacle>& obstacles);

/// A move that is not live knows neither brake nor forecast, and its guest may stand until the timeout.
void make_non_live(Request& request);

/// The least share that the hypervisor's own brake may go to: QEMU lets a vCPU run for 10 ms and then sleep for
/// 10 ms x p / (1 - p) at a stretch (qemu.md 5.2), so max stall limits it as min CPU does.
[[nodiscard]] Share own_brake_floor(const Bounds& bounds);

/// What to charge for the next switchover of this guest on this path.
[[nodiscard]] FixedCosts switchover_costs(const Request& request);

/// Bounds that cannot hold together on this path, with the nearest that can.
/// \param flush  How long writing back the images took just now, if it was tried.
[[nodiscard]] std::vector<Finding> check_bounds(const Request& request, Duration reserve, Duration flush);

}  // namespace segue

#pragma once
/// \file  How long this kernel lets a group run past its quota before it looks. That, more than the period, makes
///        the stalls of a brake.

#include <string>

#include "brake/cgroup/files.hpp"
#include "brake/cgroup/thread.hpp"
#include "units/duration.hpp"

namespace segue {

/// The kernel's tick (4 ms at 250 Hz).
[[nodiscard]] Duration kernel_tick();

/// The usual run of a spinning thread of our own in a group `folder` at 10 %, made and removed again; at least the
/// tick, at most eight of them. Where no such group can be made (version 2 takes no thread of another process),
/// the tick. Cost: 100 ms, spinning through a tenth of them, and a move between groups.
[[nodiscard]] Duration usual_run(const GroupFiles& files, GroupVersion version, const std::string& folder);

}  // namespace segue

#pragma once
/// \file  Letting go of a brake whose Segue and guardian are both dead: what the journal keeps for it.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "brake/cgroup/files.hpp"
#include "brake/cgroup/group.hpp"

namespace segue {

/// "v1 segue-7 0 /sys/fs/cgroup/cpu/vm": the groups segue-7-vcpuN up to so many levels below the folders of that
/// place. "v2+cpu" where we enabled cpu in their parents. Spaces and the like in the place stand as \040. One
/// place and no list, so that the line stays short enough for a step of the journal, whatever the number of vCPUs.
[[nodiscard]] std::string undo_line(const std::string& name, const std::vector<VcpuGroup>& groups);

/// Lifts, empties and removes every group that the line means, and that of the probe. Twice is as good as once; what
/// is gone is done. `invalid` for what is no such line, for a name that is not ours and for a place that is not the
/// kernel's: then nothing is touched.
[[nodiscard]] Result<void> undo_brake(std::string_view line, const GroupFiles& files = kernel_files());

}  // namespace segue

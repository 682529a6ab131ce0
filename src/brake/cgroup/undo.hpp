#pragma once
/// \file  Letting go of a brake whose Segue and guardian are both dead: what the journal keeps for it.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "brake/cgroup/files.hpp"
#include "brake/cgroup/group.hpp"

namespace segue {

/// "v1 /sys/fs/cgroup/cpu/vm/segue-7-vcpu0 ..."; "v2+cpu" where we enabled cpu in the parents. Spaces and the like
/// in a path stand as \040.
[[nodiscard]] std::string undo_line(const std::vector<VcpuGroup>& groups);

/// Lifts, empties and removes every group of the line. Twice is as good as once; a group that is gone is done.
/// `invalid` for what is no such line, and for a path that is not the kernel's or not one of our groups: then
/// nothing is touched.
[[nodiscard]] Result<void> undo_brake(std::string_view line, const GroupFiles& files = kernel_files());

}  // namespace segue

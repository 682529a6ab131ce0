#pragma once
/// \file  `segue migrate qmp:PATH --to HOST` and nothing more: the destination's command, made from that of the
///        source's QEMU as /proc shows it.
///
/// Thread: any; reads files of /proc. Errors: `refused`, with everything that is in the way.

#include <string>
#include <vector>

#include "base/result.hpp"
#include "hypervisor/guest.hpp"
#include "vm/path_change.hpp"

namespace segue {

/// \param monitor  By which the guest is moved.
[[nodiscard]] Result<std::vector<std::string>> command_of_foreign(const GuestFacts& src, const std::string& monitor,
                                                                  const std::vector<vm::PathChange>& paths);

}  // namespace segue

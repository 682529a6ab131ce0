#pragma once
/// \file  `segue migrate NAME`: from a name to the monitors, the bounds and the definition of a VM that runs here.
///
/// Thread: any; reads files. Errors: `invalid` or `conflict`, with where the VM is and what to do.

#include <optional>

#include "app/segue/cli.hpp"
#include "app/segue/vm_files.hpp"
#include "base/result.hpp"
#include "hypervisor/guest.hpp"
#include "migration/request.hpp"

namespace segue {

/// A guest that writes to files of this host would find others, or none, on the other one: unless its description
/// says that they are the same.
[[nodiscard]] std::optional<Finding> images_not_shared(const Migrate& migrate, const GuestFacts& src);

/// Fills what the command line left open. \pre migrate.vm_name is not empty.
[[nodiscard]] Result<void> take_named_vm(const VmPlaces& places, Migrate& migrate);

}  // namespace segue

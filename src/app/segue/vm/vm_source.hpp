#pragma once
/// \file  `segue migrate NAME`: from a name to the monitors, the bounds and the definition of a VM that runs here.
///
/// Thread: any; reads files. Errors: `invalid` or `conflict`, with where the VM is and what to do.

#include "app/segue/vm/vm_files.hpp"
#include "app/segue/words/migrate_words.hpp"
#include "base/result.hpp"

namespace segue {

/// Fills what the command line left open. \pre migrate.vm_name is not empty.
[[nodiscard]] Result<void> take_named_vm(const VmPlaces& places, Migrate& migrate);

}  // namespace segue

#pragma once
/// \file  Starting and ending the QEMU of a VM on this host, for `segue vm start` and `segue vm stop`.
///
/// Thread: any; both block. Errors: `refused`, `conflict` or `invalid` where nothing was touched; `unavailable` where
/// it was tried and failed: the message says what runs.

#include <string>

#include "app/segue/vm/vm_files.hpp"
#include "base/result.hpp"
#include "units/duration.hpp"

namespace segue {

struct VmStarted {
    std::int64_t pid = 0;
    std::string uuid;
};
[[nodiscard]] Result<VmStarted> start_vm(const VmPlaces& places, const VmDefinition& definition, bool forget_move);

/// \param now  As a power cut does; else the guest is asked, and waited for.
[[nodiscard]] Result<void> stop_vm(const VmPlaces& places, const std::string& name, bool now, Duration wait);

}  // namespace segue

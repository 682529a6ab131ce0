#pragma once
/// \file  A few questions to a QEMU of ours, one after another, for commands that have nothing else to do.
///
/// Thread: any; it blocks, never beyond the limit that is given. Errors: those of Result, as they are told.

#include <boost/json/value.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "hypervisor/qemu/codec.hpp"
#include "io/fd.hpp"
#include "units/duration.hpp"

namespace segue {

class VmMonitor {
public:
    /// Greeted and ready for commands. `unavailable` where nobody listens, `timed_out` where somebody else holds it.
    [[nodiscard]] static Result<VmMonitor> open(const std::string& path, Duration limit);
    VmMonitor(VmMonitor&&) noexcept = default;
    VmMonitor& operator=(VmMonitor&&) noexcept = default;

    [[nodiscard]] Result<boost::json::value> ask(const std::string& command, Duration limit);

private:
    VmMonitor() = default;
    [[nodiscard]] Result<qemu::Message> next(Instant until);

    Fd socket_;
    qemu::MessageReader reader_;
    std::vector<qemu::Message> read_;
    std::uint64_t last_id_ = 0;
};

}  // namespace segue

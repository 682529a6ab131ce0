#pragma once
/// \file  Whether both sides' disks are the same storage, and whether it is safe to open it from there. Pure.
///
/// A disk is shared where what was read proves it, and not where that disproves it. The same path proves nothing, nor
/// does a size; in between it is unknown, and the operator has to say (`Request::storage_is_shared`).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/guest.hpp"
#include "migration/request.hpp"

namespace segue {

enum class Shared { yes, no, unknown };
[[nodiscard]] std::string_view to_string(Shared shared) noexcept;

/// One disk of the source and its twin.
struct DiskVerdict {
    Disk src;
    std::string dst_file;  ///< Empty where the destination has no such disk, or did not say.
    Shared shared = Shared::unknown;
    std::string because;  ///< One clause.
    std::string cache;    ///< Why its cache mode is not coherent between two hosts; empty where it is.
    friend bool operator==(const DiskVerdict&, const DiskVerdict&) = default;
};

/// Whether both facts were read under one kernel. Nothing: one side does not say.
[[nodiscard]] std::optional<bool> same_kernel(const GuestFacts& src, const GuestFacts& dst);

/// One verdict for each disk of the source, in its order.
[[nodiscard]] std::vector<DiskVerdict> compare_disks(const GuestFacts& src, const GuestFacts& dst);

/// What must not be: storage that is not shared, or not known to be.
[[nodiscard]] std::vector<Finding> disk_findings(const std::vector<DiskVerdict>& disks, bool storage_is_shared);
/// What is risky: stale data may be read after the move.
[[nodiscard]] std::vector<Finding> cache_findings(const std::vector<DiskVerdict>& disks);

}  // namespace segue

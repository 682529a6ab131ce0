#pragma once
/// \file  What really stands behind the path of a disk that a QEMU has open: read from /proc and /sys, not assumed.
///
/// Thread: any; a network filesystem whose server is gone may hold the caller for as long as it holds QEMU.

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "hypervisor/guest.hpp"

namespace segue::qemu {

/// The files and devices of one process. Paths are looked up as it sees them, in its own root and mounts.
class OpenFiles {
public:
    explicit OpenFiles(pid_t pid);
    /// `seen` is false where the path cannot be read, and where it names something else than what the process has
    /// open: then the path has been given to another file since.
    [[nodiscard]] Storage at(const std::string& path) const;
    /// Whether `path`, a file or a folder, lies on a hugetlbfs.
    [[nodiscard]] bool on_huge_pages(const std::string& path) const;

private:
    pid_t pid_;
    std::string mounts_;
    std::set<std::pair<std::string, std::string>> open_;  ///< Device and inode.
};

/// Filesystem type and what is mounted, from the line of `mount_id` in the text of a mountinfo. Pure.
[[nodiscard]] std::pair<std::string, std::string> mount_of(std::string_view mountinfo, std::uint64_t mount_id);

/// What names a block device in the world, by the folder of it below /sys/dev/block: "naa.6001...", of a
/// partition "naa.6001... part 2", of a volume "LVM-... on naa.6001...,naa.6002...". Empty: nothing does.
[[nodiscard]] std::string wwid_of(const std::string& sysfs_folder);

}  // namespace segue::qemu

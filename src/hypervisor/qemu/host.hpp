#pragma once
/// \file  What the host says of itself and of what it has left for one process. Read from /proc and /sys; any thread.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/guest.hpp"

namespace segue::qemu {

/// \param pid  Of the guest's process; 0: unknown, then its group's limits are not looked at.
[[nodiscard]] HostFacts read_host(pid_t pid);

/// The interfaces by which a guest reaches the outside, and what each is joined to. Empty too where its process is in
/// another network namespace: what they are cannot be seen from here.
[[nodiscard]] std::vector<Tap> taps_of(pid_t pid);

/// The number of kB that a line "Name:   123 kB" of /proc's texts says, in bytes; -1 where none does. Pure.
[[nodiscard]] std::int64_t kilobytes_in(std::string_view text, std::string_view name);

/// The memory that a process has taken for itself, huge pages included, from the text of its /proc/PID/status; 0 where
/// it says nothing of it (a dead one). \param huge_reserved  Huge pages that are its own, touched yet or not. Pure.
[[nodiscard]] Bytes memory_taken_in(std::string_view status, Bytes huge_reserved = {});
/// The same of a living process; 0 where it is gone.
[[nodiscard]] Bytes memory_taken_by(pid_t pid, Bytes huge_reserved = {});

/// The folders of a process's memory group and of those above it, the nearest first, from the text of its
/// /proc/PID/cgroup. `root_v2` and `root_v1` are where the hierarchies are mounted. Pure.
[[nodiscard]] std::vector<std::string> memory_groups(std::string_view cgroup, const std::string& root_v2,
                                                     const std::string& root_v1);

}  // namespace segue::qemu

#pragma once
/// \file  What /proc says of a vCPU thread: its number here, its group, its scheduling.

#include <string>
#include <vector>

#include "base/result.hpp"
#include "brake/cgroup/files.hpp"
#include "units/duration.hpp"

namespace segue {

enum class GroupVersion { v1 = 1, v2 = 2 };

struct VcpuThread {
    int tid = 0;             ///< In our own pid namespace.
    GroupVersion version{};  ///< Which kind of group holds its CPU.
    std::string group;       ///< Folder of the group in which it is.
    std::string mount;       ///< Where that hierarchy begins for us; no ancestor above it can be seen.
    bool real_time = false;
    int nice = 0;
};

/// Their numbers here of the threads that QEMU calls `named` (numbers of its own pid namespace), in that order. Refused
/// with a sentence where one is gone.
[[nodiscard]] Result<std::vector<int>> find_tids(const GroupFiles& files, int pid, const std::vector<int>& named);

/// The threads that QEMU calls `named` (numbers of its own pid namespace), in that order. Refused with a sentence
/// where one is gone, or where no cpu controller can be found for it.
[[nodiscard]] Result<std::vector<VcpuThread>> find_threads(const GroupFiles& files, int pid,
                                                           const std::vector<int>& named);

/// Since the thread began; zero for one that is gone.
struct RunTime {
    Duration ran{0};   ///< While it runs this lags by up to one tick.
    /// It wanted to run and was kept from it, by a quota or by others. (The group's own throttled_time counts on
    /// kernel 6.18 0.47 to 0.71 s of 0.79 s.)
    Duration kept{0};
};
[[nodiscard]] RunTime run_time(const GroupFiles& files, int pid, int tid);

}  // namespace segue

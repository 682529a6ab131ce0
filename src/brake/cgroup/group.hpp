#pragma once
/// \file  The group of one vCPU thread: made below the one in which the thread is, and removed again.
///
/// Version 1: a plain child. Version 2: a threaded child, which makes its parent the root of a threaded subtree.
/// The name is "segue-NAME-vcpuN"; whatever is called so is ours, and nothing else is ever emptied or removed.

#include <optional>
#include <string>
#include <string_view>

#include "brake/cgroup/files.hpp"
#include "brake/cgroup/quota.hpp"
#include "brake/cgroup/thread.hpp"
#include "io/fd.hpp"

namespace segue {

struct VcpuGroup {
    int named = 0;  ///< The thread as QEMU names it.
    VcpuThread thread;
    std::string folder;
    Fd folder_fd;  ///< Keeps the way in after the name is gone from our sight (another mount namespace).
    Fd quota;      ///< cpu.cfs_quota_us or cpu.max, to write.
    bool enabled_cpu = false;  ///< We wrote +cpu into the parent's cgroup.subtree_control.
    bool burst = false;
};

/// "segue-" ... "-vcpuN" or "-probe", absolute and without a step back.
[[nodiscard]] bool is_our_group(std::string_view folder);
[[nodiscard]] std::string parent_of(const std::string& folder);
/// The thread's group, or the one above where it was left in one of ours.
[[nodiscard]] std::string home_of(const VcpuThread& thread);

/// Whether groups can be made below the thread's home and whether every quota from there up leaves `vcpus` vCPUs
/// the floor and one CPU for what moves the guest. Changes nothing.
[[nodiscard]] Result<void> check_home(const VcpuThread& thread, int vcpus, Share floor);

/// Without a quota, the thread in it. What is left of an attempt that failed is taken back.
[[nodiscard]] Result<VcpuGroup> make_group(const GroupFiles& files, const VcpuThread& thread, const std::string& name);

/// Nothing: no quota. Writes only what differs from what is there, since every write lets the group run anew.
[[nodiscard]] Result<void> set_quota(const VcpuGroup& group, const std::optional<Quota>& quota);

/// Lifts the quota, moves whatever is in the group to the one above, removes it. Fine where it is gone already.
[[nodiscard]] Result<void> remove_group(const GroupFiles& files, GroupVersion version, const std::string& folder);
/// Takes +cpu back. What others use by now stays.
void disable_cpu(const std::string& home);

/// For an empty group of our own, without a thread in it: "segue-NAME-probe".
[[nodiscard]] Result<std::string> make_empty_group(const GroupFiles& files, GroupVersion version,
                                                   const std::string& folder);

}  // namespace segue

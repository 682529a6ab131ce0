#pragma once
/// \file  The brake by cgroups: a group with a quota for every vCPU thread, never for the migration thread or the
///        main loop.
///
/// Thread: one at a time. Every call may wait for the kernel (opening 100 ms and more, see probe.hpp; moving a thread
/// between groups tens of milliseconds): app/segue/move/brake_port gives it a thread of its own.
/// Errors: sentences for the operator, each with its remedy. A BrakeOpen that fails leaves nothing behind.

#include <string>
#include <vector>

#include "brake/brake.hpp"
#include "brake/cgroup/group.hpp"

namespace segue {

/// Two descriptors and a few words are kept for each, here and in the guardian.
inline constexpr std::size_t braked_vcpus_max = 256;

/// One group as the guardian holds it. The descriptors stay the brake's.
struct HeldGroup {
    int quota_fd = -1;
    int folder_fd = -1;
    GroupVersion version{};
    bool takes_back_cpu = false;
    std::string name;  ///< Its last step.
};

class CgroupBrake {
public:
    /// \param name  Of the move, of a-z, 0-9 and '-': groups are called segue-NAME-vcpuN.
    explicit CgroupBrake(std::string name, GroupFiles files = kernel_files());
    /// Lets go.
    ~CgroupBrake();
    CgroupBrake(const CgroupBrake&) = delete;
    CgroupBrake& operator=(const CgroupBrake&) = delete;

    /// A second BrakeOpen brings in vCPUs that were plugged since, at the share that is set, and forgets those that
    /// are gone.
    [[nodiscard]] Result<BrakeAnswer> perform(const BrakeCommand& command);

    /// After a BrakeOpen; until the next one or BrakeClose.
    [[nodiscard]] std::vector<HeldGroup> held() const;

private:
    [[nodiscard]] Result<BrakeAnswer> open(const BrakeOpen& command);
    [[nodiscard]] Result<BrakeAnswer> only_watch(const BrakeWatch& command);
    void watch(int pid, const std::vector<int>& tids);
    [[nodiscard]] Result<void> take(const BrakeOpen& command, const std::vector<VcpuThread>& threads);
    [[nodiscard]] Result<void> set(Share share);
    [[nodiscard]] Result<BrakeSample> read() const;
    [[nodiscard]] Result<void> close();

    std::string name_;
    GroupFiles files_;
    int pid_ = 0;
    Share floor_;
    Share share_ = all_of_it;
    int made_ = 0;        ///< Groups so far: the next one's number.
    Duration run_{0};     ///< How long the kernel lets a group run before it looks; 0: not yet known.
    struct Watched {
        int tid = 0;
        RunTime before;  ///< When it was first seen.
    };
    std::vector<Watched> watched_;  ///< Every vCPU, from the first look, open or watch on.
    std::vector<VcpuGroup> groups_;
};

}  // namespace segue

#pragma once
/// \file  What the guardian holds of a brake: the quota files to let the guest go, the groups to put it back where it
///        was (src/brake/cgroup makes them).
///
/// Thread: one. Nothing here allocates or can fail loudly: what is gone already (Segue closed the brake itself, QEMU
/// ended) is as it should be. Cost: `lift` one write a vCPU, 10 to 60 us; `remove` moves threads between groups,
/// which waits for every CPU.

#include <array>
#include <cstddef>
#include <string_view>

#include "app/guard/qmp_scan.hpp"

namespace segue::guard {

class BrakeHold {
public:
    /// Longest words of a message.
    static constexpr std::size_t words_max = 80;

    /// \param words  The version of the group ('1' or '2'), '+' if "+cpu" must be taken back in its parent, its name.
    /// \param quota  Open for writing. \param folder  Of the group, -1: it is let go of, never removed. Both are taken
    /// over. False, and not taken over, when this is not understood or there is no room. A group of a name that is
    /// held already takes its place.
    [[nodiscard]] bool take(std::string_view words, int quota, int folder) noexcept;

    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    /// All vCPUs run free, also those that Segue has braked since the last time.
    void lift() noexcept;
    /// Lifts, moves the threads to the parent, removes the groups. Nothing is held afterwards.
    void remove() noexcept;

private:
    struct Group {
        int quota = -1;
        int folder = -1;
        bool v2 = false;
        bool takes_back_cpu = false;
        Word<words_max> name;
    };

    /// Where cpu must be taken back, `folder` is its parent's afterwards.
    static void remove(Group& group) noexcept;
    static void take_back_cpu(Group& group) noexcept;

    std::array<Group, 256> groups_{};  ///< Not fewer than braked_vcpus_max.
    std::size_t count_ = 0;
};

}  // namespace segue::guard

#pragma once
/// \file  The brake as the engine calls it: commands in from the loop, answers back on the loop, the kernel's files
///        on a thread of their own.
///
/// Why a thread: writing a quota takes the kernel 10 to 60 microseconds, but moving a thread into a group waits for
/// every CPU (up to tens of milliseconds), and opening spins for 100 ms. Commands are performed in the order in
/// which they came; the switch to the thread and back costs about 0.1 ms, more on a busy host.
/// Thread: all calls on the loop's. Each command is answered exactly once, never from inside `submit`, unless this
/// is destroyed before; the destructor lets go of the guest and waits until that is done.

#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "brake/brake.hpp"
#include "brake/cgroup/cgroup_brake.hpp"
#include "io/loop.hpp"
#include "io/worker_thread.hpp"

namespace segue {

class BrakePort {
public:
    using OnAnswer = std::function<void(Result<BrakeAnswer>)>;

    /// \param name  Of the move, of a-z, 0-9 and '-'; groups carry it. `loop` must outlive this.
    BrakePort(Loop& loop, std::string name);
    ~BrakePort();
    BrakePort(const BrakePort&) = delete;
    BrakePort& operator=(const BrakePort&) = delete;

    void submit(const BrakeCommand& command, OnAnswer on_answer);

    /// What GuardClient::take_brake takes: of the last BrakeOpen that was answered; empty once a BrakeClose was asked
    /// for.
    [[nodiscard]] const std::vector<HeldGroup>& held() const;

private:
    CgroupBrake brake_;  ///< The worker's alone; it outlives the thread.
    std::vector<HeldGroup> held_;
    WorkerThread worker_;
};

}  // namespace segue

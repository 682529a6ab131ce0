#pragma once
/// \file  The port to the guest's CPU share. Spoken by migration/, implemented by brake/cgroup and hypervisor/sim.
///
/// The rules are those of hypervisor/guest.hpp: nothing answers from inside `submit`, each command is answered
/// once. A brake holds vCPU threads only, never the migration thread or the main loop. A share is an absolute
/// target of every single vCPU: each may run at least that part of any 1 s window.
/// Whatever was braked is let go when Segue dies: the guardian holds what it needs for that (GuardTakeBrake).

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue {

enum class BrakeKind { none, cgroup, auto_converge };

/// A share that can be set, and the longest that it was seen to keep a busy vCPU standing at a stretch.
struct BrakeStep {
    Share share;
    Duration stall_worst{0};
};

/// BrakeReady. Takes hold of the vCPU threads, at full speed, and measures how long each share stalls.
/// Refused where a parent's quota, a real-time policy or a missing controller would break the promise.
struct BrakeOpen {
    int pid = 0;                   ///< Of the source's QEMU.
    std::vector<int> vcpu_threads; ///< As QEMU names them (its own pid namespace); mapped by the brake.
    Share floor;                   ///< Below this it will never be set.
    /// Says what opening would, by what is known of such hosts, and touches nothing. Its `undo` undoes what opening
    /// will make, so that it can be in the journal before anything is made.
    bool only_look = false;
};
struct BrakeSet {
    Share share;  ///< all_of_it lets go.
};
/// Counts the run times of these threads from now on, as an open or a look does, and touches nothing: where there is
/// no brake, what the guest works can be known all the same.
struct BrakeWatch {
    int pid = 0;
    std::vector<int> vcpu_threads;
};
struct BrakeRead {};  ///< BrakeSample. After an open, a look or a watch.
/// Lets go and removes every trace. Works also when nothing was ever opened.
struct BrakeClose {};

using BrakeCommand = std::variant<BrakeOpen, BrakeSet, BrakeWatch, BrakeRead, BrakeClose>;

struct BrakeReady {
    /// From the lowest share to the highest; at least ten between the floor and all_of_it.
    std::vector<BrakeStep> steps;
    /// For the journal: what recovery needs to let go and to remove every trace, one line.
    std::string undo;
};
/// What the vCPUs did: for the work clock.
struct BrakeSample {
    Instant at;
    Duration worked{0};     ///< Run time since the first look, open or watch, mean of the vCPUs.
    Duration throttled{0};  ///< Time kept from running since then, by the brake or by others, mean of the vCPUs.
    Duration worked_least{0};  ///< Of the vCPU that ran least.
    Duration worked_most{0};   ///< Of the one that ran most.
    Duration worked_rms{0};    ///< Root of the mean square.
};
struct BrakeDone {};
using BrakeAnswer = std::variant<BrakeDone, BrakeReady, BrakeSample>;

}  // namespace segue

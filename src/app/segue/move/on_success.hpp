#pragma once
/// \file  `--on-success`: what the operator wants done on the source's host once the guest runs on the destination, and
///        before the source's QEMU is ended. Most of all: disarming what would start that QEMU again (supervisor.hpp).
///
/// The command is in the journal with the move's first step, so that `segue recover` runs it where segue died before;
/// then it may run twice. Thread: any but the loop's: it waits for the command's end.

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "units/duration.hpp"

namespace segue {

inline constexpr Duration on_success_time_max = std::chrono::seconds{60};

struct OnSuccess {
    std::string command;  ///< For /bin/sh.
    std::int64_t job = 0;
    std::string vm;
    std::string src_qmp;
    std::string dst_host;
    std::int64_t src_pid = 0;  ///< 0: not known.
};

/// With SEGUE_JOB, SEGUE_VM, SEGUE_SRC_PID, SEGUE_SRC_QMP and SEGUE_DST_HOST in its environment. `refused`: its status
/// was not 0; with what it said last. `timed_out`: killed after on_success_time_max. `unavailable`: not started.
[[nodiscard]] Result<void> run_on_success(const OnSuccess& what, Duration longest = on_success_time_max);

}  // namespace segue

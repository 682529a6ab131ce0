#pragma once
/// \file  A command started as a child whose standard streams are ours. For whoever talks to one: transport.hpp,
///        policy_process.hpp.
///
/// Never through a shell. The child is in a session of its own, so that Ctrl-C on the terminal does not reach it, and
/// `kill(-pid)` reaches what it has started. Nobody reaps it but the caller.
/// Thread: any.

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "io/fd.hpp"

namespace segue {

struct Child {
    pid_t pid = 0;
    Fd process;  ///< Its pidfd: readable once it is dead.
    // All three do not block.
    Fd input;    ///< The child's: ours to write.
    Fd output;
    Fd notes;    ///< Its standard error.
};

/// Errors: `unavailable` with the kernel's words in `source`; "No such file or directory": not in PATH.
/// \pre the command is not empty.
[[nodiscard]] Result<Child> start_child(const std::vector<std::string>& command);

/// As write(), but a child that is gone is EPIPE whatever the process does with SIGPIPE.
[[nodiscard]] ssize_t write_quietly(int fd, std::string_view bytes);

}  // namespace segue

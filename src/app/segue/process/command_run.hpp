#pragma once
/// \file  A command run to its end, with what it said. For `systemctl show` and --on-success.
///
/// Thread: any but the loop's, unless `longest` is short: it waits.

#include <string>
#include <vector>

#include "base/result.hpp"
#include "units/duration.hpp"

namespace segue {

struct CommandEnd {
    int status = 0;      ///< Its exit status; 128 and the signal's number where one ended it.
    std::string output;  ///< The first 64 KiB of its standard output.
    std::string notes;   ///< Of its standard error.
};

/// With an empty standard input and in a session of its own. What it leaves behind in the background is not waited for.
/// Errors: `unavailable`: it could not be started. `timed_out`: it was killed after `longest`.
[[nodiscard]] Result<CommandEnd> run_command(const std::vector<std::string>& command, Duration longest);

}  // namespace segue

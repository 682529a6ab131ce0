#pragma once
/// \file  The words of `segue history`, `segue status` and `segue cancel`, and what their --help prints.

#include <string>
#include <string_view>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

/// Whether `command` is one of the three.
[[nodiscard]] bool is_jobs_command(std::string_view command);
/// \pre is_jobs_command(command).  \param arguments  What follows it.
[[nodiscard]] Result<Invocation> parse_jobs_command(std::string_view command,
                                                    const std::vector<std::string>& arguments);
/// \pre is_jobs_command(command).
[[nodiscard]] std::string_view jobs_help_text(std::string_view command);

}  // namespace segue

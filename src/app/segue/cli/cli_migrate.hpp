#pragma once
/// \file  The words of `segue migrate` and `segue plan`. What their --help prints is in help_text.hpp.

#include <string>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

/// \param arguments  What follows the command.  \param plan  Of `segue plan`.
[[nodiscard]] Result<Invocation> parse_migrate(const std::vector<std::string>& arguments, bool plan);

/// The long names of its options.
[[nodiscard]] std::vector<std::string> migrate_options();

}  // namespace segue

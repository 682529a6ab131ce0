#pragma once
/// \file  The command line of `segue`: words in, an invocation or one sentence for the operator out.
///
/// Nothing is opened, resolved or asked here; what is refused here is refused before anything is touched.
/// Thread: any. Errors: `invalid` (exit status 2), whose message names the option, what is wrong with it,
/// what is valid and what to write instead.

#include <string>
#include <string_view>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

[[nodiscard]] Result<Invocation> parse_command_line(int argc, const char* const* argv);

/// Every command, in the order of the help.
[[nodiscard]] std::vector<std::string> command_words();
/// What `segue help COMMAND` prints; of no command the overview.
[[nodiscard]] std::string_view help_about(std::string_view command);

/// Whether these words ask for JSON, valid or not: then even a refused command line ends with a result line.
[[nodiscard]] bool asks_for_json(int argc, const char* const* argv);

}  // namespace segue

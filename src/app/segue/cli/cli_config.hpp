#pragma once
/// \file  The words of `segue config` and `segue doctor`, and what their --help prints.

#include <string>
#include <string_view>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

/// \param arguments  What follows the command.
[[nodiscard]] Result<Invocation> parse_config(const std::vector<std::string>& arguments);
[[nodiscard]] Result<Invocation> parse_doctor(const std::vector<std::string>& arguments);

inline constexpr std::string_view config_help_text =
    R"(segue config: which limits hold for a move, and where they are written.

  segue config explain VM [--to HOST] [--json]
                          each limit, its value, where it is from, and who
                          locks it; VM: NAME, FILE.toml or qmp:PATH
  segue config check      everything that is wrong with the files, at once

The nearest that says something wins, key by key: the option of segue migrate,
[limits] of the VM's file, /etc/segue/hosts/NAME.toml of this host,
/etc/segue/site.toml, the default. What site.toml locks nobody else sets.
$SEGUE_CONFIG instead of /etc/segue; docs/settings.md has every key.

  --to HOST               explain: where the memory would go, as in migrate
  --json                  explain: one JSON object on standard output

Exit    0 shown, or nothing is wrong   2 something is, see the sentences
)";

inline constexpr std::string_view doctor_help_text =
    R"(segue doctor: what this host, and another one, lacks for moves.

  segue doctor [--host HOST] [--json]

  --host HOST             also the other one, as in migrate --to: it is greeted
                          through its segue receive, and nothing else is done
  --json                  one JSON object on standard output

Each line is a finding: ok, a warning (moves work, but a promise is weaker or
an option is missing) or a problem (moves are refused), and its remedy.
Nothing is changed (but the other host's receive makes its journal where there
is none), and no VM is looked at: segue migrate --dry-run does that.

Exit    0 no problem   1 a problem was found   2 bad input
)";

}  // namespace segue

#pragma once
/// \file  The words of `segue recover`, and what its --help prints.

#include <string>
#include <string_view>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

/// \param arguments  What follows `recover`.
[[nodiscard]] Result<Invocation> parse_recover(const std::vector<std::string>& arguments);

inline constexpr std::string_view recover_help_text =
    R"(segue recover: bring a move to its end whose segue died, or which ended with
exit status 10. Run it on the source host.

  segue recover [JOB] [--fenced HOST --confirm VM]

  JOB                     the number of the move, as segue told it; without it,
                          the only one that is unfinished
  --fenced HOST           the destination's host does not answer and can run
                          nothing any more: it is powered off, or cut off from
                          the guest's disks. HOST as the message names it
  --confirm VM            the guest as the move named it (qmp:PATH), so that it
                          is not another one by mistake
  --json                  one JSON object per line on standard output
  -v, --verbose           also say what is decided, and why

It reads the journal and asks both sides, then finishes the move or undoes it.
It never guesses: where only a destination that cannot be reached knows whether
the guest runs there, it starts nothing and ends with 10.

Exit    0 the guest runs on the destination, or nothing was unfinished
        1 undone, guest on the source     2 refused, nothing changed
        5 interrupted before anything was decided
        9 guest crashed                   10 state unknown: nothing was started
)";

}  // namespace segue

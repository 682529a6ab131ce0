#pragma once
/// \file  The words of `segue explain` and `segue replay`, and what their --help prints.

#include <string>
#include <string_view>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

inline constexpr std::string_view explain_help_text =
    R"(segue explain: what a move knew, and why it decided so.

  segue explain JOB           every decision of its policy, one after another
  segue explain JOB --at TIME what was known at the decision that held then
  segue explain JOB --json    the record itself, one JSON object a line

JOB is the number of a move, as segue history shows it. TIME counts from the
move's first change, for example 12.4s. The record is on the source's host, in
$SEGUE_STATE/decisions, else in /var/lib/segue/decisions.

Exit    0 shown   2 no such record, or it cannot be read
)";

inline constexpr std::string_view replay_help_text =
    R"(segue replay: a recorded move once more, in virtual time.

  segue replay JOB                 by the policy that steered it
  segue replay JOB --policy NAME   by converge, patient (never brakes), or
                                   auto-converge (QEMU's own brake)
  segue replay JOB --json          one line of type replay

First the policy is shown what was known at each decision of the move, and
where it decides otherwise is told; the policy that steered decides the same,
bit for bit. Then the whole move is played again by it, beside what was and
the best that could have been done: time, standstill, bytes, lost guest work,
lowest CPU, and the regret against that best. The first lines of the table say
what is taken for granted of guest and link.

Exit    0 as recorded, or another policy was asked   1 it decides otherwise
        2 no such record, or it cannot be read
)";

/// \pre command is "explain" or "replay".  \param arguments  What follows it.
[[nodiscard]] Result<Invocation> parse_explain(std::string_view command, const std::vector<std::string>& arguments);

}  // namespace segue

#pragma once
/// \file  A recorded move once more, in virtual time, under any policy and under the optimum; beside what was. Pure.
/// Cost: 0.1 to 1 s, most of it the optimum's.

#include <optional>
#include <string>

#include "api/replay_json.hpp"
#include "app/segue/replay/recorded_case.hpp"
#include "store/journal.hpp"

namespace segue {

/// \param policy  "converge", "patient", or "auto-converge": QEMU's own brake.
/// \param ending  Of the move in the journal, if it is closed.
[[nodiscard]] ReplayReport play_again(const RecordedMove& move, const std::string& policy,
                                      const std::optional<MoveEnding>& ending);

/// A table for people: recorded, replayed, optimum; no newline at its end.
[[nodiscard]] std::string render_replayed(const ReplayReport& report);

}  // namespace segue

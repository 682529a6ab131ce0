#pragma once
/// \file  `segue explain`: what was known at each decision of a move and why it was decided so. `segue replay`: the
///        same moments shown to a policy again, and the whole move played again (replay_move.hpp).
///
/// Rendering is pure; the run functions read the record, print and return the exit status of docs/exit-statuses.md.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/segue/jobs/decision_record.hpp"
#include "app/segue/words/explain_words.hpp"
#include "policy/policy.hpp"

namespace segue {

/// One line a decision; no newline at the end.
[[nodiscard]] std::string render_decisions(const RecordedMove& move);
/// All that was known at one.
[[nodiscard]] std::string render_knowledge(const RecordedDecision& one);

/// What another run of a policy decides at the same moments.
struct Replay {
    std::size_t same = 0;
    std::vector<std::pair<std::size_t, Decision>> different;  ///< Which, and what it decides there.
};
/// Bit for bit: a decision is the same only if its action, share, forecast and words are.
[[nodiscard]] Replay replay(const RecordedMove& move, Policy& policy);
[[nodiscard]] std::string render_replay(const RecordedMove& move, std::string_view policy, const Replay& replayed);

[[nodiscard]] int run_explain(const ExplainJob& wanted, const std::string& state_folder);
[[nodiscard]] int run_replay(const ReplayJob& wanted, const std::string& state_folder);

}  // namespace segue

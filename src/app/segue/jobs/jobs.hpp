#pragma once
/// \file  `segue history`, `segue status` and `segue cancel`: what the journal and the running moves say.
///
/// Each prints its answer on standard output and what is in the way on standard error, and returns the exit status
/// of docs/exit-statuses.md. Nothing here writes to the journal or speaks to a hypervisor. Blocks.

#include <string>

#include "app/segue/words/jobs_words.hpp"
#include "units/duration.hpp"

namespace segue {

namespace jobs {
inline constexpr Duration follow_every = std::chrono::seconds{1};
/// What a running move has to answer in: longer than its clients' turn, shorter than an operator's patience.
inline constexpr Duration answer_max = std::chrono::seconds{2};
/// Undoing takes milliseconds, putting back and closing at most some seconds.
inline constexpr Duration cancel_max = std::chrono::seconds{30};
}  // namespace jobs

[[nodiscard]] int run_jobs_command(const JobsCommand& command, const std::string& state_folder);

}  // namespace segue

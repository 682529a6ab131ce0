#pragma once
/// \file  The lines that `segue status --json` and `segue cancel --json` print; docs/json-output.md says what the
///        fields mean. Pure.

#include <optional>
#include <string>
#include <string_view>

#include "api/job_codec.hpp"
#include "store/journal.hpp"

namespace segue {

/// "closed", "under-way", "unfinished" (its process is gone) or "unknown", as in `segue history --json`.
[[nodiscard]] std::string_view job_state_word(const MoveRecord& record, Liveness owner);

/// One line, without its newline.
/// \param answer  What the running segue said; none where nobody was asked or nobody answered.
[[nodiscard]] std::string status_json(const MoveRecord& record, Liveness owner,
                                      const std::optional<job::Status>& answer);

/// What became of `segue cancel JOB`.
struct CancelEnd {
    int exit_status = 0;
    std::string sentence;  ///< For people.
};
/// One line, without its newline. \param record  None where there is no such job.
[[nodiscard]] std::string cancel_json(JobId job, const std::optional<MoveRecord>& record, const CancelEnd& end);

}  // namespace segue

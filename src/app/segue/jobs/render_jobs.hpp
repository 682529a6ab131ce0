#pragma once
/// \file  What `segue status` and `segue cancel` say to people. Pure; no newline at the end; nothing in it that a
///        terminal would act on.

#include <optional>
#include <string>

#include "api/job_codec.hpp"
#include "api/job_json.hpp"
#include "store/journal.hpp"

namespace segue {

/// A move and what its running segue said, if it was asked and answered.
struct JobSeen {
    MoveRecord record;
    Liveness owner = Liveness::unknown;
    std::optional<job::Status> answer;
    std::string silence;  ///< Why there is no answer, where it was asked.
};

/// "job 7  qmp:/run/a.qmp  copying memory while the guest runs  pass 4  1.8 GiB left ...  after 58.2 s".
[[nodiscard]] std::string render_job_line(const JobSeen& seen);
/// Some lines: from, to, state, guest, limits, the last steps.
[[nodiscard]] std::string render_job(const JobSeen& seen);

/// How `segue cancel` ended, from a record that is closed.
/// \param already  It was closed before anything was asked.
[[nodiscard]] CancelEnd cancel_end(const MoveRecord& record, bool already);

}  // namespace segue

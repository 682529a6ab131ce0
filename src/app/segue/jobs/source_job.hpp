#pragma once
/// \file  The record of one move in the journal of the source's host, from its number to its last line.
///
/// Thread: the loop's; the steps are written on a thread of its own (store/sqlite/journal_thread.hpp).
/// Opening and closing wait for the disk: the first before anything is changed, the second when the guest runs.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "hypervisor/guest.hpp"
#include "io/loop.hpp"
#include "migration/request.hpp"
#include "store/sqlite/journal_thread.hpp"

namespace segue {

class SourceJob {
public:
    /// `refused` or `conflict`, with the next thing to do, where the journal cannot be used or an earlier move of
    /// the same monitor has not ended. `move` without its owner; `begun` is kept with its first step.
    [[nodiscard]] static Result<std::unique_ptr<SourceJob>> open(Loop& loop, const std::string& state_folder,
                                                                 NewMove move, const JournalDetail& begun = {});

    [[nodiscard]] JobId id() const { return id_; }
    [[nodiscard]] const MoveOwner& owner() const { return owner_; }
    [[nodiscard]] JournalThread& journal() { return *thread_; }

    /// Another move of this very guest, by whatever name, that has not ended: what is in the way.
    [[nodiscard]] std::optional<Finding> obstacle(const GuestFacts& guest) const;

    /// Writes the ending, unless there is something left to do. `then` gets what could not be written.
    void close(const Summary& summary, std::function<void(Result<void>)> then);

private:
    SourceJob(Loop& loop, std::unique_ptr<Journal> journal, JobId id, MoveOwner owner,
              std::vector<MoveRecord> unfinished);

    JobId id_;
    MoveOwner owner_;
    std::vector<MoveRecord> unfinished_;
    std::unique_ptr<JournalThread> thread_;
};

[[nodiscard]] MoveEnding ending_of(const Summary& summary);

/// "job 7", for sentences.
[[nodiscard]] std::string name_of(JobId id);

}  // namespace segue

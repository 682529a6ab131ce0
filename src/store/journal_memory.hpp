#pragma once
/// \file  A journal in memory that can lose what a crash of the host would lose. For the simulator and for
///        tests. Pure.
///
/// A killed process loses nothing that was written; `lose_power` loses what no durable call came after.
/// A call is done when it returns. To model a slow disk, call it later; to model a host that dies while a
/// durable call is under way, toss whether it is made before `lose_power`: both happen on real disks.

#include <map>
#include <optional>

#include "store/journal.hpp"

namespace segue {

class MemoryJournal final : public Journal {
public:
    [[nodiscard]] Result<JobId> create(const NewMove& move, const MoveStep& first) override;
    [[nodiscard]] Result<void> identify(JobId job, const MoveOwner& by, const GuestIdentity& guest) override;
    [[nodiscard]] Result<void> append(JobId job, const MoveOwner& by, const MoveStep& step,
                                      Durability durability) override;
    [[nodiscard]] Result<void> close(JobId job, const MoveOwner& by, const MoveEnding& ending,
                                     const JournalStamp& at) override;
    [[nodiscard]] Result<void> take_over(JobId job, const MoveOwner& from, const MoveOwner& to) override;
    [[nodiscard]] Result<MoveRecord> load(JobId job) override;
    [[nodiscard]] Result<std::optional<MoveRecord>> find(MoveId id, MoveRole role) override;
    [[nodiscard]] Result<std::vector<MoveRecord>> unfinished() override;
    [[nodiscard]] Result<std::vector<MoveRecord>> latest(std::size_t count) override;

    /// The host died: only what was durable is left.
    void lose_power() { written_ = durable_; }
    /// Every write fails with this and writes nothing, until it is taken back.
    void fail_writes(std::optional<Error> error) { broken_ = std::move(error); }

private:
    using Moves = std::map<JobId, MoveRecord>;
    Result<MoveRecord*> owned(JobId job, const MoveOwner& by);
    Result<void> add_step(JobId job, const MoveOwner& by, const MoveStep& step);

    Moves written_;
    Moves durable_;
    std::int64_t last_job_ = 0;
    std::optional<Error> broken_;
};

}  // namespace segue

#include "app/segue/jobs/source_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

/// What QEMU says of a guest that was given none: it tells nobody apart.
constexpr std::string_view no_uuid = "00000000-0000-0000-0000-000000000000";

/// An unfinished move of the guest that `is_same` tells, as a finding.
template <class IsSame>
std::optional<Finding> in_the_way(const std::vector<MoveRecord>& unfinished, IsSame is_same) {
    const auto found = std::ranges::find_if(unfinished, is_same);
    if (found == unfinished.end()) return std::nullopt;
    const auto number = static_cast<std::int64_t>(found->job);
    if (look_for(found->move.owner) == Liveness::gone) {
        return Finding{fmt::format("job {}, an earlier move of this guest, did not come to its end", number),
                       fmt::format("segue recover {}", number)};
    }
    return Finding{fmt::format("job {} (process {}) moves this guest already", number, found->move.owner.pid),
                   fmt::format("wait for it, or segue cancel {}", number)};
}

}  // namespace

SourceJob::SourceJob(Loop& loop, std::unique_ptr<Journal> journal, JobId id, MoveOwner owner,
                     std::vector<MoveRecord> unfinished)
    : id_(id),
      owner_(std::move(owner)),
      unfinished_(std::move(unfinished)),
      thread_(std::make_unique<JournalThread>(loop, std::move(journal))) {}

Result<std::unique_ptr<SourceJob>> SourceJob::open(Loop& loop, const std::string& state_folder, NewMove move,
                                                   const JournalDetail& begun) {
    SEGUE_TRY(owner, this_process());
    SEGUE_TRY(journal, open_journal(journal_path(state_folder)));
    SEGUE_TRY(unfinished, journal->unfinished());
    std::erase_if(unfinished, [](const MoveRecord& record) { return record.move.role != MoveRole::source; });
    const auto obstacle = in_the_way(
        unfinished, [&](const MoveRecord& record) { return record.move.src.monitor == move.src.monitor; });
    if (obstacle) return fail(ErrorKind::conflict, fmt::format("{} ({})", obstacle->what, obstacle->remedy));
    move.owner = owner;
    SEGUE_TRY(id, journal->create(move, {StepKind::begun, stamp_now(), encode_detail(begun)}));
    return std::unique_ptr<SourceJob>(
        new SourceJob(loop, std::move(journal), id, std::move(owner), std::move(unfinished)));
}

std::optional<Finding> SourceJob::obstacle(const GuestFacts& guest) const {
    if (guest.uuid.empty() || guest.uuid == no_uuid) return std::nullopt;
    return in_the_way(unfinished_, [&](const MoveRecord& record) { return record.move.guest.uuid == guest.uuid; });
}

void SourceJob::close(const Summary& summary, std::function<void(Result<void>)> then) {
    // `ask` with nothing to do still waits for the steps before it.
    const auto work = [id = id_, owner = owner_, ending = ending_of(summary), at = stamp_now(),
                       unfinished = summary.unfinished](Journal& journal) -> Result<void> {
        return unfinished ? Result<void>{} : journal.close(id, owner, ending, at);
    };
    thread_->ask<void>(work, std::move(then));
}

MoveEnding ending_of(const Summary& summary) {
    MoveEnding ending;
    ending.outcome = to_string(summary.outcome);
    ending.exit_status = exit_status(summary.outcome);
    ending.guest_on = to_string(summary.guest_on);
    ending.error = summary.error;
    if (summary.guest_stopped) ending.downtime = summary.downtime;
    ending.total = summary.total;
    ending.sent = summary.sent;
    return ending;
}

std::string name_of(JobId id) {
    return fmt::format("job {}", static_cast<std::int64_t>(id));
}

}  // namespace segue

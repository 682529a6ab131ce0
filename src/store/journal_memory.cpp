#include "store/journal_memory.hpp"

#include <fmt/format.h>

#include <ranges>

#include "base/assert.hpp"

namespace segue {

Result<MoveRecord*> MemoryJournal::owned(JobId job, const MoveOwner& by) {
    if (broken_) return std::unexpected(*broken_);
    const auto found = written_.find(job);
    if (found == written_.end()) return no_such_job(job);
    if (found->second.move.owner != by) return not_the_owner(job, found->second.move.owner);
    return &found->second;
}

Result<JobId> MemoryJournal::create(const NewMove& move, const MoveStep& first) {
    SEGUE_ASSERT(first.kind == first_step(move.role));
    if (broken_) return std::unexpected(*broken_);
    if (auto checked = check_detail(first.detail); !checked) return std::unexpected(checked.error());
    for (const auto& [job, record] : written_) {
        if (record.move.id == move.id && record.move.role == move.role) return already_there(job);
    }
    const JobId job{++last_job_};
    written_.emplace(job, MoveRecord{job, move, first.at.wall, std::nullopt, std::nullopt, {first}});
    durable_ = written_;
    return job;
}

Result<void> MemoryJournal::identify(JobId job, const MoveOwner& by, const GuestIdentity& guest) {
    SEGUE_TRY(record, owned(job, by));
    if (record->ended) return is_closed(job);
    record->move.guest = guest;
    return {};
}

Result<void> MemoryJournal::add_step(JobId job, const MoveOwner& by, const MoveStep& step) {
    SEGUE_TRY(record, owned(job, by));
    SEGUE_ASSERT(is_of(step.kind, record->move.role));
    if (auto checked = check_detail(step.detail); !checked) return checked;
    std::vector<StepKind> before;
    for (const auto& earlier : record->steps) before.push_back(earlier.kind);
    if (auto checked = check_append(job, record->move.owner, by, before, step.kind); !checked) return checked;
    record->steps.push_back(step);
    return {};
}

Result<void> MemoryJournal::append(JobId job, const MoveOwner& by, const MoveStep& step, Durability durability) {
    SEGUE_ASSERT(step.kind != StepKind::closed);
    if (auto added = add_step(job, by, step); !added) return added;
    if (durability == Durability::durable) durable_ = written_;
    return {};
}

Result<void> MemoryJournal::close(JobId job, const MoveOwner& by, const MoveEnding& ending, const JournalStamp& at) {
    if (auto added = add_step(job, by, {StepKind::closed, at, "{}"}); !added) return added;
    MoveRecord& record = written_.at(job);
    record.ended = at.wall;
    record.ending = ending;
    durable_ = written_;
    return {};
}

Result<void> MemoryJournal::take_over(JobId job, const MoveOwner& from, const MoveOwner& to) {
    SEGUE_TRY(record, owned(job, from));
    if (record->ended) return is_closed(job);
    record->move.owner = to;
    durable_ = written_;
    return {};
}

Result<MoveRecord> MemoryJournal::load(JobId job) {
    const auto found = written_.find(job);
    if (found == written_.end()) return no_such_job(job);
    return found->second;
}

Result<std::optional<MoveRecord>> MemoryJournal::find(MoveId id, MoveRole role) {
    for (const auto& record : written_ | std::views::values) {
        if (record.move.id == id && record.move.role == role) return record;
    }
    return std::optional<MoveRecord>();
}

Result<std::vector<MoveRecord>> MemoryJournal::unfinished() {
    std::vector<MoveRecord> open;
    for (const auto& record : written_ | std::views::values) {
        if (!record.ended) open.push_back(record);
    }
    return open;
}

Result<std::vector<MoveRecord>> MemoryJournal::latest(std::size_t count) {
    std::vector<MoveRecord> newest;
    for (const auto& record : written_ | std::views::values | std::views::reverse) {
        if (newest.size() == count) break;
        newest.push_back(record);
    }
    return newest;
}

}  // namespace segue

// Which move is meant, whether it may be touched, and what is said of it in the end.
#include <fmt/format.h>

#include <algorithm>

#include "app/segue/recover/recover.hpp"
#include "app/segue/words/plain_text.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

std::int64_t number_of(const MoveRecord& record) { return static_cast<std::int64_t>(record.job); }

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

Result<void> check_owner(const MoveRecord& record) {
    const MoveOwner& owner = record.move.owner;
    switch (look_for(owner)) {
        case Liveness::gone: return {};
        case Liveness::alive:
            return fail(ErrorKind::conflict, fmt::format("process {} works on job {} (wait for it, or segue cancel {})",
                                                         owner.pid, number_of(record), number_of(record)));
        case Liveness::unknown: break;
    }
    return fail(ErrorKind::conflict,
                fmt::format("whether process {}, which works on job {}, still lives cannot be seen (run it as root)",
                            owner.pid, number_of(record)));
}

Result<std::optional<MoveRecord>> the_only_one(Journal& journal) {
    SEGUE_TRY(unfinished, journal.unfinished());
    std::erase_if(unfinished, [](const MoveRecord& record) { return record.move.role != MoveRole::source; });
    if (unfinished.empty()) return std::nullopt;
    std::vector<MoveRecord> left;
    std::ranges::copy_if(unfinished, std::back_inserter(left), [](const MoveRecord& record) {
        return look_for(record.move.owner) == Liveness::gone;
    });
    if (left.size() == 1) return left.front();
    // None that was left alone: whoever works on the first is named.
    if (left.empty()) return unfinished.front();
    std::string list;
    for (const MoveRecord& record : left) {
        list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", number_of(record), plain_text(record.move.vm));
    }
    return wrong(fmt::format("{} moves are unfinished: {} (give the JOB of one, for example segue recover {})",
                             left.size(), list, number_of(left.front())));
}

}  // namespace

Result<std::optional<MoveRecord>> choose_move(Journal& journal, const Recover& wanted) {
    std::optional<MoveRecord> record;
    if (wanted.job) {
        SEGUE_TRY(named, journal.load(JobId{*wanted.job}));
        record = named;
    } else {
        SEGUE_TRY(only, the_only_one(journal));
        record = only;
    }
    if (!record) return std::nullopt;
    if (record->move.role == MoveRole::destination) {
        return wrong(fmt::format("job {} is the destination's side of a move: run segue recover on its source host{}",
                                 number_of(*record),
                                 record->move.src.host.empty() ? "" : ", " + plain_text(record->move.src.host)));
    }
    if (record->ended) {
        return wrong(fmt::format("job {} has come to its end ({}): nothing is left to do", number_of(*record),
                                 record->ending ? record->ending->outcome : "closed"));
    }
    if (auto free = check_owner(*record); !free) return std::unexpected(free.error());
    return record;
}

Result<void> check_fence(const Recover& wanted, const MoveRecord& record) {
    if (!wanted.fenced) return {};
    const NewMove& move = record.move;
    if (*wanted.fenced != move.dst.host && *wanted.fenced != move.transport) {
        return wrong(fmt::format("--fenced {} is not the destination of job {}, which is {}: nothing was changed",
                                 plain_text(*wanted.fenced), number_of(record), plain_text(move.dst.host)));
    }
    if (*wanted.confirm != move.vm && *wanted.confirm != move.guest.name) {
        return wrong(fmt::format("--confirm {} is not the guest of job {}, which is {}: nothing was changed",
                                 plain_text(*wanted.confirm), number_of(record), plain_text(move.vm)));
    }
    return {};
}

std::string render_recovered(const Summary& summary, const MoveRecord& record) {
    const std::string name = fmt::format("job {}, {}", number_of(record), plain_text(record.move.vm));
    const std::string error = plain_text(summary.error);
    const std::string note = error.empty() ? "" : "\n  note: " + error;
    switch (summary.outcome) {
        case Outcome::moved: return fmt::format("{}: moved, the guest is the destination's{}", name, note);
        case Outcome::refused: return fmt::format("{}: refused, nothing was changed: {}", name, error);
        case Outcome::cancelled: return fmt::format("{}: {}", name, error);
        case Outcome::guest_crashed: return fmt::format("{}: guest crashed: {}", name, error);
        case Outcome::unknown: return fmt::format("{}: state unknown: {}", name, error);
        case Outcome::failed:
        case Outcome::downtime_exceeded:
        case Outcome::timeout:
        case Outcome::planned: break;
    }
    return fmt::format("{}: not moved: {}", name, error);
}

}  // namespace segue

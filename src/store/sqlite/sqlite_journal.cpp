#include "store/sqlite/sqlite_journal.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/assert.hpp"
#include "store/journal_memory.hpp"
#include "store/sqlite/rows.hpp"
#include "store/sqlite/schema.hpp"

namespace segue {
namespace {

using sqlite::Database;
using sqlite::Transaction;

class SqliteJournal final : public Journal {
public:
    explicit SqliteJournal(Database database) : database_(std::move(database)) {}

    Result<JobId> create(const NewMove& move, const MoveStep& first) override;
    Result<void> identify(JobId job, const MoveOwner& by, const GuestIdentity& guest) override;
    Result<void> append(JobId job, const MoveOwner& by, const MoveStep& step, Durability durability) override;
    Result<void> close(JobId job, const MoveOwner& by, const MoveEnding& ending, const JournalStamp& at) override;
    Result<void> take_over(JobId job, const MoveOwner& from, const MoveOwner& to) override;
    Result<MoveRecord> load(JobId job) override;
    Result<std::optional<MoveRecord>> find(MoveId id, MoveRole role) override;
    Result<std::vector<MoveRecord>> unfinished() override;
    Result<std::vector<MoveRecord>> latest(std::size_t count) override;

private:
    Result<Transaction> begin(Durability durability);
    Result<void> add_step(JobId job, const MoveOwner& by, const MoveStep& step);

    Database database_;
    Durability present_ = Durability::durable;
};

/// In WAL mode a commit under synchronous=NORMAL is written but not synced; the next one under FULL syncs the
/// whole log, so that the order holds.
Result<Transaction> SqliteJournal::begin(Durability durability) {
    if (durability != present_) {
        const bool durable = durability == Durability::durable;
        auto set = database_.execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        if (!set) return std::unexpected(set.error());
        present_ = durability;
    }
    return Transaction::write(database_);
}

Result<JobId> SqliteJournal::create(const NewMove& move, const MoveStep& first) {
    SEGUE_ASSERT(first.kind == first_step(move.role));
    if (auto checked = check_detail(first.detail); !checked) return std::unexpected(checked.error());
    SEGUE_TRY(transaction, begin(Durability::durable));
    SEGUE_TRY(there, sqlite::find_job(database_, move.id, move.role));
    if (there) return already_there(*there);
    SEGUE_TRY(job, sqlite::insert_move(database_, move, first.at.wall));
    if (auto added = sqlite::insert_step(database_, job, 1, first); !added) return std::unexpected(added.error());
    SEGUE_TRY(old, database_.prepare("DELETE FROM moves WHERE job <= ? AND ended_unix_ns IS NOT NULL"));
    old.bind(static_cast<std::int64_t>(job) - journal::moves_kept);
    if (auto forgotten = old.run(); !forgotten) return std::unexpected(forgotten.error());
    if (auto done = transaction.commit(); !done) return std::unexpected(done.error());
    return job;
}

Result<void> SqliteJournal::identify(JobId job, const MoveOwner& by, const GuestIdentity& guest) {
    SEGUE_TRY(transaction, begin(Durability::soon));
    SEGUE_TRY(standing, sqlite::read_standing(database_, job));
    if (standing.owner != by) return not_the_owner(job, standing.owner);
    if (standing.steps.back() == StepKind::closed) return is_closed(job);
    SEGUE_TRY(update, database_.prepare("UPDATE moves SET guest_uuid = ?, guest_name = ? WHERE job = ?"));
    update.bind(guest.uuid).bind(guest.name).bind(static_cast<std::int64_t>(job));
    if (auto done = update.run(); !done) return done;
    return transaction.commit();
}

Result<void> SqliteJournal::add_step(JobId job, const MoveOwner& by, const MoveStep& step) {
    SEGUE_TRY(standing, sqlite::read_standing(database_, job));
    SEGUE_ASSERT(is_of(step.kind, standing.role));
    if (auto may = check_append(job, standing.owner, by, standing.steps, step.kind); !may) return may;
    return sqlite::insert_step(database_, job, standing.steps.size() + 1, step);
}

Result<void> SqliteJournal::append(JobId job, const MoveOwner& by, const MoveStep& step, Durability durability) {
    SEGUE_ASSERT(step.kind != StepKind::closed);
    if (auto checked = check_detail(step.detail); !checked) return checked;
    SEGUE_TRY(transaction, begin(durability));
    if (auto added = add_step(job, by, step); !added) return added;
    return transaction.commit();
}

Result<void> SqliteJournal::close(JobId job, const MoveOwner& by, const MoveEnding& ending, const JournalStamp& at) {
    {
        SEGUE_TRY(transaction, begin(Durability::durable));
        if (auto added = add_step(job, by, {StepKind::closed, at, "{}"}); !added) return added;
        if (auto written = sqlite::write_ending(database_, job, ending, at.wall); !written) return written;
        if (auto done = transaction.commit(); !done) return done;
    }
    sqlite::checkpoint_if_large(database_);
    return {};
}

Result<void> SqliteJournal::take_over(JobId job, const MoveOwner& from, const MoveOwner& to) {
    SEGUE_TRY(transaction, begin(Durability::durable));
    SEGUE_TRY(standing, sqlite::read_standing(database_, job));
    if (standing.owner != from) return not_the_owner(job, standing.owner);
    if (standing.steps.back() == StepKind::closed) return is_closed(job);
    SEGUE_TRY(update, database_.prepare(
        "UPDATE moves SET owner_pid = ?, owner_start_ticks = ?, owner_boot_id = ? WHERE job = ?"));
    update.bind(to.pid).bind(static_cast<std::int64_t>(to.start_ticks)).bind(to.boot_id);
    update.bind(static_cast<std::int64_t>(job));
    if (auto done = update.run(); !done) return done;
    return transaction.commit();
}

Result<MoveRecord> SqliteJournal::load(JobId job) {
    SEGUE_TRY(moves, sqlite::read_moves(database_, "WHERE job = ?", static_cast<std::int64_t>(job)));
    if (moves.empty()) return no_such_job(job);
    return std::move(moves.front());
}

Result<std::optional<MoveRecord>> SqliteJournal::find(MoveId id, MoveRole role) {
    SEGUE_TRY(job, sqlite::find_job(database_, id, role));
    if (!job) return std::optional<MoveRecord>();
    SEGUE_TRY(record, load(*job));
    return std::optional(std::move(record));
}

Result<std::vector<MoveRecord>> SqliteJournal::unfinished() {
    return sqlite::read_moves(database_, "WHERE ended_unix_ns IS NULL ORDER BY job", std::nullopt);
}

Result<std::vector<MoveRecord>> SqliteJournal::latest(std::size_t count) {
    const auto rows = static_cast<std::int64_t>(std::min<std::size_t>(count, journal::moves_kept));
    return sqlite::read_moves(database_, "ORDER BY job DESC LIMIT ?", rows);
}

std::unique_ptr<Journal> nothing_yet() {
    auto empty = std::make_unique<MemoryJournal>();
    empty->fail_writes(Error{ErrorKind::refused, "the journal was opened for reading only", {}});
    return empty;
}

}  // namespace

std::string journal_path(const std::string& state_folder) { return state_folder + "/journal/journal.db"; }

Result<std::unique_ptr<Journal>> open_journal(const std::string& path) {
    SEGUE_TRY(database, sqlite::open_for_writing(path));
    return std::make_unique<SqliteJournal>(std::move(database));
}

Result<std::unique_ptr<Journal>> open_journal_read_only(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return nothing_yet();
        return fail(ErrorKind::refused, fmt::format("cannot read the journal {}", path),
                    std::generic_category().message(errno));
    }
    SEGUE_TRY(database, sqlite::open_for_reading(path));
    SEGUE_TRY(tables, database.integer("SELECT count(*) FROM sqlite_schema"));
    // Another process is just making it.
    if (tables == 0) return nothing_yet();
    return std::make_unique<SqliteJournal>(std::move(database));
}

}  // namespace segue

#include "store/sqlite/rows.hpp"

#include <fmt/format.h>

namespace segue::sqlite {
namespace {

std::int64_t number_of(JobId job) { return static_cast<std::int64_t>(job); }
std::int64_t unix_ns(WallInstant at) { return at.time_since_epoch().count(); }
WallInstant wall(std::int64_t ns) { return WallInstant{std::chrono::nanoseconds{ns}}; }

std::optional<std::int64_t> count_of(const std::optional<Duration>& duration) {
    return duration ? std::optional(duration->count()) : std::nullopt;
}
std::optional<std::int64_t> count_of(const std::optional<ByteRate>& rate) {
    return rate ? std::optional(rate->per_second) : std::nullopt;
}
std::optional<Duration> duration(const std::optional<std::int64_t>& ns) {
    return ns ? std::optional(Duration{*ns}) : std::nullopt;
}
std::optional<ByteRate> rate(const std::optional<std::int64_t>& per_second) {
    return per_second ? std::optional(ByteRate{*per_second}) : std::nullopt;
}

constexpr std::string_view move_columns =
    "move_id, role, vm, guest_uuid, guest_name, src_host, src_monitor, dst_host, dst_monitor, transport, "
    "max_downtime_ns, timeout_ns, max_bandwidth_bytes_per_second, switchover_bandwidth_bytes_per_second, "
    "owner_pid, owner_start_ticks, owner_boot_id, started_unix_ns";
constexpr std::string_view ending_columns =
    "ended_unix_ns, outcome, exit_status, guest_on, error, downtime_ns, total_ns, sent_bytes";
constexpr std::string_view step_columns = "step, at_unix_ns, boot_id, since_boot_ns, detail";

/// Reads the columns of a row in their order.
class Row {
public:
    explicit Row(const Statement& statement) : statement_(statement) {}
    std::int64_t integer() { return statement_.integer(column_++); }
    std::string text() { return statement_.text(column_++); }
    std::optional<std::int64_t> integer_or_null() { return statement_.integer_or_null(column_++); }

private:
    const Statement& statement_;
    int column_ = 0;
};

Result<MoveRecord> move_of(const Statement& statement, const std::string& path) {
    Row row(statement);
    MoveRecord record;
    record.job = JobId{row.integer()};
    NewMove& move = record.move;
    const auto id = parse_move_id(row.text());
    if (!id) return std::unexpected(damaged(path, fmt::format("job {} has no move id", number_of(record.job))));
    move.id = *id;
    move.role = row.integer() == static_cast<int>(MoveRole::source) ? MoveRole::source : MoveRole::destination;
    move.vm = row.text();
    move.guest.uuid = row.text();
    move.guest.name = row.text();
    move.src.host = row.text();
    move.src.monitor = row.text();
    move.dst.host = row.text();
    move.dst.monitor = row.text();
    move.transport = row.text();
    move.bounds.max_downtime = Duration{row.integer()};
    move.bounds.timeout = duration(row.integer_or_null());
    move.bounds.max_bandwidth = rate(row.integer_or_null());
    move.bounds.switchover_bandwidth = rate(row.integer_or_null());
    move.owner.pid = row.integer();
    move.owner.start_ticks = static_cast<std::uint64_t>(row.integer());
    move.owner.boot_id = row.text();
    record.started = wall(row.integer());
    const auto ended = row.integer_or_null();
    if (!ended) return record;
    record.ended = wall(*ended);
    MoveEnding& ending = record.ending.emplace();
    ending.outcome = row.text();
    ending.exit_status = static_cast<int>(row.integer());
    ending.guest_on = row.text();
    ending.error = row.text();
    ending.downtime = duration(row.integer_or_null());
    ending.total = Duration{row.integer()};
    ending.sent = Bytes{row.integer()};
    return record;
}

Result<std::vector<MoveStep>> read_steps(Database& database, JobId job) {
    SEGUE_TRY(statement, database.prepare(fmt::format("SELECT {} FROM steps WHERE job = ?1 ORDER BY number",
                                                      step_columns)));
    statement.bind(number_of(job));
    std::vector<MoveStep> steps;
    for (;;) {
        SEGUE_TRY(more, statement.step());
        if (!more) return steps;
        Row row(statement);
        const std::int64_t number = row.integer();
        const auto kind = step_of(number);
        // A step that this version does not know comes with a newer schema, which was refused at the opening.
        if (!kind) return std::unexpected(damaged(database.path(), fmt::format("there is no step {}", number)));
        MoveStep& step = steps.emplace_back();
        step.kind = *kind;
        step.at.wall = wall(row.integer());
        step.at.boot_id = row.text();
        step.at.since_boot = Instant{Duration{row.integer()}};
        step.detail = row.text();
    }
}

}  // namespace

Result<JobId> insert_move(Database& database, const NewMove& move, WallInstant started) {
    SEGUE_TRY(statement, database.prepare(fmt::format(
        "INSERT INTO moves ({}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", move_columns)));
    statement.bind(to_string(move.id)).bind(static_cast<int>(move.role));
    statement.bind(move.vm).bind(move.guest.uuid).bind(move.guest.name);
    statement.bind(move.src.host).bind(move.src.monitor).bind(move.dst.host).bind(move.dst.monitor);
    statement.bind(move.transport);
    statement.bind(move.bounds.max_downtime.count()).bind(count_of(move.bounds.timeout));
    statement.bind(count_of(move.bounds.max_bandwidth)).bind(count_of(move.bounds.switchover_bandwidth));
    statement.bind(move.owner.pid).bind(static_cast<std::int64_t>(move.owner.start_ticks)).bind(move.owner.boot_id);
    statement.bind(unix_ns(started));
    if (auto done = statement.run(); !done) return std::unexpected(done.error());
    return JobId{database.last_row()};
}

Result<void> insert_step(Database& database, JobId job, std::size_t number, const MoveStep& step) {
    SEGUE_TRY(statement, database.prepare(fmt::format(
        "INSERT INTO steps (job, number, {}) VALUES (?, ?, ?, ?, ?, ?, ?)", step_columns)));
    statement.bind(number_of(job)).bind(static_cast<std::int64_t>(number)).bind(static_cast<int>(step.kind));
    statement.bind(unix_ns(step.at.wall)).bind(step.at.boot_id).bind(step.at.since_boot.since_boot.count());
    statement.bind(step.detail);
    return statement.run();
}

Result<void> write_ending(Database& database, JobId job, const MoveEnding& ending, WallInstant ended) {
    SEGUE_TRY(statement, database.prepare(fmt::format(
        "UPDATE moves SET ({}) = (?, ?, ?, ?, ?, ?, ?, ?) WHERE job = ?", ending_columns)));
    statement.bind(unix_ns(ended)).bind(ending.outcome).bind(ending.exit_status).bind(ending.guest_on);
    statement.bind(ending.error).bind(count_of(ending.downtime)).bind(ending.total.count()).bind(ending.sent.count);
    statement.bind(number_of(job));
    return statement.run();
}

Result<std::optional<JobId>> find_job(Database& database, MoveId id, MoveRole role) {
    SEGUE_TRY(statement, database.prepare("SELECT job FROM moves WHERE move_id = ? AND role = ?"));
    statement.bind(to_string(id)).bind(static_cast<int>(role));
    SEGUE_TRY(there, statement.step());
    return there ? std::optional(JobId{statement.integer(0)}) : std::nullopt;
}

Result<Standing> read_standing(Database& database, JobId job) {
    Standing standing;
    SEGUE_TRY(move, database.prepare(
        "SELECT role, owner_pid, owner_start_ticks, owner_boot_id FROM moves WHERE job = ?"));
    move.bind(number_of(job));
    SEGUE_TRY(there, move.step());
    if (!there) return no_such_job(job);
    standing.role = move.integer(0) == static_cast<int>(MoveRole::source) ? MoveRole::source : MoveRole::destination;
    standing.owner = {move.integer(1), static_cast<std::uint64_t>(move.integer(2)), move.text(3)};
    SEGUE_TRY(steps, read_steps(database, job));
    for (const auto& step : steps) standing.steps.push_back(step.kind);
    return standing;
}

Result<std::vector<MoveRecord>> read_moves(Database& database, std::string_view where,
                                           const std::optional<std::int64_t>& parameter) {
    // One view of both tables, whatever others write meanwhile.
    const auto transaction = Transaction::read(database);
    if (!transaction) return std::unexpected(transaction.error());
    SEGUE_TRY(statement, database.prepare(fmt::format("SELECT job, {}, {} FROM moves {}", move_columns,
                                                      ending_columns, where)));
    if (parameter) statement.bind(*parameter);
    std::vector<MoveRecord> moves;
    for (;;) {
        SEGUE_TRY(more, statement.step());
        if (!more) return moves;
        SEGUE_TRY(record, move_of(statement, database.path()));
        SEGUE_TRY(steps, read_steps(database, record.job));
        record.steps = std::move(steps);
        moves.push_back(std::move(record));
    }
}

}  // namespace segue::sqlite

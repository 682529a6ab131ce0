#include "store/sqlite/sqlite.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <thread>

#include "base/assert.hpp"

namespace segue::sqlite {
namespace {

/// SQLite's own timeout sleeps up to 100 ms at a time. A writer is through in less than one millisecond, and
/// the guest may be standing while we wait for it.
int wait_for_other_writer(void*, int times) {
    constexpr std::chrono::microseconds pause{300};
    if (times * pause > busy_max) return 0;
    std::this_thread::sleep_for(pause);
    return 1;
}

}  // namespace

Error damaged(const std::string& path, std::string source) {
    return {ErrorKind::corrupt,
            fmt::format("the journal {0} is damaged. Look with query-status where each guest runs, then move "
                        "{0}, {0}-wal and {0}-shm away; the next command begins a new journal",
                        path),
            std::move(source)};
}

Error Database::error(int code) const {
    std::string source = sqlite3_errstr(code);
    if (handle_ && sqlite3_errcode(handle_.get()) == (code & 0xff)) source = sqlite3_errmsg(handle_.get());
    // No room for the shared index of the log: SQLite counts that as an input/output error.
    switch (code == SQLITE_IOERR_SHMSIZE ? SQLITE_FULL : code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return damaged(path_, std::move(source));
        case SQLITE_FULL:
            return {ErrorKind::refused, fmt::format("there is no room on the disk for the journal {}", path_),
                    std::move(source)};
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
            return {ErrorKind::refused,
                    fmt::format("the journal {} cannot be opened for this; check who owns it and its folder, and "
                                "whether the file system is mounted read-only",
                                path_),
                    std::move(source)};
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return {ErrorKind::timed_out,
                    fmt::format("another process has held the journal {} for {} s; is one of them stopped?", path_,
                                std::chrono::duration_cast<std::chrono::seconds>(busy_max).count()),
                    std::move(source)};
        case SQLITE_CONSTRAINT: return {ErrorKind::conflict, "the journal does not allow this", std::move(source)};
        // Above all an fsync that failed: what it was to write may be on the disk or not.
        default:
            return {ErrorKind::unavailable, fmt::format("the journal {} cannot be used", path_), std::move(source)};
    }
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* database) const noexcept { sqlite3_close(database); }

Statement& Statement::bind(std::int64_t value) {
    const int code = sqlite3_bind_int64(handle_.get(), ++bound_, value);
    if (failure_ == SQLITE_OK) failure_ = code;
    return *this;
}

Statement& Statement::bind(std::string_view value) {
    // An empty view may point to nowhere, which SQLite would take for NULL.
    const char* const bytes = value.empty() ? "" : value.data();
    const int code = sqlite3_bind_text64(handle_.get(), ++bound_, bytes, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    if (failure_ == SQLITE_OK) failure_ = code;
    return *this;
}

Statement& Statement::bind(const std::optional<std::int64_t>& value) {
    if (value) return bind(*value);
    ++bound_;  // Parameters are NULL unless bound.
    return *this;
}

Result<bool> Statement::step() {
    if (failure_ != SQLITE_OK) return std::unexpected(database_->error(failure_));
    const int code = sqlite3_step(handle_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return std::unexpected(database_->error(code));
}

Result<void> Statement::run() {
    SEGUE_TRY(row, step());
    SEGUE_ASSERT(!row);
    return {};
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }

std::string Statement::text(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_.get(), column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column)));
}

std::optional<std::int64_t> Statement::integer_or_null(int column) const {
    if (sqlite3_column_type(handle_.get(), column) == SQLITE_NULL) return std::nullopt;
    return integer(column);
}

Result<Database> Database::open(const std::string& path, Access access) {
    Database database(path);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    flags |= access == Access::read_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    std::string name = path;
    if (access == Access::immutable) {
        // As a URI, in which '%', '?' and '#' would mean something.
        name = "file:";
        for (const char c : path) {
            const bool special = c == '%' || c == '?' || c == '#';
            name += special ? fmt::format("%{:02x}", static_cast<unsigned>(c)) : std::string(1, c);
        }
        name += "?immutable=1";
        flags |= SQLITE_OPEN_URI;
    }
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
    database.handle_.reset(handle);
    if (code != SQLITE_OK) return std::unexpected(database.error(code));
    sqlite3_busy_handler(handle, wait_for_other_writer, nullptr);
    return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int code =
        sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
    if (code != SQLITE_OK) return std::unexpected(error(code));
    return Statement(*this, statement);
}

Result<void> Database::execute(const std::string& sql) {
    const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return std::unexpected(error(code));
    return {};
}

Result<std::int64_t> Database::integer(std::string_view sql) {
    SEGUE_TRY(statement, prepare(sql));
    SEGUE_TRY(row, statement.step());
    SEGUE_ASSERT(row);
    return statement.integer(0);
}

std::int64_t Database::last_row() const { return sqlite3_last_insert_rowid(handle_.get()); }
bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }

Result<Transaction> Transaction::write(Database& database) {
    if (auto begun = database.execute("BEGIN IMMEDIATE"); !begun) return std::unexpected(begun.error());
    return Transaction(database);
}

Result<Transaction> Transaction::read(Database& database) {
    if (auto begun = database.execute("BEGIN"); !begun) return std::unexpected(begun.error());
    return Transaction(database);
}

Transaction::~Transaction() {
    // A full disk makes SQLite roll back by itself.
    if (database_ != nullptr && database_->in_transaction()) static_cast<void>(database_->execute("ROLLBACK"));
}

Result<void> Transaction::commit() { return database_->execute("COMMIT"); }

}  // namespace segue::sqlite

#pragma once
/// \file  SQLite's C interface with owners and `Result`s; no more of it than the journal needs.
///
/// Thread: a Database and what was made from it belong to one thread at a time (SQLite's own locks are
/// off). A Statement must not outlive its Database. Errors name the file and, where an operator can do
/// something, what; the codes behind the kinds are in sqlite.cpp.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "units/duration.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace segue::sqlite {

/// How long a writer waits for another one. A commit takes well under a millisecond; who holds the lock for
/// this long stands still.
inline constexpr Duration busy_max = std::chrono::seconds{2};

enum class Access { read_write, read_only, immutable };

class Statement {
public:
    /// The next parameter, in order.
    Statement& bind(std::int64_t value);
    Statement& bind(std::string_view value);
    Statement& bind(const std::optional<std::int64_t>& value);
    /// Whether there is a row.
    [[nodiscard]] Result<bool> step();
    /// For what returns no rows.
    [[nodiscard]] Result<void> run();

    // Of the present row. \pre step() said true.
    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] std::string text(int column) const;
    [[nodiscard]] std::optional<std::int64_t> integer_or_null(int column) const;

private:
    friend class Database;
    struct Finalize { void operator()(sqlite3_stmt* statement) const noexcept; };
    Statement(class Database& database, sqlite3_stmt* statement) : database_(&database), handle_(statement) {}
    Database* database_;
    std::unique_ptr<sqlite3_stmt, Finalize> handle_;
    int bound_ = 0;
    int failure_ = 0;  ///< The first bind that failed; told by step().
};

class Database {
public:
    /// \pre with `read_write` the file is there already: SQLite would make it readable for everyone.
    [[nodiscard]] static Result<Database> open(const std::string& path, Access access);

    [[nodiscard]] Result<Statement> prepare(std::string_view sql);
    /// One or more statements without parameters; rows are dropped.
    [[nodiscard]] Result<void> execute(const std::string& sql);
    /// The first column of the first row.
    [[nodiscard]] Result<std::int64_t> integer(std::string_view sql);
    [[nodiscard]] std::int64_t last_row() const;
    [[nodiscard]] bool in_transaction() const;
    [[nodiscard]] const std::string& path() const { return path_; }
    /// What the last call's code means for the operator.
    [[nodiscard]] Error error(int code) const;

private:
    struct Close { void operator()(sqlite3* database) const noexcept; };
    explicit Database(std::string path) : path_(std::move(path)) {}
    std::string path_;
    std::unique_ptr<sqlite3, Close> handle_;
};

/// Rolled back unless committed.
class Transaction {
public:
    /// Writing takes the lock at once, so that what is read in it still holds when it is committed.
    [[nodiscard]] static Result<Transaction> write(Database& database);
    [[nodiscard]] static Result<Transaction> read(Database& database);
    ~Transaction();
    Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
    Transaction& operator=(Transaction&&) = delete;
    [[nodiscard]] Result<void> commit();

private:
    explicit Transaction(Database& database) : database_(&database) {}
    Database* database_;
};

/// `corrupt`, with what an operator can do about it.
[[nodiscard]] Error damaged(const std::string& path, std::string source);

}  // namespace segue::sqlite

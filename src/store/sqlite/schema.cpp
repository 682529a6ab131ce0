#include "store/sqlite/schema.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <thread>

#include "io/fd.hpp"

namespace segue::sqlite {
namespace {

namespace fs = std::filesystem;

constexpr std::array versions_so_far = {
    // 1. AUTOINCREMENT: a job's number is never used again, even after the newest move was deleted.
    R"sql(
CREATE TABLE moves (
  job INTEGER PRIMARY KEY AUTOINCREMENT,
  move_id TEXT NOT NULL CHECK (length(move_id) = 32),
  role INTEGER NOT NULL CHECK (role IN (1, 2)),
  vm TEXT NOT NULL,
  guest_uuid TEXT NOT NULL,
  guest_name TEXT NOT NULL,
  src_host TEXT NOT NULL,
  src_monitor TEXT NOT NULL,
  dst_host TEXT NOT NULL,
  dst_monitor TEXT NOT NULL,
  transport TEXT NOT NULL,
  max_downtime_ns INTEGER NOT NULL,
  timeout_ns INTEGER,
  max_bandwidth_bytes_per_second INTEGER,
  switchover_bandwidth_bytes_per_second INTEGER,
  owner_pid INTEGER NOT NULL,
  owner_start_ticks INTEGER NOT NULL,
  owner_boot_id TEXT NOT NULL,
  started_unix_ns INTEGER NOT NULL,
  ended_unix_ns INTEGER,
  outcome TEXT,
  exit_status INTEGER,
  guest_on TEXT,
  error TEXT,
  downtime_ns INTEGER,
  total_ns INTEGER,
  sent_bytes INTEGER,
  UNIQUE (move_id, role)
) STRICT;
CREATE INDEX moves_unfinished ON moves (job) WHERE ended_unix_ns IS NULL;
CREATE TABLE steps (
  job INTEGER NOT NULL REFERENCES moves (job) ON DELETE CASCADE,
  number INTEGER NOT NULL CHECK (number > 0),
  step INTEGER NOT NULL,
  at_unix_ns INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  since_boot_ns INTEGER NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
)sql",
    // 2. Steps 15 and 16, without which an older Segue would leave a stopped guest standing.
    "-- No table changes.",
};

std::string kernel_words(int code) { return std::generic_category().message(code); }

std::unexpected<Error> cannot(const std::string& what, const std::string& path, int code) {
    return fail(ErrorKind::refused, fmt::format("{} {} {}", what, path, "for the journal"), kernel_words(code));
}

/// Of what is ours only the owner's rights are left; nothing is added.
Result<void> keep_private(const std::string& path, mode_t kind, const char* kind_words) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) return cannot("cannot look at", path, errno);
    if ((status.st_mode & S_IFMT) != kind) {
        return fail(ErrorKind::refused, fmt::format("{} is no {}; the journal cannot be there", path, kind_words));
    }
    // A folder of somebody else's could be swapped under us.
    if (status.st_uid != ::geteuid() && status.st_uid != 0) {
        return fail(ErrorKind::refused, fmt::format("{} belongs to another user (uid {}); the journal would not be "
                                                    "safe there", path, status.st_uid));
    }
    const mode_t wanted = status.st_mode & S_IRWXU;
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0 && ::chmod(path.c_str(), wanted) != 0) {
        return cannot("cannot set the rights of", path, errno);
    }
    return {};
}

/// A new name is on the disk once its folder is.
void sync_folder(const fs::path& folder) {
    const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd) static_cast<void>(::fsync(fd.get()));
}

Result<void> make_file(const std::string& path) {
    const std::string folder = fs::path(path).parent_path().string();
    std::error_code problem;
    fs::create_directories(fs::path(folder).parent_path(), problem);
    if (problem) return cannot("cannot make the folders above", folder, problem.value());
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) return cannot("cannot make", folder, errno);
    if (auto kept = keep_private(folder, S_IFDIR, "folder"); !kept) return kept;
    // O_EXCL: a file that is there is never opened here. Closing any descriptor of it would drop the locks
    // that SQLite holds on it in this process (fcntl locks belong to the process).
    const Fd made(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!made && errno != EEXIST) return cannot("cannot make", path, errno);
    if (made) {
        // Up to the folder that holds $SEGUE_STATE; what is above was there before Segue.
        const fs::path state = fs::path(folder).parent_path();
        for (const fs::path& changed : {fs::path(folder), state, state.parent_path()}) sync_folder(changed);
    }
    return keep_private(path, S_IFREG, "regular file");
}

/// Changing to WAL needs the file alone, and SQLite does not call the busy handler for it.
Result<void> set_wal_mode(Database& database) {
    constexpr std::chrono::milliseconds pause{2};
    for (Duration waited{0};; waited += pause) {
        auto set = database.execute("PRAGMA journal_mode = WAL");
        if (set || set.error().kind != ErrorKind::timed_out || waited > busy_max) return set;
        std::this_thread::sleep_for(pause);
    }
}

/// Whose file this is. Empty files are nobody's yet. Read in one transaction: another process may be making the
/// tables between two questions, and a file with tables and without our number would be taken for a stranger's.
Result<void> check_identity(Database& database) {
    SEGUE_TRY(transaction, Transaction::read(database));
    SEGUE_TRY(id, database.integer("PRAGMA application_id"));
    SEGUE_TRY(version, database.integer("PRAGMA user_version"));
    SEGUE_TRY(tables, database.integer("SELECT count(*) FROM sqlite_schema"));
    if (auto ended = transaction.commit(); !ended) return ended;
    const bool empty = id == 0 && version == 0 && tables == 0;
    if (id == application_id || empty) return {};
    return std::unexpected(damaged(database.path(), "it is a database of another program"));
}

std::unexpected<Error> written_by_newer(const Database& database, std::int64_t version, std::size_t ours) {
    return fail(ErrorKind::unsupported,
                fmt::format("the journal {} was written by a newer segue (version {} of the format, this one knows "
                            "{}); use that one", database.path(), version, ours));
}

Result<void> migrate(Database& database, std::span<const char* const> versions) {
    SEGUE_TRY(transaction, Transaction::write(database));
    // Read under the lock: two processes may have come here at once.
    SEGUE_TRY(version, database.integer("PRAGMA user_version"));
    if (version > std::ssize(versions)) return written_by_newer(database, version, versions.size());
    if (version == std::ssize(versions)) return {};
    for (auto next = static_cast<std::size_t>(version); next < versions.size(); ++next) {
        if (auto done = database.execute(versions[next]); !done) return done;
    }
    const auto stamp = fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application_id,
                                   versions.size());
    if (auto done = database.execute(stamp); !done) return done;
    return transaction.commit();
}

Result<void> check_content(Database& database) {
    SEGUE_TRY(statement, database.prepare("PRAGMA quick_check(1)"));
    SEGUE_TRY(row, statement.step());
    if (row && statement.text(0) == "ok") return {};
    return std::unexpected(damaged(database.path(), row ? statement.text(0) : std::string()));
}

}  // namespace

std::span<const char* const> schema_versions() { return versions_so_far; }

Result<Database> open_for_writing(const std::string& path, std::span<const char* const> versions) {
    if (auto made = make_file(path); !made) return std::unexpected(made.error());
    SEGUE_TRY(database, Database::open(path, Access::read_write));
    if (auto checked = check_identity(database); !checked) return std::unexpected(checked.error());
    if (auto set = set_wal_mode(database); !set) return std::unexpected(set.error());
    // Checkpoints are made by checkpoint_if_large, never within a commit that a standing guest waits for.
    auto set = database.execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0");
    if (!set) return std::unexpected(set.error());
    if (auto migrated = migrate(database, versions); !migrated) return std::unexpected(migrated.error());
    if (auto checked = check_content(database); !checked) return std::unexpected(checked.error());
    checkpoint_if_large(database);
    return std::move(database);
}

void checkpoint_if_large(Database& database) {
    // Some 40 moves. Not more often: after a checkpoint the next commit, which may be another move's in its
    // blackout, needs a second fsync. The last process to close the journal empties the log anyway.
    constexpr std::uintmax_t large = 4 << 20;
    std::error_code problem;
    const auto bytes = fs::file_size(database.path() + "-wal", problem);
    // One that fails is made another time; nothing is lost meanwhile.
    if (!problem && bytes > large) static_cast<void>(database.execute("PRAGMA wal_checkpoint(PASSIVE)"));
}

Result<Database> open_for_reading(const std::string& path) {
    auto opened = Database::open(path, Access::read_only);
    auto version = opened ? opened->integer("PRAGMA user_version") : std::unexpected(opened.error());
    std::error_code ignored;
    const auto wal_bytes = fs::exists(path + "-wal", ignored) ? fs::file_size(path + "-wal", ignored) : 0;
    if (!version && version.error().kind == ErrorKind::refused && wal_bytes == 0) {
        // On a read-only file system SQLite cannot make its lock file; without a WAL nobody writes either.
        opened = Database::open(path, Access::immutable);
        version = opened ? opened->integer("PRAGMA user_version") : std::unexpected(opened.error());
    }
    if (!version) return std::unexpected(version.error());
    if (auto checked = check_identity(*opened); !checked) return std::unexpected(checked.error());
    const auto newest = schema_versions();
    if (*version > std::ssize(newest)) return written_by_newer(*opened, *version, newest.size());
    if (*version < std::ssize(newest) && *version > 0) {
        return fail(ErrorKind::unsupported, fmt::format("the journal {} was written by an older segue; the next "
                                                        "migrate or recover here brings it up to date", path));
    }
    return opened;
}

}  // namespace segue::sqlite

// The database guest's only process: SQLite on ext4 on /dev/vda, written all the time. lab/netguest/README.md says what
// it serves and what each transaction holds.
//
// A commit is told to the client before the next transaction begins, and only once SQLite has said that it is durable.
#include "guest.hpp"

#include <sqlite3.h>
#include <sys/statfs.h>

#include <cstdlib>
#include <thread>

#include "ledger.hpp"

namespace {

constexpr uint16_t kTellPort = 7100, kAskPort = 7101;
constexpr char kPath[] = "/db/ledger.db";

[[noreturn]] void stop_db(sqlite3* db, const std::string& what) { stop(what + ": " + sqlite3_errmsg(db)); }

void run(sqlite3* db, const char* words) {
  if (sqlite3_exec(db, words, nullptr, nullptr, nullptr) != SQLITE_OK) stop_db(db, words);
}

class Statement {
 public:
  Statement(sqlite3* db, const char* words) : db_(db) {
    if (sqlite3_prepare_v2(db, words, -1, &statement_, nullptr) != SQLITE_OK) stop_db(db, words);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int at, int64_t value) {
    sqlite3_bind_int64(statement_, at, value);
    return *this;
  }
  Statement& bind(int at, const void* data, int bytes) {
    sqlite3_bind_blob(statement_, at, data, bytes, SQLITE_STATIC);
    return *this;
  }
  void run() {
    if (sqlite3_step(statement_) != SQLITE_DONE) stop_db(db_, "step");
    sqlite3_reset(statement_);
  }
  // For questions: the next row, if there is one.
  bool next() {
    const int status = sqlite3_step(statement_);
    if (status != SQLITE_ROW && status != SQLITE_DONE) failed_ = sqlite3_errmsg(db_);
    return status == SQLITE_ROW;
  }
  int64_t number(int column) { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) {
    const auto* said = sqlite3_column_text(statement_, column);
    return said ? reinterpret_cast<const char*>(said) : "";
  }
  const std::string& failed() const { return failed_; }

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  std::string failed_;
};

sqlite3* open_database(int flags) {
  sqlite3* db = nullptr;
  if (sqlite3_open_v2(kPath, &db, flags | SQLITE_OPEN_FULLMUTEX, nullptr) != SQLITE_OK) stop_db(db, kPath);
  sqlite3_busy_timeout(db, 10'000);
  return db;
}

void make_tables(sqlite3* db) {
  run(db, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
          "BEGIN;"
          "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);"
          "CREATE TABLE ledger(id INTEGER PRIMARY KEY, source INTEGER NOT NULL, target INTEGER NOT NULL,"
          " amount INTEGER NOT NULL, chain INTEGER NOT NULL);"
          "CREATE INDEX ledger_source ON ledger(source);"
          "CREATE TABLE note(slot INTEGER PRIMARY KEY, body BLOB NOT NULL)");
  Statement account(db, "INSERT INTO account VALUES(?, ?)"), note(db, "INSERT INTO note VALUES(?, ?)");
  for (uint64_t id = 0; id < ledger::kAccounts; ++id) account.bind(1, id).bind(2, ledger::kFirstBalance).run();
  for (uint64_t slot = 0; slot < ledger::kNotes; ++slot) {
    const auto body = ledger::body(slot);
    note.bind(1, slot).bind(2, body.data(), sizeof body).run();
  }
  run(db, "COMMIT");
}

// One transaction after the other, for ever.
[[noreturn]] void write_ledger(sqlite3* db, int client) {
  Statement begin(db, "BEGIN IMMEDIATE"), commit(db, "COMMIT"),
      take(db, "UPDATE account SET balance = balance - ?2 WHERE id = ?1"),
      give(db, "UPDATE account SET balance = balance + ?2 WHERE id = ?1"),
      enter(db, "INSERT INTO ledger VALUES(?, ?, ?, ?, ?)"), note(db, "UPDATE note SET body = ?2 WHERE slot = ?1");
  uint64_t chain = ledger::kFirstChain;
  for (int64_t id = 1;; ++id) {
    const ledger::Entry e = ledger::entry(id, chain);
    const auto body = ledger::body(e.seed);
    begin.run();
    take.bind(1, e.source).bind(2, e.amount).run();
    give.bind(1, e.target).bind(2, e.amount).run();
    enter.bind(1, id).bind(2, e.source).bind(3, e.target).bind(4, e.amount).bind(5, e.chain).run();
    note.bind(1, e.note).bind(2, body.data(), sizeof body).run();
    commit.run();
    chain = e.chain;
    char line[64];
    const int length = snprintf(line, sizeof line, "%lld %016llx\n", static_cast<long long>(id),
                                static_cast<unsigned long long>(chain));
    if (send(client, line, length, MSG_NOSIGNAL) != length) stop("the client that is told of commits");
  }
}

void drop_caches() {
  const int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "1", 1) != 1) stop("drop_caches");
  close(fd);
}

// "" or what is wrong with the ledger of one moment; `last` and `chain` are that moment's.
std::string fault_of(sqlite3* db, int64_t& last, uint64_t& chain) {
  Statement check(db, "PRAGMA integrity_check"), rows(db, "SELECT id, source, target, amount, chain FROM ledger"),
      sum(db, "SELECT sum(balance) FROM account");
  if (!check.next() || check.text(0) != "ok") return "integrity_check: " + check.text(0) + check.failed();
  chain = ledger::kFirstChain;
  for (last = 0; rows.next(); ++last) {
    const ledger::Entry e = ledger::entry(last + 1, chain);
    if (rows.number(0) != last + 1 || rows.number(1) != e.source || rows.number(2) != e.target ||
        rows.number(3) != e.amount || uint64_t(rows.number(4)) != e.chain) {
      return "entry " + std::to_string(last + 1) + " is not what was written";
    }
    chain = e.chain;
  }
  if (!rows.failed().empty()) return rows.failed();
  const int64_t whole = ledger::kFirstBalance * int64_t(ledger::kAccounts);
  if (!sum.next() || sum.number(0) != whole) return "the balances do not add up";
  return "";
}

// Reads what the disk has, not what the guest remembers of it, while the writer goes on.
std::string answer() {
  drop_caches();
  sqlite3* db = open_database(SQLITE_OPEN_READONLY);
  run(db, "BEGIN");
  int64_t last = 0;
  uint64_t chain = 0;
  const std::string fault = fault_of(db, last, chain);
  run(db, "COMMIT");
  sqlite3_close(db);
  char line[64];
  snprintf(line, sizeof line, "ok %lld %016llx\n", static_cast<long long>(last),
           static_cast<unsigned long long>(chain));
  return fault.empty() ? line : "fault " + fault + "\n";
}

int accepted(int listener) {
  fcntl(listener, F_SETFL, 0);
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) stop("accept");
  return fd;
}

// Each byte is a question.
void serve(int listener) {
  for (;;) {
    const int client = accepted(listener);
    char word;
    while (read(client, &word, 1) == 1) {
      const std::string said = answer();
      if (send(client, said.data(), said.size(), MSG_NOSIGNAL) != ssize_t(said.size())) break;
    }
    close(client);
  }
}

}  // namespace

int main() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string line = command_line();
  mkdir("/db", 0755);
  if (mount("dev", "/dev", "devtmpfs", 0, nullptr)) stop("mount /dev");
  load_modules();
  set_interfaces(line);
  if (mount("/dev/vda", "/db", "ext4", MS_NOATIME, "errors=panic")) stop("mount /dev/vda");
  const int tell = listening(SOCK_STREAM, kTellPort), ask = listening(SOCK_STREAM, kAskPort);
  sqlite3* db = open_database(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  make_tables(db);
  std::thread(serve, ask).detach();
  printf("ready sqlite=%s after %lld ms\n", sqlite3_libversion(), static_cast<long long>(now_ns() / 1'000'000));
  write_ledger(db, accepted(tell));
}

#include "store/sqlite/sqlite_journal.hpp"

#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>

#include "store/journal_contract_test.hpp"
#include "store/sqlite/disk_test.hpp"
#include "store/sqlite/schema.hpp"

namespace segue {

INSTANTIATE_TEST_SUITE_P(Sqlite, JournalContract, testing::Values(+[]() -> std::unique_ptr<Journal> {
    static std::unique_ptr<JournalFolder> folder;
    folder = std::make_unique<JournalFolder>();
    return opened(folder->journal());
}));

namespace {

namespace fs = std::filesystem;

class SqliteJournalTest : public testing::Test {
protected:
    [[nodiscard]] JobId made(Journal& journal, std::uint64_t number) const {
        return journal.create(journal_test_move(number), journal_test_step(StepKind::begun)).value();
    }
    [[nodiscard]] static mode_t rights(const std::string& file) {
        struct stat status{};
        EXPECT_EQ(::stat(file.c_str(), &status), 0) << file;
        return status.st_mode & 07777U;
    }
    void run_sql(const std::string& sql) const {
        auto database = sqlite::Database::open(path, sqlite::Access::read_write);
        ASSERT_TRUE(database);
        const auto done = database->execute(sql);
        ASSERT_TRUE(done) << to_string(done.error());
    }
    /// The error of both ways to open it; the same kind.
    [[nodiscard]] Error refusal(const char* says) const {
        const auto writing = open_journal(path);
        const auto reading = open_journal_read_only(path);
        EXPECT_TRUE(!writing && !reading) << says;
        if (writing || reading) return {};
        EXPECT_EQ(writing.error().kind, reading.error().kind);
        for (const Error& error : {writing.error(), reading.error()}) {
            EXPECT_NE(error.message.find(path), std::string::npos) << error.message;
            EXPECT_NE(to_string(error).find(says), std::string::npos) << to_string(error);
        }
        return writing.error();
    }
    JournalFolder folder;
    const std::string path = folder.journal();
};

TEST_F(SqliteJournalTest, keeps_moves_from_one_opening_to_the_next_and_never_uses_a_number_twice) {
    const JobId job = made(*opened(path), 1);
    EXPECT_EQ(job, JobId{1});
    EXPECT_EQ(opened(path)->load(job).value().move, journal_test_move(1));
    run_sql("DELETE FROM moves");
    EXPECT_EQ(made(*opened(path), 2), JobId{2});
}

TEST_F(SqliteJournalTest, is_for_its_owner_only_whatever_the_umask) {
    const mode_t before = ::umask(0);
    const auto journal = opened(path);
    static_cast<void>(made(*journal, 1));
    ::umask(before);
    EXPECT_EQ(rights(folder.state() + "/journal"), 0700U);
    for (const char* end : {"", "-wal", "-shm"}) EXPECT_EQ(rights(path + end), 0600U) << end;
}

TEST_F(SqliteJournalTest, takes_the_rights_of_others_off_a_folder_and_file_that_are_there) {
    static_cast<void>(opened(path));
    ASSERT_EQ(::chmod((folder.state() + "/journal").c_str(), 0777), 0);
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    static_cast<void>(opened(path));
    EXPECT_EQ(rights(folder.state() + "/journal"), 0700U);
    EXPECT_EQ(rights(path), 0600U);
}

TEST_F(SqliteJournalTest, is_no_link_and_no_folder) {
    fs::create_directories(folder.state() + "/journal");
    fs::create_symlink("/dev/null", path);
    EXPECT_FALSE(open_journal(path));
    fs::remove(path);
    fs::create_directories(path);
    EXPECT_FALSE(open_journal(path));
    EXPECT_FALSE(open_journal_read_only(path));
}

TEST_F(SqliteJournalTest, reads_without_writing_anything) {
    const auto nothing = open_journal_read_only(path);
    ASSERT_TRUE(nothing);
    EXPECT_TRUE((*nothing)->latest(10).value().empty());
    EXPECT_FALSE((*nothing)->create(journal_test_move(1), journal_test_step(StepKind::begun)));
    EXPECT_FALSE(fs::exists(folder.state()));
    const auto writer = opened(path);
    const JobId job = made(*writer, 1);
    const auto reader = open_journal_read_only(path);
    ASSERT_TRUE(reader) << to_string(reader.error());
    EXPECT_EQ((*reader)->latest(10).value().size(), 1U);
    ASSERT_TRUE(writer->append(job, journal_test_owner, journal_test_step(StepKind::guarding), Durability::soon));
    EXPECT_EQ((*reader)->load(job).value().steps.size(), 2U) << "it follows a move that is under way";
    const auto write = (*reader)->append(job, journal_test_owner, journal_test_step(StepKind::held), Durability::soon);
    ASSERT_FALSE(write);
    EXPECT_EQ(write.error().kind, ErrorKind::refused);
}

/// Runs `check` in a child that is not root, which may write everywhere.
template <class Check>
void as_nobody(Check check) {
    constexpr uid_t nobody = 65534;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const bool changed = ::geteuid() != 0 || ::setresuid(nobody, nobody, nobody) == 0;
        ::_exit(changed && check() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(SqliteJournalTest, in_a_folder_that_cannot_be_written_is_refused_and_can_still_be_read) {
    static_cast<void>(made(*opened(path), 1));
    constexpr uid_t nobody = 65534;
    const std::string journal_folder = folder.state() + "/journal";
    if (::geteuid() == 0) {
        ASSERT_EQ(::chown(path.c_str(), nobody, nobody), 0);
        ASSERT_EQ(::chown(journal_folder.c_str(), nobody, nobody), 0);
    }
    ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
    ASSERT_EQ(::chmod(journal_folder.c_str(), 0500), 0);
    as_nobody([&] {
        const auto writing = open_journal(path);
        const auto reading = open_journal_read_only(path);
        return !writing && writing.error().kind == ErrorKind::refused &&
               writing.error().message.find(path) != std::string::npos && reading &&
               (*reading)->latest(10).value().size() == 1U;
    });
    ASSERT_EQ(::chmod(journal_folder.c_str(), 0700), 0);
}

TEST_F(SqliteJournalTest, is_brought_forward_from_the_version_before) {
    const JobId job = made(*opened(path), 1);
    std::vector<const char*> next(sqlite::schema_versions().begin(), sqlite::schema_versions().end());
    next.push_back("ALTER TABLE moves ADD COLUMN reason TEXT; UPDATE moves SET reason = 'why'");
    {
        auto database = sqlite::open_for_writing(path, next);
        ASSERT_TRUE(database) << to_string(database.error());
        EXPECT_EQ(database->integer("PRAGMA user_version").value(), std::ssize(next));
        EXPECT_EQ(database->integer("SELECT count(*) FROM moves WHERE reason = 'why'").value(), 1);
        EXPECT_EQ(database->integer("SELECT count(*) FROM steps").value(), 1);
    }
    ASSERT_TRUE(sqlite::open_for_writing(path, next)) << "once only";
    EXPECT_EQ(refusal("newer segue").kind, ErrorKind::unsupported);
    run_sql("PRAGMA user_version = 1");
    EXPECT_EQ(opened(path)->load(job).value().move.vm, "web-7");
}

TEST_F(SqliteJournalTest, stays_as_it_was_when_bringing_it_forward_fails_in_the_middle) {
    static_cast<void>(made(*opened(path), 1));
    std::vector<const char*> next(sqlite::schema_versions().begin(), sqlite::schema_versions().end());
    next.push_back("ALTER TABLE moves ADD COLUMN reason TEXT; INSERT INTO no_such_table VALUES (1)");
    EXPECT_FALSE(sqlite::open_for_writing(path, next));
    auto database = sqlite::Database::open(path, sqlite::Access::read_write);
    ASSERT_TRUE(database);
    EXPECT_EQ(database->integer("PRAGMA user_version").value(), std::ssize(sqlite::schema_versions()));
    EXPECT_FALSE(database->integer("SELECT count(reason) FROM moves"));
    EXPECT_EQ(opened(path)->latest(10).value().size(), 1U);
}

TEST_F(SqliteJournalTest, that_is_another_programs_database_is_left_alone) {
    fs::create_directories(folder.state() + "/journal");
    std::ofstream(path).close();
    run_sql("CREATE TABLE theirs (x)");
    EXPECT_EQ(refusal("another program").kind, ErrorKind::corrupt);
}

TEST_F(SqliteJournalTest, that_is_damaged_says_which_file_and_what_to_do) {
    {
        const auto journal = opened(path);
        for (std::uint64_t i = 1; i <= 50; ++i) static_cast<void>(made(*journal, i));
    }
    std::string whole(fs::file_size(path), '\0');
    std::ifstream(path).read(whole.data(), static_cast<std::streamsize>(whole.size()));
    std::ofstream(path) << "this is no database at all, whatever its name says; and it is long enough" << whole;
    EXPECT_EQ(refusal("-shm away").kind, ErrorKind::corrupt);

    std::string holed = whole;
    for (std::size_t i = 4096; i < holed.size(); ++i) holed[i] = static_cast<char>(i * 31);
    std::ofstream(path, std::ios::trunc) << holed;
    const auto writing = open_journal(path);
    ASSERT_FALSE(writing);
    EXPECT_EQ(writing.error().kind, ErrorKind::corrupt);
    const auto reading = open_journal_read_only(path);
    ASSERT_TRUE(!reading || !(*reading)->latest(100)) << "without the check of all, reading finds it";

    std::ofstream(path, std::ios::trunc) << whole.substr(0, whole.size() / 2);
    EXPECT_FALSE(open_journal(path));
    std::ofstream(path, std::ios::trunc) << whole;
    EXPECT_EQ(opened(path)->latest(100).value().size(), 50U) << "put back, it is whole again";
}

TEST_F(SqliteJournalTest, forgets_the_oldest_closed_moves_when_there_are_too_many) {
    const auto journal = opened(path);
    const JobId closed = made(*journal, 1);
    ASSERT_TRUE(journal->close(closed, journal_test_owner, journal_test_ending(), journal_test_time(1)));
    const JobId open = made(*journal, 2);
    const JobId young = made(*journal, 3);
    ASSERT_TRUE(journal->close(young, journal_test_owner, journal_test_ending(), journal_test_time(1)));
    run_sql("UPDATE sqlite_sequence SET seq = " + std::to_string(journal::moves_kept + 1));
    static_cast<void>(made(*journal, 4));
    EXPECT_FALSE(journal->load(closed)) << "its steps went with it";
    EXPECT_TRUE(journal->load(open)) << "an unfinished move is never forgotten";
    EXPECT_TRUE(journal->load(young));
}

TEST_F(SqliteJournalTest, on_a_full_disk_answers_an_error_and_goes_on_when_there_is_room) {
    const auto journal = opened(path);
    const JobId job = made(*journal, 1);
    {
        const FullDisk full;
        const auto durable =
            journal->append(job, journal_test_owner, journal_test_step(StepKind::guarding), Durability::durable);
        ASSERT_FALSE(durable);
        EXPECT_EQ(durable.error().kind, ErrorKind::refused);
        EXPECT_NE(durable.error().message.find("no room on the disk for the journal " + path), std::string::npos)
            << to_string(durable.error());
        EXPECT_FALSE(journal->create(journal_test_move(2), journal_test_step(StepKind::begun)));
        EXPECT_FALSE(journal->close(job, journal_test_owner, journal_test_ending(), journal_test_time(1)));
    }
    EXPECT_EQ(journal->load(job).value().steps.size(), 1U) << "nothing half written";
    EXPECT_TRUE(journal->append(job, journal_test_owner, journal_test_step(StepKind::guarding), Durability::durable));
}

TEST_F(SqliteJournalTest, says_unknown_when_the_disk_fails_an_fsync) {
    const auto journal = opened(path);
    const JobId job = made(*journal, 1);
    test_disk().sync_error = EIO;
    const auto durable =
        journal->append(job, journal_test_owner, journal_test_step(StepKind::word_may_be_sent), Durability::durable);
    test_disk().sync_error = 0;
    ASSERT_FALSE(durable);
    EXPECT_TRUE(outcome_unknown(durable.error().kind)) << to_string(durable.error());
}

TEST_F(SqliteJournalTest, syncs_once_for_a_durable_step_and_never_for_another) {
    const auto journal = opened(path);
    const JobId job = made(*journal, 1);
    const auto syncs_of = [&](StepKind kind, Durability durability) {
        const int before = test_disk().syncs;
        EXPECT_TRUE(journal->append(job, journal_test_owner, journal_test_step(kind), durability));
        return test_disk().syncs - before;
    };
    EXPECT_EQ(syncs_of(StepKind::held, Durability::soon), 0);
    EXPECT_EQ(syncs_of(StepKind::continued, Durability::soon), 0);
    EXPECT_EQ(syncs_of(StepKind::word_may_be_sent, Durability::durable), 1);
    EXPECT_EQ(syncs_of(StepKind::word_answered_running, Durability::soon), 0);
}

TEST_F(SqliteJournalTest, keeps_its_log_small_while_another_process_holds_it_open) {
    const auto other = opened(path);
    const auto journal = opened(path);
    std::uintmax_t largest = 0;
    for (std::uint64_t i = 1; i <= 60; ++i) {
        const JobId job = made(*journal, i);
        for (int step = 0; step < 40; ++step) {
            const auto taken =
                journal->append(job, journal_test_owner, journal_test_step(StepKind::held), Durability::soon);
            ASSERT_TRUE(taken);
        }
        ASSERT_TRUE(journal->close(job, journal_test_owner, journal_test_ending(), journal_test_time(1)));
        largest = std::max(largest, fs::file_size(path + "-wal"));
    }
    EXPECT_GT(largest, 4U << 20) << "it was never large, so that this shows nothing";
    EXPECT_LT(largest, 6U << 20);
    EXPECT_EQ(other->latest(100).value().size(), 60U);
}

}  // namespace
}  // namespace segue

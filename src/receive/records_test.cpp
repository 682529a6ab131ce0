#include "receive/records.hpp"

#include <gtest/gtest.h>

#include "store/journal_memory.hpp"
#include "store/journal_samples_test.hpp"

namespace segue::receive {
namespace {

/// One session's record, from its beginning to its end.
class RecordsTest : public testing::Test {
protected:
    MemoryJournal journal;
    Records records{journal_test_owner};

    void SetUp() override {
        records.session_of(journal_test_move(1).id, "host1");
        write(Record::begun);
    }
    void write(Record record) {
        const auto step = step_with(step_of(record), journal_test_time(1), {"/run/b.qmp", {}});
        ASSERT_TRUE(records.write(journal, record, step));
    }
    void listen() {
        const auto step = step_with(StepKind::dst_listening, journal_test_time(1), {"/run/b.qmp", {}});
        ASSERT_TRUE(records.write_listening(journal, step));
    }
    [[nodiscard]] MoveRecord close(const HowEnded& how, bool alive = false, int exit_status = 0) {
        const auto lives = [alive](const MoveRecord&) { return alive; };
        EXPECT_TRUE(records.close(journal, lives, exit_status, how, journal_test_time(2)));
        return **journal.find(journal_test_move(1).id, MoveRole::destination);
    }
};

TEST_F(RecordsTest, says_how_it_ended_and_why_where_nothing_was_changed) {
    const auto record = close({"refused", "disk0 is not the same storage on both sides"});
    ASSERT_TRUE(record.ending);
    EXPECT_EQ(record.ending->outcome, "refused");
    EXPECT_EQ(record.ending->error, "disk0 is not the same storage on both sides");
    EXPECT_EQ(record.ending->guest_on, "source");
}

TEST_F(RecordsTest, says_so_too_of_what_was_undone) {
    write(Record::tombstone);
    const auto record = close({"timeout", "--timeout came"}, false, 1);
    ASSERT_TRUE(record.ending);
    EXPECT_EQ(record.ending->outcome, "timeout");
    EXPECT_EQ(record.ending->exit_status, 1);
}

TEST_F(RecordsTest, has_failed_where_nobody_says_how) {
    EXPECT_EQ(close({}).ending->outcome, "failed");
}

TEST_F(RecordsTest, of_a_guest_that_ran_here_says_so_whatever_is_said) {
    listen();
    write(Record::accepted);
    write(Record::ran);
    const auto record = close({"failed", "the connection to the source ended"});
    ASSERT_TRUE(record.ending);
    EXPECT_EQ(record.ending->outcome, "moved");
    EXPECT_EQ(record.ending->guest_on, "destination");
    EXPECT_EQ(record.ending->error, "");
}

TEST_F(RecordsTest, does_not_place_a_guest_that_crashed_on_the_source) {
    write(Record::tombstone);
    EXPECT_EQ(close({"guest-crashed", "its QEMU ended"}).ending->guest_on, "nowhere");
}

TEST_F(RecordsTest, stays_open_while_its_qemu_lives_or_the_word_was_accepted) {
    EXPECT_FALSE(close({"refused", "why"}, true).ending);
    listen();
    write(Record::accepted);
    EXPECT_FALSE(close({"failed", "why"}, true).ending);
}

}  // namespace
}  // namespace segue::receive

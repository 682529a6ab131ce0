#include "store/journal_memory.hpp"

#include "store/journal_contract_test.hpp"

namespace segue {

INSTANTIATE_TEST_SUITE_P(Memory, JournalContract, testing::Values(+[]() -> std::unique_ptr<Journal> {
    return std::make_unique<MemoryJournal>();
}));

namespace {

std::size_t steps_of(Journal& journal, JobId job) { return journal.load(job).value().steps.size(); }

TEST(MemoryJournal, loses_with_the_power_what_no_durable_call_came_after) {
    MemoryJournal journal;
    const JobId job = journal.create(journal_test_move(1), journal_test_step(StepKind::begun)).value();
    const auto add = [&](StepKind kind, Durability durability) {
        ASSERT_TRUE(journal.append(job, journal_test_owner, journal_test_step(kind), durability));
    };
    add(StepKind::guarding, Durability::soon);
    EXPECT_EQ(steps_of(journal, job), 2U) << "a killed process loses nothing";
    journal.lose_power();
    EXPECT_EQ(steps_of(journal, job), 1U);
    add(StepKind::guarding, Durability::soon);
    add(StepKind::preparing, Durability::durable);
    add(StepKind::migrate_may_be_sent, Durability::soon);
    journal.lose_power();
    EXPECT_EQ(steps_of(journal, job), 3U) << "what came before a durable step is durable";
}

TEST(MemoryJournal, writes_nothing_while_it_is_told_to_fail) {
    MemoryJournal journal;
    const JobId job = journal.create(journal_test_move(1), journal_test_step(StepKind::begun)).value();
    journal.fail_writes(Error{ErrorKind::refused, "disk full", {}});
    EXPECT_FALSE(journal.create(journal_test_move(2), journal_test_step(StepKind::begun)));
    EXPECT_FALSE(journal.append(job, journal_test_owner, journal_test_step(StepKind::held), Durability::durable));
    EXPECT_FALSE(journal.take_over(job, journal_test_owner, journal_test_other));
    journal.fail_writes(std::nullopt);
    EXPECT_EQ(steps_of(journal, job), 1U);
    EXPECT_TRUE(journal.append(job, journal_test_owner, journal_test_step(StepKind::held), Durability::durable));
}

}  // namespace
}  // namespace segue

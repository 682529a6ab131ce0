#pragma once
/// \file  What every implementation of Journal must do. One test file of a program includes this and
///        instantiates the suite: INSTANTIATE_TEST_SUITE_P(Name, JournalContract, testing::Values(&make)).

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "store/journal_samples_test.hpp"

namespace segue {

using MakeJournal = std::unique_ptr<Journal> (*)();

class JournalContract : public testing::TestWithParam<MakeJournal> {
protected:
    void SetUp() override {
        journal = GetParam()();
        ASSERT_NE(journal, nullptr);
    }
    JobId made(std::uint64_t number, MoveRole role = MoveRole::source) {
        const auto job = journal->create(journal_test_move(number, role), journal_test_step(first_step(role)));
        EXPECT_TRUE(job) << to_string(job.error());
        return job.value_or(JobId{-1});
    }
    Result<void> take(JobId job, StepKind kind, const MoveOwner& by = journal_test_owner) {
        return journal->append(job, by, journal_test_step(kind, ++second), Durability::soon);
    }
    void walk(JobId job, const std::vector<StepKind>& kinds) {
        for (const StepKind kind : kinds) {
            const auto taken = take(job, kind);
            EXPECT_TRUE(taken) << to_string(taken.error());
        }
    }
    template <class T>
    static ErrorKind kind_of(const Result<T>& result) {
        EXPECT_FALSE(result);
        return result ? ErrorKind::invalid : result.error().kind;
    }
    std::unique_ptr<Journal> journal;
    int second = 0;
};

TEST_P(JournalContract, gives_back_a_move_as_it_was_written) {
    NewMove move = journal_test_move(1);
    move.vm = std::string("it's \"\xff\" \0 x", 12);
    move.id = {~0ULL, 0};
    MoveStep first{StepKind::begun, journal_test_time(0), R"({"qemu_pid":17,"text":"it's"})"};
    first.at.wall += std::chrono::nanoseconds{123'456'789};
    const auto job = journal->create(move, first);
    ASSERT_TRUE(job) << to_string(job.error());
    ASSERT_TRUE(journal->append(*job, move.owner, journal_test_step(StepKind::guarding, 1), Durability::soon));
    ASSERT_TRUE(journal->append(*job, move.owner, journal_test_step(StepKind::preparing, 2), Durability::durable));
    const auto record = journal->load(*job);
    ASSERT_TRUE(record);
    EXPECT_EQ(record->job, *job);
    EXPECT_EQ(record->move, move);
    EXPECT_EQ(record->started, first.at.wall);
    EXPECT_FALSE(record->ended || record->ending);
    EXPECT_EQ(record->steps, (std::vector{first, journal_test_step(StepKind::guarding, 1),
                                          journal_test_step(StepKind::preparing, 2)}));
    EXPECT_EQ(journal->find(move.id, MoveRole::source).value(), *record);
    EXPECT_EQ(journal->find(move.id, MoveRole::destination).value(), std::nullopt);
    EXPECT_EQ(kind_of(journal->load(JobId{999})), ErrorKind::invalid);
    EXPECT_EQ(kind_of(take(JobId{999}, StepKind::guarding)), ErrorKind::invalid);
}

TEST_P(JournalContract, keeps_the_ending_with_the_closing_step_and_takes_nothing_after_it) {
    const JobId job = made(1);
    ASSERT_TRUE(journal->identify(job, journal_test_owner, {"uuid", "name"}));
    ASSERT_TRUE(journal->close(job, journal_test_owner, journal_test_ending(), journal_test_time(60)));
    const auto record = journal->load(job).value();
    EXPECT_EQ(record.move.guest, (GuestIdentity{"uuid", "name"}));
    EXPECT_EQ(record.ended, journal_test_time(60).wall);
    EXPECT_EQ(record.ending, journal_test_ending());
    EXPECT_EQ(record.steps.back().kind, StepKind::closed);
    EXPECT_EQ(kind_of(take(job, StepKind::guarding)), ErrorKind::conflict);
    EXPECT_EQ(kind_of(journal->close(job, journal_test_owner, journal_test_ending(), journal_test_time(61))),
              ErrorKind::conflict);
    EXPECT_EQ(kind_of(journal->take_over(job, journal_test_owner, journal_test_other)), ErrorKind::conflict);
    EXPECT_EQ(kind_of(journal->identify(job, journal_test_owner, {})), ErrorKind::conflict);
    EXPECT_EQ(journal->load(job).value(), record);
    MoveEnding never_stood = journal_test_ending();
    never_stood.downtime.reset();
    const JobId second_job = made(2);
    ASSERT_TRUE(journal->close(second_job, journal_test_owner, never_stood, journal_test_time(62)));
    EXPECT_EQ(journal->load(second_job).value().ending, never_stood);
}

TEST_P(JournalContract, tells_what_is_unfinished_oldest_first_and_the_last_moves_newest_first) {
    EXPECT_TRUE(journal->unfinished().value().empty());
    const JobId a = made(1);
    const JobId b = made(2);
    const JobId c = made(2, MoveRole::destination);
    ASSERT_TRUE(journal->close(b, journal_test_owner, journal_test_ending(), journal_test_time(1)));
    const auto open = journal->unfinished().value();
    ASSERT_EQ(open.size(), 2U);
    EXPECT_EQ(open[0].job, a);
    EXPECT_EQ(open[1].job, c);
    const auto last = journal->latest(2).value();
    ASSERT_EQ(last.size(), 2U);
    EXPECT_EQ(last[0].job, c);
    EXPECT_EQ(last[1].job, b);
    EXPECT_EQ(journal->latest(100).value().size(), 3U);
    EXPECT_TRUE(journal->latest(0).value().empty());
}

TEST_P(JournalContract, takes_a_move_id_once_in_each_role) {
    const JobId job = made(7);
    EXPECT_NE(job, made(7, MoveRole::destination));
    const auto again = journal->create(journal_test_move(7), journal_test_step(StepKind::begun));
    EXPECT_EQ(kind_of(again), ErrorKind::conflict);
    EXPECT_NE(again.error().message.find("job 1"), std::string::npos) << again.error().message;
}

TEST_P(JournalContract, lets_only_the_owner_write_and_one_of_two_take_over) {
    const JobId job = made(1);
    EXPECT_EQ(kind_of(take(job, StepKind::guarding, journal_test_other)), ErrorKind::conflict);
    ASSERT_TRUE(journal->take_over(job, journal_test_owner, journal_test_other));
    EXPECT_EQ(kind_of(journal->take_over(job, journal_test_owner, MoveOwner{5, 5, "boot-b"})), ErrorKind::conflict);
    EXPECT_EQ(journal->load(job).value().move.owner, journal_test_other);
    // The one that stood still and wakes up must not go on: above all not to the word.
    EXPECT_EQ(kind_of(take(job, StepKind::word_may_be_sent)), ErrorKind::conflict);
    EXPECT_EQ(kind_of(journal->identify(job, journal_test_owner, {})), ErrorKind::conflict);
    EXPECT_EQ(kind_of(journal->close(job, journal_test_owner, journal_test_ending(), journal_test_time(1))),
              ErrorKind::conflict);
    EXPECT_TRUE(take(job, StepKind::undoing, journal_test_other));
}

TEST_P(JournalContract, never_holds_both_accepted_and_tombstone) {
    const JobId aborted = made(1, MoveRole::destination);
    walk(aborted, {StepKind::dst_listening, StepKind::dst_tombstone});
    EXPECT_EQ(kind_of(take(aborted, StepKind::dst_accepted)), ErrorKind::conflict);
    EXPECT_TRUE(take(aborted, StepKind::dst_tombstone)) << "an abort may be repeated";
    const JobId accepted = made(2, MoveRole::destination);
    EXPECT_EQ(kind_of(take(accepted, StepKind::dst_accepted)), ErrorKind::conflict) << "nothing was received yet";
    walk(accepted, {StepKind::dst_listening, StepKind::dst_accepted});
    EXPECT_EQ(kind_of(take(accepted, StepKind::dst_tombstone)), ErrorKind::conflict);
    EXPECT_EQ(kind_of(take(accepted, StepKind::dst_accepted)), ErrorKind::conflict) << "a word is accepted once";
    EXPECT_TRUE(take(accepted, StepKind::dst_refused));
    EXPECT_EQ(kind_of(take(accepted, StepKind::dst_running)), ErrorKind::conflict);
}

TEST_P(JournalContract, never_holds_both_a_running_destination_and_a_rollback) {
    const JobId moved = made(1);
    EXPECT_EQ(kind_of(take(moved, StepKind::word_answered_running)), ErrorKind::conflict) << "no word was sent";
    walk(moved, {StepKind::word_may_be_sent, StepKind::word_answered_running});
    EXPECT_EQ(kind_of(take(moved, StepKind::undoing)), ErrorKind::conflict);
    EXPECT_EQ(kind_of(take(moved, StepKind::destination_fenced)), ErrorKind::conflict);
    walk(moved, {StepKind::moved});
    const JobId undone = made(2);
    walk(undone, {StepKind::preparing, StepKind::undoing});
    EXPECT_EQ(kind_of(take(undone, StepKind::word_may_be_sent)), ErrorKind::conflict);
    walk(undone, {StepKind::rolled_back});
    const JobId refused = made(3);
    walk(refused, {StepKind::word_may_be_sent, StepKind::word_answered_refused});
    EXPECT_EQ(kind_of(take(refused, StepKind::word_may_be_sent)), ErrorKind::conflict);
    EXPECT_EQ(kind_of(take(refused, StepKind::word_answered_running)), ErrorKind::conflict);
    walk(refused, {StepKind::undoing, StepKind::rolled_back});
    const JobId fenced = made(4);
    walk(fenced, {StepKind::word_may_be_sent, StepKind::destination_fenced});
    EXPECT_EQ(kind_of(take(fenced, StepKind::word_answered_running)), ErrorKind::conflict);
    walk(fenced, {StepKind::undoing, StepKind::rolled_back});
}

TEST_P(JournalContract, refuses_a_detail_that_is_no_object_or_too_long_and_writes_nothing) {
    const JobId job = made(1);
    for (const std::string& detail : {std::string(), std::string("{"), std::string("[]"), std::string("{} {}"),
                                      "{\"a\":\"" + std::string(5000, 'x') + "\"}"}) {
        const MoveStep step{StepKind::guarding, journal_test_time(1), detail};
        EXPECT_EQ(kind_of(journal->append(job, journal_test_owner, step, Durability::durable)), ErrorKind::invalid);
    }
    EXPECT_EQ(journal->load(job).value().steps.size(), 1U);
}

TEST_P(JournalContract, ends_a_loop_of_steps) {
    const JobId job = made(1);
    for (std::size_t i = 1; i < journal::steps_max; ++i) ASSERT_TRUE(take(job, StepKind::held));
    EXPECT_EQ(kind_of(take(job, StepKind::held)), ErrorKind::conflict);
}

}  // namespace segue

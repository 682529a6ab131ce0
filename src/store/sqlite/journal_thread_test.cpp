#include "store/sqlite/journal_thread.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "io/run_loop_test.hpp"
#include "store/journal_samples_test.hpp"
#include "store/sqlite/disk_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;

class JournalThreadTest : public testing::Test {
protected:
    void SetUp() override {
        auto journal = opened(folder.journal());
        ASSERT_NE(journal, nullptr);
        job = journal->create(journal_test_move(1), journal_test_step(StepKind::begun)).value();
        thread = std::make_unique<JournalThread>(loop, std::move(journal));
    }
    void TearDown() override { test_disk().sync_milliseconds = 0; }
    void append(StepKind kind, Durability durability, JournalThread::OnDone on_done) {
        thread->append(job, journal_test_owner, journal_test_step(kind), durability, std::move(on_done));
    }
    void run() { run_until_stopped(loop); }
    JournalFolder folder;
    Loop loop;
    JobId job{};
    std::unique_ptr<JournalThread> thread;
};

TEST_F(JournalThreadTest, leaves_signals_to_the_loop) {
    // Else a SIGTERM that the loop's thread waits for on a descriptor ends the process here.
    const auto takes = [](Journal&) -> Result<bool> {
        sigset_t blocked;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        return sigismember(&blocked, SIGTERM) == 0 || sigismember(&blocked, SIGINT) == 0;
    };
    std::optional<bool> taken;
    thread->ask<bool>(takes, [&](Result<bool> answer) {
        taken = answer.value();
        loop.stop();
    });
    run();
    EXPECT_EQ(taken, false);
    sigset_t ours;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &ours);
    EXPECT_EQ(sigismember(&ours, SIGTERM), 0) << "the loop's own thread is left as it was";
}

TEST_F(JournalThreadTest, answers_in_order_on_the_loop_and_not_from_inside_the_call) {
    std::vector<int> order;
    append(StepKind::guarding, Durability::durable, [&](Result<void> done) {
        EXPECT_TRUE(done);
        order.push_back(1);
    });
    append(StepKind::held, Durability::soon, [&](Result<void> done) {
        EXPECT_TRUE(done);
        order.push_back(2);
    });
    thread->ask<MoveRecord>([this](Journal& journal) { return journal.load(job); }, [&](Result<MoveRecord> record) {
        ASSERT_TRUE(record);
        EXPECT_EQ(record->steps.size(), 3U);
        order.push_back(3);
        loop.stop();
    });
    EXPECT_TRUE(order.empty());
    run();
    EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(JournalThreadTest, hands_errors_over) {
    append(StepKind::rolled_back, Durability::durable, [&](Result<void> done) {
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().kind, ErrorKind::conflict);
        loop.stop();
    });
    run();
}

TEST_F(JournalThreadTest, never_holds_the_loop_up_while_the_disk_takes_its_time) {
    test_disk().sync_milliseconds = 200;
    const Instant asked = loop.now();
    Instant answered;
    append(StepKind::word_may_be_sent, Durability::durable, [&](Result<void> done) {
        EXPECT_TRUE(done);
        answered = loop.now();
        loop.stop();
    });
    EXPECT_LT(loop.now() - asked, milliseconds{100});
    int ticks = 0;
    std::function<void()> tick = [&] {
        ++ticks;
        loop.at(loop.now() + milliseconds{5}, tick);
    };
    tick();
    run();
    EXPECT_GE(answered - asked, milliseconds{200});
    EXPECT_GE(ticks, 10) << "40 on an idle machine";
}

TEST_F(JournalThreadTest, refuses_at_once_what_no_longer_fits_its_queue) {
    test_disk().sync_milliseconds = 100;
    std::size_t done_well = 0;
    std::size_t refused = 0;
    std::size_t expected = journal::requests_max + 3;
    const auto count = [&](Result<void> done) {
        if (done) ++done_well;
        if (!done && done.error().kind == ErrorKind::unavailable) ++refused;
        if (--expected == 0) loop.stop();
    };
    append(StepKind::guarding, Durability::durable, count);
    for (std::size_t i = 0; i + 1 < journal::requests_max + 3; ++i) append(StepKind::held, Durability::soon, count);
    EXPECT_EQ(refused, 0U) << "not from inside the call";
    run();
    EXPECT_EQ(done_well, journal::requests_max);
    EXPECT_EQ(refused, 3U);
}

TEST_F(JournalThreadTest, writes_what_was_asked_for_before_it_ends_and_answers_nobody) {
    for (std::size_t i = 0; i < journal::requests_max + 1; ++i) {
        append(StepKind::held, Durability::soon, [](Result<void>) { FAIL() << "it was destroyed"; });
    }
    thread.reset();
    loop.at(loop.now() + milliseconds{5}, [&] { loop.stop(); });
    loop.run();
    EXPECT_EQ(opened(folder.journal())->load(job).value().steps.size(), journal::requests_max + 1);
}

TEST_F(JournalThreadTest, may_be_destroyed_by_one_of_its_answers) {
    append(StepKind::guarding, Durability::soon, [&](Result<void>) {
        thread.reset();
        loop.stop();
    });
    append(StepKind::held, Durability::soon, [](Result<void>) { FAIL() << "it was destroyed"; });
    run();
    EXPECT_EQ(thread, nullptr);
}

/// How long a standing guest waits for the word to be durable. The figures are for people; the bound catches
/// a second fsync or a checkpoint in the way.
TEST_F(JournalThreadTest, makes_a_step_durable_in_a_few_milliseconds) {
    constexpr std::size_t rounds = 300;
    std::vector<Duration> took;
    Instant asked;
    std::function<void()> next = [&] {
        asked = loop.now();
        append(StepKind::held, Durability::durable, [&](Result<void> done) {
            ASSERT_TRUE(done);
            took.push_back(loop.now() - asked);
            took.size() == rounds ? loop.stop() : next();
        });
    };
    next();
    run();
    ASSERT_EQ(took.size(), rounds);
    std::ranges::sort(took);
    const auto us = [](Duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); };
    RecordProperty("durable_append_median_us", std::to_string(us(took[rounds / 2])));
    RecordProperty("durable_append_p99_us", std::to_string(us(took[rounds * 99 / 100])));
    EXPECT_LT(took[rounds / 2], milliseconds{50}) << "0.5 ms on an idle machine";
}

}  // namespace
}  // namespace segue

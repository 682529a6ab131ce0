#include "io/worker_thread.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/run_loop_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;

/// Says on which thread it ended.
class Marker {
public:
    explicit Marker(std::optional<std::thread::id>& ended_on) : ended_on_(ended_on) {}
    ~Marker() { ended_on_ = std::this_thread::get_id(); }

private:
    std::optional<std::thread::id>& ended_on_;
};

class WorkerThreadTest : public testing::Test {
protected:
    Loop loop;
    std::unique_ptr<WorkerThread> worker = std::make_unique<WorkerThread>(loop);
    const std::thread::id ours = std::this_thread::get_id();

    void run() { run_until_stopped(loop); }
    WorkerThread::Answer stop() {
        return [this] { loop.stop(); };
    }
};

TEST_F(WorkerThreadTest, runs_jobs_in_order_on_one_thread_and_answers_in_order_on_the_loop) {
    std::vector<std::thread::id> threads;
    std::string order;
    for (char name = 'a'; name <= 'e'; ++name) {
        worker->perform([&, name]() -> WorkerThread::Answer {
            threads.push_back(std::this_thread::get_id());
            return [&, name] {
                EXPECT_EQ(std::this_thread::get_id(), ours);
                order += name;
            };
        });
    }
    worker->perform([this] { return stop(); });
    EXPECT_EQ(order, "") << "not from inside the call";
    run();
    EXPECT_EQ(order, "abcde");
    ASSERT_EQ(threads.size(), 5U);
    EXPECT_NE(threads.front(), ours);
    for (const auto thread : threads) EXPECT_EQ(thread, threads.front());
}

TEST_F(WorkerThreadTest, counts_a_job_as_outstanding_until_its_answer_runs) {
    EXPECT_EQ(worker->outstanding(), 0U);
    worker->perform([] { return nullptr; });
    worker->perform([this]() -> WorkerThread::Answer {
        return [this] {
            EXPECT_EQ(worker->outstanding(), 0U) << "the one before had nothing to tell, and is answered all the same";
            loop.stop();
        };
    });
    EXPECT_EQ(worker->outstanding(), 2U);
    run();
}

TEST_F(WorkerThreadTest, lets_the_loop_and_its_callers_go_on_while_a_job_takes_its_time) {
    std::promise<void> go_on;
    worker->perform([&, held = go_on.get_future().share()] {
        held.wait();
        return stop();
    });
    // Neither of these waits for the job: with a lock held while it runs the first would for ever.
    worker->perform([] { return nullptr; });
    loop.at(loop.now() + milliseconds{20}, [&] { go_on.set_value(); });
    run();
}

TEST_F(WorkerThreadTest, may_be_asked_from_inside_an_answer) {
    worker->perform([this]() -> WorkerThread::Answer {
        return [this] { worker->perform([this] { return stop(); }); };
    });
    run();
}

TEST_F(WorkerThreadTest, ends_what_a_job_holds_on_its_thread_before_the_answer_runs) {
    std::optional<std::thread::id> ended_on;
    worker->perform([&, held = std::make_shared<Marker>(ended_on)]() -> WorkerThread::Answer {
        return [&] {
            EXPECT_TRUE(ended_on);
            loop.stop();
        };
    });
    run();
    ASSERT_TRUE(ended_on);
    EXPECT_NE(*ended_on, ours);
}

TEST_F(WorkerThreadTest, ends_what_an_answer_holds_on_the_loops_thread_whether_it_ran_or_not) {
    std::optional<std::thread::id> ran;
    std::optional<std::thread::id> never_ran;
    worker->perform([this, held = std::make_shared<Marker>(ran)]() mutable -> WorkerThread::Answer {
        return [this, held = std::move(held)] { loop.stop(); };
    });
    run();
    EXPECT_EQ(ran, ours);
    worker->perform([held = std::make_shared<Marker>(never_ran)]() mutable -> WorkerThread::Answer {
        return [held = std::move(held)] { FAIL() << "it was destroyed"; };
    });
    worker.reset();
    EXPECT_EQ(never_ran, ours);
}

TEST_F(WorkerThreadTest, runs_all_that_was_asked_for_before_it_ends_and_answers_nobody) {
    int ran = 0;
    for (int i = 0; i < 100; ++i) {
        worker->perform([&]() -> WorkerThread::Answer {
            ++ran;
            return [] { FAIL() << "it was destroyed"; };
        });
    }
    worker->answer_later([] { FAIL() << "it was destroyed"; });
    worker.reset();
    EXPECT_EQ(ran, 100);
    loop.at(loop.now() + milliseconds{5}, [&] { loop.stop(); });
    loop.run();
}

TEST_F(WorkerThreadTest, may_be_destroyed_by_an_answer_and_gives_none_after_it) {
    std::promise<void> both_are_there;
    worker->perform([this]() -> WorkerThread::Answer {
        return [this] {
            worker.reset();
            loop.stop();
        };
    });
    worker->perform([&]() -> WorkerThread::Answer {
        both_are_there.set_value();
        return [] { FAIL() << "it was destroyed"; };
    });
    both_are_there.get_future().wait();
    run();
    EXPECT_EQ(worker, nullptr);
}

TEST_F(WorkerThreadTest, answers_later_on_the_loop_without_waiting_for_the_jobs) {
    std::promise<void> go_on;
    worker->perform([held = go_on.get_future().share()] {
        held.wait();
        return nullptr;
    });
    bool answered = false;
    worker->answer_later([&] {
        answered = true;
        loop.stop();
    });
    EXPECT_FALSE(answered) << "not from inside the call";
    run();
    EXPECT_TRUE(answered);
    go_on.set_value();
}

TEST_F(WorkerThreadTest, leaves_signals_to_the_loop) {
    // Else a SIGTERM that the loop's thread waits for on a descriptor ends the process on the worker.
    worker->perform([this] {
        sigset_t blocked;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
        EXPECT_EQ(sigismember(&blocked, SIGINT), 1);
        return stop();
    });
    run();
    sigset_t now;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGTERM), 0) << "the loop's own thread is left as it was";
}

}  // namespace
}  // namespace segue

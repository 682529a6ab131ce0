// What is left when writers are killed, and when several write at once.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "io/fd.hpp"
#include "store/journal_samples_test.hpp"
#include "store/sqlite/disk_test.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

MoveStep numbered(int number) {
    MoveStep step = journal_test_step(StepKind::held, number);
    step.detail = "{\"number\":" + std::to_string(number) + "}";
    return step;
}

struct Child {
    pid_t pid = -1;
    Fd from;  ///< What it says.
};

/// Runs `work(to_parent)` in a child that ends without cleaning up.
template <class Work>
Child start(Work work) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    Child child{::fork(), Fd(ends[0])};
    const Fd to_parent(ends[1]);
    if (child.pid == 0) {
        work(to_parent.get());
        ::_exit(0);
    }
    return child;
}

int status_of(const Child& child) {
    int status = -1;
    ::waitpid(child.pid, &status, 0);
    return status;
}

/// Writes numbered steps for ever, every third one durable, and says each number once it was answered.
void write_until_killed(const std::string& path, std::uint64_t move, int to_parent) {
    auto journal = open_journal(path);
    if (!journal) ::_exit(2);
    const auto job = (*journal)->create(journal_test_move(move), journal_test_step(StepKind::begun));
    if (!job) ::_exit(3);
    for (int number = 1; number < static_cast<int>(journal::steps_max); ++number) {
        const auto durability = number % 3 == 0 ? Durability::durable : Durability::soon;
        if (!(*journal)->append(*job, journal_test_owner, numbered(number), durability)) ::_exit(4);
        if (::write(to_parent, &number, sizeof number) != sizeof number) ::_exit(5);
    }
    ::pause();
}

TEST(Crash, of_a_writer_at_any_moment_loses_nothing_that_was_answered) {
    const JournalFolder folder;
    std::mt19937 random(7);  // The same moments in every run, as far as the machine allows.
    const auto began = std::chrono::steady_clock::now();
    constexpr std::uint64_t rounds = 50;
    int answered_in_all = 0;
    for (std::uint64_t round = 1; round <= rounds; ++round) {
        const Child child =
            start([&](int to_parent) { write_until_killed(folder.journal(), round, to_parent); });
        const int wanted = std::uniform_int_distribution(0, 20)(random);
        int answered = 0;
        int number = 0;
        while (answered < wanted && ::read(child.from.get(), &number, sizeof number) == sizeof number) {
            answered = number;
        }
        std::this_thread::sleep_for(std::chrono::microseconds{std::uniform_int_distribution(0, 1500)(random)});
        ASSERT_EQ(::kill(child.pid, SIGKILL), 0);
        ASSERT_TRUE(WIFSIGNALED(status_of(child)));
        // What it had said before it died.
        while (::read(child.from.get(), &number, sizeof number) == sizeof number) answered = number;
        answered_in_all += answered;

        const auto journal = opened(folder.journal());
        ASSERT_NE(journal, nullptr);
        const auto record = journal->find(journal_test_move(round).id, MoveRole::source).value();
        ASSERT_TRUE(record || answered == 0);
        if (!record) continue;
        ASSERT_GE(static_cast<int>(record->steps.size()), answered + 1) << "round " << round;
        ASSERT_LE(static_cast<int>(record->steps.size()), answered + 2) << "one may be written and not yet said";
        for (std::size_t i = 1; i < record->steps.size(); ++i) {
            ASSERT_EQ(record->steps[i], numbered(static_cast<int>(i)));
        }
    }
    EXPECT_GT(answered_in_all, 100);
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds{30}) << "5 s on an idle machine";
}

TEST(Crash, processes_that_make_the_journal_at_once_all_open_it) {
    for (int round = 0; round < 40; ++round) {
        const JournalFolder folder;
        std::vector<Child> children;
        for (int process = 0; process < 4; ++process) {
            children.push_back(start([&](int) {
                if (!open_journal(folder.journal())) ::_exit(2);
            }));
        }
        for (const Child& child : children) ASSERT_EQ(status_of(child), 0) << "round " << round;
    }
}

TEST(Crash, processes_that_write_at_once_all_get_their_steps_in_order) {
    const JournalFolder folder;
    constexpr int steps = 100;
    std::vector<Child> children;
    // They also make the file and its tables at once.
    for (std::uint64_t move = 1; move <= 3; ++move) {
        children.push_back(start([&](int) {
            auto journal = open_journal(folder.journal());
            if (!journal) ::_exit(2);
            const auto job = (*journal)->create(journal_test_move(move), journal_test_step(StepKind::begun));
            if (!job) ::_exit(3);
            for (int number = 1; number <= steps; ++number) {
                const auto durability = number % 2 == 0 ? Durability::durable : Durability::soon;
                if (!(*journal)->append(*job, journal_test_owner, numbered(number), durability)) ::_exit(4);
            }
            if (!(*journal)->close(*job, journal_test_owner, journal_test_ending(), journal_test_time(0))) ::_exit(5);
        }));
    }
    for (const Child& child : children) EXPECT_EQ(status_of(child), 0);
    const auto moves = opened(folder.journal())->latest(10).value();
    ASSERT_EQ(moves.size(), 3U);
    for (const auto& move : moves) {
        ASSERT_EQ(move.steps.size(), steps + 2U);
        for (int number = 1; number <= steps; ++number) {
            EXPECT_EQ(move.steps[static_cast<std::size_t>(number)], numbered(number));
        }
    }
}

TEST(Crash, only_one_of_two_processes_takes_a_dead_ones_move_over) {
    const JournalFolder folder;
    for (std::uint64_t move = 1; move <= 10; ++move) {
        ASSERT_TRUE(opened(folder.journal())->create(journal_test_move(move), journal_test_step(StepKind::begun)));
        std::vector<Child> children;
        for (int i = 1; i <= 2; ++i) {
            children.push_back(start([&](int) {
                auto journal = open_journal(folder.journal());
                if (!journal) ::_exit(2);
                const MoveOwner me{100 + i, 1, "boot-a"};
                const JobId job{static_cast<std::int64_t>(move)};
                const auto taken = (*journal)->take_over(job, journal_test_owner, me);
                ::_exit(taken ? 10 : taken.error().kind == ErrorKind::conflict ? 11 : 12);
            }));
        }
        EXPECT_EQ(WEXITSTATUS(status_of(children[0])) + WEXITSTATUS(status_of(children[1])), 10 + 11);
    }
}

TEST(OwnerProcess, is_alive_until_it_ends_and_is_not_taken_for_another) {
    const MoveOwner me = this_process().value();
    EXPECT_EQ(me.pid, ::getpid());
    EXPECT_EQ(look_for(me), Liveness::alive);
    EXPECT_EQ(look_for({me.pid, me.start_ticks + 1, me.boot_id}), Liveness::gone) << "the pid is another's now";
    EXPECT_EQ(look_for({me.pid, me.start_ticks, "another boot"}), Liveness::gone);
    const Child child = start([](int to_parent) {
        const MoveOwner self = this_process().value();
        const auto size = static_cast<ssize_t>(sizeof self.start_ticks);
        if (::write(to_parent, &self.start_ticks, sizeof self.start_ticks) != size) ::_exit(2);
        ::pause();
    });
    MoveOwner other{child.pid, 0, me.boot_id};
    ASSERT_EQ(::read(child.from.get(), &other.start_ticks, sizeof other.start_ticks),
              static_cast<ssize_t>(sizeof other.start_ticks));
    EXPECT_EQ(look_for(other), Liveness::alive);
    ::kill(child.pid, SIGSTOP);
    EXPECT_EQ(look_for(other), Liveness::alive) << "it stands still, and may go on";
    ::kill(child.pid, SIGKILL);
    siginfo_t ended{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid), &ended, WEXITED | WNOWAIT), 0);
    EXPECT_EQ(look_for(other), Liveness::gone) << "a zombie does nothing any more";
    static_cast<void>(status_of(child));
    EXPECT_EQ(look_for(other), Liveness::gone);
}

}  // namespace
}  // namespace segue

#include "io/loop.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/fd.hpp"
#include "io/run_loop_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct SocketPair {
    Fd ours, theirs;
    SocketPair() {
        std::array<int, 2> fds{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()), 0);
        ours = Fd(fds[0]);
        theirs = Fd(fds[1]);
    }
    void say(std::string_view text) const {
        EXPECT_EQ(::write(theirs.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    [[nodiscard]] std::string hear() const {
        std::array<char, 100> buffer{};
        const ssize_t n = ::read(ours.get(), buffer.data(), buffer.size());
        return n > 0 ? std::string(buffer.data(), static_cast<std::size_t>(n)) : std::string();
    }
};

TEST(Loop, fires_timers_in_order_of_time_and_then_of_making) {
    Loop loop;
    std::string order;
    const Instant start = loop.now();
    loop.at(start + milliseconds{6}, [&] { order += 'c'; loop.stop(); });
    loop.at(start + milliseconds{2}, [&] { order += 'a'; });
    loop.at(start + milliseconds{4}, [&] { order += 'b'; });
    loop.at(start + milliseconds{4}, [&] { order += 'B'; });
    loop.run();
    EXPECT_EQ(order, "abBc");
}

TEST(Loop, fires_no_timer_early_and_most_within_a_millisecond) {
    Duration middle{seconds{1}};
    for (int turn = 0; turn < 20 && middle >= milliseconds{1}; ++turn) {  // A busy machine is late by itself.
        Loop loop;
        std::vector<Duration> late;
        for (int i = 1; i <= 40; ++i) {
            const Instant when = loop.now() + milliseconds{i};
            loop.at(when, [&, when] { late.push_back(loop.now() - when); });
        }
        run_at_most(loop, milliseconds{60});
        ASSERT_EQ(late.size(), 40U);
        std::ranges::sort(late);
        EXPECT_GE(late.front(), Duration{0});
        middle = late[late.size() / 2];
    }
    EXPECT_LT(middle, milliseconds{1});
}

TEST(Loop, fires_timers_of_the_past_and_of_the_first_instant) {
    Loop loop;
    int fired = 0;
    loop.at(Instant{}, [&] { ++fired; });
    loop.at(Instant{Duration{-5}}, [&] { ++fired; });
    loop.at(loop.now() - seconds{1}, [&] { ++fired; loop.stop(); });
    loop.run();
    EXPECT_EQ(fired, 3);
}

TEST(Loop, lets_others_run_beside_a_timer_that_arms_itself_in_the_past) {
    Loop loop;
    std::function<void()> again = [&] { loop.at(Instant{}, again); };
    again();
    loop.at(loop.now() + milliseconds{2}, [&] { loop.stop(); });
    loop.run();
}

TEST(Loop, lets_a_timer_cancel_itself_and_others_that_are_due_at_the_same_time) {
    Loop loop;
    bool second_fired = false;
    Loop::TimerId first{}, second{};
    const Instant when = loop.now() + milliseconds{1};
    first = loop.at(when, [&] { loop.cancel(first); loop.cancel(second); });
    second = loop.at(when, [&] { second_fired = true; });
    run_at_most(loop, milliseconds{5});
    EXPECT_FALSE(second_fired);
    loop.cancel(first);
    loop.cancel(second);
}

TEST(Loop, fires_the_next_timer_on_time_when_the_earliest_was_cancelled) {
    Loop loop;
    const auto early = loop.at(loop.now() + milliseconds{1}, [] { FAIL(); });
    const Instant when = loop.now() + milliseconds{5};
    Instant fired{};
    loop.at(when, [&] { fired = loop.now(); loop.stop(); });
    loop.cancel(early);
    loop.run();
    EXPECT_GE(fired, when);
}

TEST(Loop, calls_a_reader_again_until_everything_is_read) {
    Loop loop;
    const SocketPair pair;
    int calls = 0;
    std::string heard;
    const auto watch = loop.watch_readable(pair.ours.get(), [&] {
        if (++calls < 3) return;
        heard = pair.hear();
        loop.stop();
    });
    pair.say("hello");
    loop.run();
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(heard, "hello");
    run_at_most(loop, milliseconds{3});
    EXPECT_EQ(calls, 3) << "nothing more to read";
    pair.say("again");
    run_at_most(loop, milliseconds{3});
    EXPECT_GT(calls, 3);
    loop.unwatch(watch);
}

TEST(Loop, tells_a_reader_that_the_peer_is_gone) {
    Loop loop;
    SocketPair pair;
    bool told = false;
    const auto watch = loop.watch_readable(pair.ours.get(), [&] { told = true; loop.stop(); });
    loop.post([&] { pair.theirs.reset(); });
    run_at_most(loop, seconds{1});
    EXPECT_TRUE(told);
    loop.unwatch(watch);
}

TEST(Loop, watches_one_socket_for_reading_and_writing_at_once) {
    Loop loop;
    const SocketPair pair;
    int reads = 0, writes = 0;
    Loop::WatchId writer{};
    const auto reader = loop.watch_readable(pair.ours.get(), [&] { (void)pair.hear(); ++reads; });
    writer = loop.watch_writable(pair.ours.get(), [&] {
        if (++writes == 2) loop.unwatch(writer);
    });
    run_at_most(loop, milliseconds{3});
    EXPECT_EQ(reads, 0);
    EXPECT_EQ(writes, 2);
    pair.say("x");
    run_at_most(loop, milliseconds{3});
    EXPECT_EQ(reads, 1);
    EXPECT_EQ(writes, 2);
    loop.unwatch(reader);
}

TEST(Loop, tells_a_writer_only_when_there_is_room_again) {
    Loop loop;
    const SocketPair pair;
    const std::string block(4096, 'x');
    while (::write(pair.ours.get(), block.data(), block.size()) > 0) {}
    int writes = 0;
    const auto writer = loop.watch_writable(pair.ours.get(), [&] { ++writes; loop.stop(); });
    run_at_most(loop, milliseconds{5});
    EXPECT_EQ(writes, 0);
    std::string drained(1 << 20, ' ');
    while (::read(pair.theirs.get(), drained.data(), drained.size()) > 0) {}
    run_at_most(loop, seconds{1});
    EXPECT_EQ(writes, 1);
    loop.unwatch(writer);
}

TEST(Loop, lets_a_callback_unwatch_itself_and_its_neighbour_and_close_the_descriptor) {
    Loop loop;
    SocketPair pair;
    int calls = 0;
    Loop::WatchId first{}, second{};
    const auto remove_both = [&] {
        ++calls;
        loop.unwatch(first);
        loop.unwatch(second);
        pair.ours.reset();
    };
    first = loop.watch_readable(pair.ours.get(), remove_both);
    second = loop.watch_readable(pair.ours.get(), remove_both);
    pair.say("x");
    run_at_most(loop, milliseconds{5});
    EXPECT_EQ(calls, 1);
}

TEST(Loop, keeps_the_notices_of_a_reused_descriptor_number_apart) {
    Loop loop;
    SocketPair old;
    old.say("x");
    const int number = old.ours.get();
    const auto watch = loop.watch_readable(number, [] { FAIL() << "was unwatched"; });
    std::string heard;
    Loop::WatchId fresh{};
    SocketPair other;
    // The reactor has seen the old socket by the time this runs or sees it right after.
    loop.post([&] {
        loop.unwatch(watch);
        old.ours.reset();
        ASSERT_EQ(::dup2(other.ours.get(), number), number);
        fresh = loop.watch_readable(number, [&] { heard += other.hear(); });
    });
    run_at_most(loop, milliseconds{3});
    EXPECT_EQ(heard, "");
    other.say("new");
    run_at_most(loop, milliseconds{3});
    EXPECT_EQ(heard, "new");
    loop.unwatch(fresh);
    ::close(number);
}

TEST(Loop, runs_a_posted_action_after_the_present_callback) {
    Loop loop;
    std::string order;
    loop.post([&] {
        loop.post([&] { order += "inner "; loop.stop(); });
        order += "outer ";
    });
    loop.run();
    EXPECT_EQ(order, "outer inner ");
}

TEST(Loop, can_be_stopped_from_another_thread_before_and_while_it_runs) {
    Loop loop;
    std::jthread([&] { loop.stop(); }).join();
    loop.run();
    const std::jthread stopper([&] {
        std::this_thread::sleep_for(milliseconds{5});
        loop.stop();
    });
    loop.run();
}

TEST(Loop, keeps_what_is_left_for_the_next_run) {
    Loop loop;
    std::string order;
    const Instant when = loop.now() + milliseconds{1};
    loop.at(when, [&] { order += 'a'; loop.stop(); });
    loop.at(when, [&] { order += 'b'; loop.stop(); });
    loop.run();
    EXPECT_EQ(order, "a");
    loop.run();
    EXPECT_EQ(order, "ab");
}

TEST(Loop, can_be_destroyed_with_callbacks_that_use_it_in_their_destructors) {
    struct Owner {
        Loop& loop;
        Loop::TimerId timer{};
        Loop::WatchId watch{};
        ~Owner() {
            loop.cancel(timer);
            loop.unwatch(watch);
        }
    };
    const SocketPair pair;
    Loop loop;
    const auto add = [&] {
        auto owner = std::make_shared<Owner>(loop);
        owner->timer = loop.at(loop.now() + seconds{100}, [owner] {});
        owner->watch = loop.watch_readable(pair.ours.get(), [owner] {});
        loop.post([owner] {});
    };
    add();
    add();
}

TEST(Fd, closes_once_moves_and_duplicates) {
    SocketPair pair;
    const int number = pair.ours.get();
    Fd moved(std::move(pair.ours));
    EXPECT_EQ(moved.get(), number);
    Fd copy = moved.duplicate();
    ASSERT_TRUE(copy);
    EXPECT_NE(copy.get(), number);
    EXPECT_TRUE(::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC);
    moved = std::move(copy);
    EXPECT_EQ(::fcntl(number, F_GETFD), -1) << "the first was closed by the assignment";
    EXPECT_FALSE(Fd{}.duplicate());
}

}  // namespace
}  // namespace segue

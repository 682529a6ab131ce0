#include "app/segue/destination/transport.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "io/run_loop_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Words = std::vector<std::string>;

Words shell(const std::string& script) { return {"sh", "-c", script}; }

/// Whether this process has no child that runs or waits to be reaped.
bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }

struct TransportTest : testing::Test {
    /// What an earlier test left running has nobody any more who would reap it.
    void SetUp() override { while (::waitpid(-1, nullptr, 0) > 0) {} }
    void TearDown() override { if (transport) transport->terminate(); }

    Loop loop;
    std::string said;
    Words notes;
    std::optional<TransportEnd> end;
    std::string wanted;
    std::unique_ptr<Transport> transport;

    void start(const Words& command) {
        auto started = Transport::start(loop, command,
                                        {.on_bytes =
                                             [this](std::string_view bytes) {
                                                 EXPECT_FALSE(end);
                                                 said.append(bytes);
                                                 const bool there = said.find(wanted) != std::string::npos;
                                                 if (!wanted.empty() && there) loop.stop();
                                             },
                                         .on_note = [this](const std::string& line) { notes.push_back(line); },
                                         .on_end =
                                             [this](const TransportEnd& how) {
                                                 EXPECT_FALSE(end) << "ended twice";
                                                 end = how;
                                                 loop.stop();
                                             }});
        ASSERT_TRUE(started) << to_string(started.error());
        transport = std::move(*started);
        EXPECT_TRUE(said.empty() && !end) << "a callback from inside of start";
    }
    void run(Duration most = seconds{10}) { run_at_most(loop, most); }
    void run_until_said(const std::string& what) {
        wanted = what;
        if (said.find(wanted) == std::string::npos) run();
        EXPECT_NE(said.find(what), std::string::npos) << said;
    }
};

TEST_F(TransportTest, carries_bytes_both_ways) {
    start({"cat"});
    transport->send("hello\n");
    run_until_said("hello\n");
    const std::string long_line(200'000, 'x');
    transport->send(long_line + "end\n");
    run_until_said("xend\n");
    EXPECT_EQ(said, "hello\n" + long_line + "end\n");
    EXPECT_FALSE(end);
}

TEST_F(TransportTest, hands_every_word_over_as_it_is) {
    start({"printf", "%s|", "two words", "$HOME;|&", "'\"\\", ""});
    run();
    EXPECT_EQ(said, "two words|$HOME;|&|'\"\\||");
}

TEST_F(TransportTest, tells_what_was_said_before_the_end_and_how_it_ended) {
    start(shell("echo out; echo first >&2; printf last >&2; exit 7"));
    run();
    ASSERT_TRUE(end);
    EXPECT_EQ(said, "out\n");
    EXPECT_EQ(notes, (Words{"first", "last"}));
    EXPECT_EQ(end->why, "ended with status 7");
    EXPECT_EQ(end->status, 7);
    EXPECT_EQ(end->last_note, "last");
    EXPECT_TRUE(no_children());
}

TEST_F(TransportTest, tells_of_a_signal) {
    start(shell("kill -9 $$"));
    run();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->why, "was ended by signal 9");
    EXPECT_FALSE(end->status);
}

TEST_F(TransportTest, a_child_left_behind_that_holds_the_pipes_does_not_hide_the_end) {
    start(shell("sleep 3 & exit 3"));
    const Instant before = loop.now();
    run();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->status, 3);
    EXPECT_LT(loop.now() - before, seconds{2});
}

TEST_F(TransportTest, a_closed_output_is_the_end_though_the_child_lives) {
    start(shell("exec >&-; exec sleep 1.5"));
    run();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->why, "closed its output");
}

TEST_F(TransportTest, a_closed_input_is_the_end_and_no_sigpipe) {
    start(shell("exec <&-; echo closed; exec sleep 1.5"));
    run_until_said("closed");
    transport->send("x\n");
    run();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->why, "closed its input");
}

TEST_F(TransportTest, a_child_that_never_reads_is_the_end_and_blocks_nothing) {
    start({"sleep", "1"});
    const Instant before = loop.now();
    for (int i = 0; i < 8 && !end; ++i) {
        transport->send(std::string(64 * 1024, 'x'));
        EXPECT_FALSE(end) << "a callback from inside of send";
    }
    run();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->why, "reads nothing");
    EXPECT_LT(loop.now() - before, seconds{1});
}

TEST_F(TransportTest, a_child_that_floods_leaves_the_loop_its_turn_and_the_notes_bounded) {
    start(shell("yes >&2 & exec yes"));
    int turns = 0;
    std::function<void()> turn = [&] {
        if (++turns == 20) return loop.stop();
        said.clear();
        loop.at(loop.now() + milliseconds{5}, turn);
    };
    loop.at(loop.now(), turn);
    run();
    EXPECT_EQ(turns, 20);
    EXPECT_LE(notes.size(), static_cast<std::size_t>(transport_limits::notes_max) + 1);
    transport->terminate();
    run();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->why, "was ended by signal 15");
}

TEST_F(TransportTest, long_and_odd_notes_are_cut_and_cleaned) {
    start(shell("head -c 5000 /dev/zero | tr '\\0' x >&2; printf '\\n\\033[31mred\\r\\n\\n' >&2"));
    run();
    ASSERT_EQ(notes.size(), 2U);
    EXPECT_EQ(notes[0].size(), transport_limits::note_bytes_max);
    EXPECT_EQ(notes[1], "?[31mred");
}

TEST_F(TransportTest, a_missing_command_is_an_error_at_once) {
    const auto started = Transport::start(loop, {"/no/such/segue", "receive"}, {});
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().kind, ErrorKind::unavailable);
    EXPECT_EQ(started.error().message, "/no/such/segue could not be started");
    EXPECT_EQ(started.error().source, "No such file or directory");
    EXPECT_TRUE(no_children());
}

TEST_F(TransportTest, the_child_leads_a_session_of_its_own) {
    // Fields 1, 5 and 6 of its stat: process, process group, session.
    start(shell("set -- $(cat /proc/$$/stat); echo \"$1 $5 $6\""));
    run();
    const std::string number = said.substr(0, said.find(' '));
    EXPECT_EQ(said, number + " " + number + " " + number + "\n");
}

TEST_F(TransportTest, the_child_has_every_signal_as_it_was_born) {
    struct sigaction ignore {};
    struct sigaction before {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, &before);
    sigset_t blocked;
    sigset_t old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &blocked, &old);
    start({"grep", "-E", "SigBlk|SigIgn", "/proc/self/status"});
    ::sigprocmask(SIG_SETMASK, &old, nullptr);
    ::sigaction(SIGPIPE, &before, nullptr);
    run();
    // What is left ignored are 32 and 33, by libc.
    EXPECT_EQ(said, "SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\n");
}

TEST_F(TransportTest, may_be_destroyed_by_any_callback) {
    for (const char* script : {"echo out; sleep 1", "echo note >&2; sleep 1", "exit 1"}) {
        std::unique_ptr<Transport> owned;
        bool called = false;
        const auto destroy = [&] {
            owned.reset();
            called = true;
            loop.stop();
        };
        auto started = Transport::start(loop, shell(script),
                                        {.on_bytes = [&](std::string_view) { destroy(); },
                                         .on_note = [&](const std::string&) { destroy(); },
                                         .on_end = [&](const TransportEnd&) { destroy(); }});
        ASSERT_TRUE(started);
        owned = std::move(*started);
        run();
        EXPECT_TRUE(called) << script;
    }
}

TEST_F(TransportTest, a_child_that_outlives_it_sees_the_end_of_its_input_and_is_reaped) {
    start({"cat"});
    transport.reset();
    for (int i = 0; i < 100 && !no_children(); ++i) run(milliseconds{10});
    EXPECT_TRUE(no_children());
    EXPECT_FALSE(end);
}

}  // namespace
}  // namespace segue

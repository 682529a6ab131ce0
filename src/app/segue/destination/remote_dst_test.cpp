#include "app/segue/destination/remote_dst.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "app/segue/destination/transport.hpp"
#include "io/run_loop_test.hpp"
#include "receive/codec.hpp"

namespace segue {
namespace {

using receive::RequestId;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr RequestId same_id{777};  ///< Replaced by the id of the request that is answered.
const std::string data_token(32, 'e');

/// Shell words that say `message`.
std::string say(const receive::Message& message) {
    const auto line = receive::encode(message);
    EXPECT_TRUE(line) << to_string(line.error());
    std::string text = line.value_or("\n");
    text.pop_back();
    if (const auto at = text.find("777"); at != std::string::npos) text.replace(at, 3, "'\"$id\"'");
    return "echo '" + text + "'; ";
}

receive::Hello greeting(int low = receive::version_min, int high = receive::version_max) {
    receive::Hello hello;
    hello.versions_min = low;
    hello.versions_max = high;
    hello.segue = "0.1.0";
    hello.host = "host2";
    return hello;
}

receive::StatusReply status(receive::Stage stage, RunState state = RunState::other) {
    receive::StatusReply reply;
    reply.request = same_id;
    reply.stage = stage;
    reply.run_state = state;
    return reply;
}

/// A destination that greets, answers `status` and does `cases` besides: lines "*pattern*) commands ;;".
DstHost peer(const std::string& cases, const std::string& at_start = {}) {
    const std::string check = "read -r line; case $line in *'" + std::string(32, 'a') + "'*) ;; *) exit 9 ;; esac; ";
    const std::string next = R"(while read -r line; do id=${line#*\"request\":}; id=${id%%[!0-9]*}; case $line in )";
    const std::string script = check + say(greeting()) + at_start + next + cases + " *'\"status\"'*) " +
                               say(status(receive::Stage::idle)) + ";; esac; done";
    return {"cmd:peer", {"sh", "-c", script}, false, "peer"};
}

std::string when(const std::string& type, const std::string& commands) {
    return "*'\"type\":\"" + type + "\"'*) " + commands + ";; ";
}

DstHost command(const std::string& script, bool ssh = false) {
    return {ssh ? "ssh://host2" : "cmd:peer", {"sh", "-c", script}, ssh, ssh ? "host2" : "peer"};
}

struct RemoteDstTest : testing::Test {
    Loop loop;
    std::optional<RemoteDst::Ready> ready;
    std::vector<GuestNotice> notices;
    std::vector<std::string> notes;
    std::unique_ptr<RemoteDst> dst;
    std::optional<receive::VmText> vm;

    void start(const DstHost& host) {
        receive::ClientPlan plan;
        plan.hello = our_hello("0.1.0", receive::MoveId{std::string(32, 'a')});
        if (!vm) plan.prepare.monitor = "/run/b.qmp";
        plan.prepare.vm = vm;
        plan.token = {data_token};
        dst = std::make_unique<RemoteDst>(
            loop, host, std::move(plan),
            [this](RemoteDst::Ready how) {
                EXPECT_FALSE(ready) << "ready twice";
                ready = std::move(how);
                loop.stop();
            },
            [this](const GuestNotice& notice) {
                notices.push_back(notice);
                loop.stop();
            },
            [this](const std::string& line) { notes.push_back(line); });
        EXPECT_FALSE(ready) << "a callback from inside of the constructor";
    }
    void run(Duration most) { run_at_most(loop, most); }
    template <class F>
    bool run_until(F done) {
        return segue::run_until(loop, done);
    }
    void start_and_greet(const DstHost& host) {
        start(host);
        run_until([this] { return ready.has_value(); });
        ASSERT_TRUE(ready && *ready) << (ready ? ready->error().what : "no answer");
    }
    void expect_refused(const DstHost& host, const std::string& what, const std::string& remedy) {
        start(host);
        run_until([this] { return ready.has_value(); });
        ASSERT_TRUE(ready && !*ready);
        EXPECT_NE(ready->error().what.find(what), std::string::npos) << ready->error().what;
        EXPECT_EQ(ready->error().what.find("--to "), 0U) << ready->error().what;
        EXPECT_NE(ready->error().remedy.find(remedy), std::string::npos) << ready->error().remedy;
        // Whatever is asked of it is answered all the same.
        EXPECT_EQ(ask(DstInspect{}).error().kind, ErrorKind::unavailable);
        EXPECT_EQ(ask(DstAwaitStream{}).error().kind, ErrorKind::unavailable);
        EXPECT_TRUE(notices.empty()) << "news of what never was ready";
    }
    Result<GuestAnswer> ask(const DstCommand& wanted, Duration timeout = seconds{5}) {
        std::optional<Result<GuestAnswer>> answer;
        dst->submit(wanted, timeout, [&](Result<GuestAnswer> value) {
            EXPECT_FALSE(answer) << "answered twice";
            answer = std::move(value);
            loop.stop();
        });
        EXPECT_FALSE(answer) << "answered from inside of submit";
        run_until([&] { return answer.has_value(); });
        return answer ? *answer : fail(ErrorKind::corrupt, "never answered");
    }
    template <class N>
    bool noticed() const {
        for (const auto& notice : notices) {
            if (std::holds_alternative<N>(notice)) return true;
        }
        return false;
    }
};

// ---- Greeting --------------------------------------------------------------------------------------

TEST_F(RemoteDstTest, is_ready_after_the_greeting_and_knows_the_round_trip) {
    start_and_greet(peer({}));
    EXPECT_GT(dst->round_trip(), Duration{0});
    EXPECT_LT(dst->round_trip(), seconds{2});
    ASSERT_TRUE(dst->peer());
    EXPECT_EQ(dst->peer()->host, "host2");
    EXPECT_EQ(dst->duplicate_pidfd(), -1);
}

TEST_F(RemoteDstTest, the_round_trip_is_the_longest_of_three) {
    start_and_greet(peer(when("status", "n=$((n+1)); [ $n != 2 ] || sleep 0.2; " + say(status(receive::Stage::idle)))));
    EXPECT_GE(dst->round_trip(), milliseconds{200});
}

TEST_F(RemoteDstTest, says_that_the_command_is_not_there) {
    DstHost host{"cmd:/no/such/program", {"/no/such/program"}, false, "/no/such/program"};
    expect_refused(host, "/no/such/program could not be started: No such file", "can be run here");
}

TEST_F(RemoteDstTest, says_that_ssh_is_not_there) {
    DstHost host{"ssh://host2", {"/no/such/ssh"}, true, "host2"};
    expect_refused(host, "--to ssh://host2 needs ssh", "OpenSSH");
}

TEST_F(RemoteDstTest, says_that_ssh_was_refused) {
    expect_refused(command("echo 'host2: Permission denied (publickey).' >&2; exit 255", true),
                   "cannot be reached by ssh: host2: Permission denied (publickey)", "BatchMode=yes");
    EXPECT_EQ(notes, std::vector<std::string>{"host2: host2: Permission denied (publickey)."});
}

TEST_F(RemoteDstTest, says_that_the_other_side_has_no_segue) {
    expect_refused(command("echo 'bash: segue: command not found' >&2; exit 127", true),
                   "has no segue where commands are looked for", "install segue on that host");
}

TEST_F(RemoteDstTest, says_that_the_other_sides_segue_is_too_old_to_receive) {
    expect_refused(command("echo 'segue: \"receive\" is not a command' >&2; exit 2", true),
                   "ended with status 2 before it greeted: segue: \"receive\"", "same version of segue");
}

TEST_F(RemoteDstTest, says_that_the_versions_do_not_meet) {
    expect_refused(command("read -r line; " + say(greeting(7, 9)) + "cat > /dev/null"), "speaks versions 7 to 9",
                   "update the older segue");
}

TEST_F(RemoteDstTest, says_that_the_other_side_cannot_build_a_vm) {
    vm = receive::VmText{"name = 'web1'", "u"};
    expect_refused(peer(""), "has segue 0.1.0, which cannot start a VM from its description", "as qmp:PATH");
}

TEST_F(RemoteDstTest, asks_for_a_vm_where_that_is_known) {
    vm = receive::VmText{"name = 'web1'", "u"};
    receive::Hello knows = greeting();
    knows.features = {std::string(receive::vm_feature)};
    start_and_greet(command("read -r line; " + say(knows) + "while read -r line; do id=${line#*\\\"request\\\":}; "
                            "id=${id%%[!0-9]*}; " + say(status(receive::Stage::idle)) + "done"));
}

TEST_F(RemoteDstTest, says_that_a_login_script_prints) {
    expect_refused(command("echo 'Welcome to host2'; cat > /dev/null"), "not segue's protocol", "login script");
}

TEST_F(RemoteDstTest, says_that_it_ended_without_a_word) {
    expect_refused(command("exit 0"), "ended with status 0", "by hand");
}

// ---- Commands --------------------------------------------------------------------------------------

TEST_F(RemoteDstTest, brings_facts_settings_and_the_data_address) {
    receive::Prepared prepared{same_id, {}};
    prepared.facts.version = "10.0.13";
    prepared.facts.vcpus = 4;
    prepared.facts.run_state = RunState::inmigrate;
    start_and_greet(peer(when("prepare", say(prepared)) + when("clear-autostart", say(receive::Did{same_id})) +
                         when("listen", "echo \"$line\" >&2; " + say(receive::Listening{same_id, "10.77.0.2", 4444}) +
                                            "sleep 0.1; " + say(receive::Connected{}))));
    const auto facts = ask(DstInspect{});
    ASSERT_TRUE(facts && std::holds_alternative<GuestFacts>(*facts));
    EXPECT_EQ(std::get<GuestFacts>(*facts).version, "10.0.13");
    EXPECT_EQ(std::get<GuestFacts>(*facts).vcpus, 4);
    EXPECT_TRUE(ask(DstClearAutostart{}));
    const auto address = ask(DstListen{{"10.77.0.2", 0}});
    ASSERT_TRUE(address && std::holds_alternative<DataAddress>(*address));
    EXPECT_EQ(std::get<DataAddress>(*address).port, 4444);
    EXPECT_TRUE(ask(DstAwaitStream{}));
    EXPECT_TRUE(ask(DstAwaitStream{})) << "known by now";
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_NE(notes[0].find(data_token), std::string::npos) << notes[0];
}

TEST_F(RemoteDstTest, a_data_connection_that_does_not_come_is_said_in_time) {
    start_and_greet(peer({}));
    const auto answer = ask(DstAwaitStream{}, milliseconds{50});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::timed_out);
    EXPECT_NE(answer.error().message.find("--data-address"), std::string::npos);
}

TEST_F(RemoteDstTest, no_answer_is_timed_out) {
    start_and_greet(peer({}));
    const auto answer = ask(DstPrepare{}, milliseconds{50});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::timed_out);
}

TEST_F(RemoteDstTest, relays_what_the_other_side_logs_and_refuses) {
    start_and_greet(peer(when("settings", say(receive::LogLine{"a stranger was refused"}) +
                                              say(receive::Failed{same_id, {ErrorKind::conflict, "not now", "b"}}))));
    const auto answer = ask(DstPrepare{});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::conflict);
    EXPECT_EQ(answer.error().message, "not now");
    EXPECT_EQ(notes, std::vector<std::string>{"peer: a stranger was refused"});
}

TEST_F(RemoteDstTest, a_peer_that_logs_without_end_is_cut_short) {
    const std::string flood = "i=0; while [ $i != 300 ]; do i=$((i+1)); " + say(receive::LogLine{"again"}) + "done; ";
    start_and_greet(peer(when("settings", flood + say(receive::Did{same_id}))));
    ASSERT_TRUE(ask(DstPrepare{}));
    ASSERT_EQ(notes.size(), static_cast<std::size_t>(transport_limits::notes_max) + 1);
    EXPECT_EQ(notes.back(), "peer: says too much; the rest is left out");
}

// ---- The word --------------------------------------------------------------------------------------

/// Leases for as long as the test asks, and `commands` for the word.
DstHost word_peer(const std::string& commands) {
    const receive::Prepared prepared{same_id, {}};
    return peer(when("prepare", say(receive::Lease{1}) + say(prepared)) + when("ping", "echo \"$line\" >&2") +
                when("word", commands));
}

TEST_F(RemoteDstTest, leases_are_quoted_and_the_word_ends_in_resumed) {
    start_and_greet(word_peer(say(receive::Running{same_id})));
    ASSERT_TRUE(ask(DstInspect{}));
    EXPECT_TRUE(ask(DstRun{}));
    EXPECT_TRUE(run_until([this] { return noticed<DstResumed>(); }));
    EXPECT_TRUE(run_until([this] { return !notes.empty(); }));
    EXPECT_NE(notes[0].find("\"n\":1"), std::string::npos) << notes[0];
}

TEST_F(RemoteDstTest, a_refused_word_is_refused) {
    start_and_greet(word_peer(say(receive::Refused{same_id, "cont failed", true})));
    ASSERT_TRUE(ask(DstInspect{}));
    const auto answer = ask(DstRun{});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::refused);
    EXPECT_EQ(answer.error().source, "cont failed");
    EXPECT_TRUE(ask(DstKill{})) << "it said that it is dead";
}

TEST_F(RemoteDstTest, an_abort_is_done_when_it_is_aborted) {
    start_and_greet(peer(when("abort", "sleep 0.1; " + say(receive::Aborted{same_id}))));
    EXPECT_TRUE(ask(DstKill{}));
}

TEST_F(RemoteDstTest, its_death_is_news) {
    start_and_greet(peer(when("settings", say(receive::Died{false}))));
    EXPECT_FALSE(ask(DstPrepare{}, milliseconds{200}));
    EXPECT_TRUE(noticed<DstDied>());
}

// ---- The end of the connection ---------------------------------------------------------------------

TEST_F(RemoteDstTest, a_connection_lost_before_the_word_is_unavailable_and_news) {
    start_and_greet(peer(when("prepare", "echo 'closed by host2' >&2; exit 255")));
    const auto answer = ask(DstInspect{});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::unavailable);
    EXPECT_NE(answer.error().source.find("ended with status 255: closed by host2"), std::string::npos)
        << answer.error().source;
    EXPECT_TRUE(run_until([this] { return noticed<DstLost>(); }));
    EXPECT_EQ(ask(DstKill{}).error().kind, ErrorKind::unavailable);
}

TEST_F(RemoteDstTest, a_connection_lost_after_the_word_is_unknown) {
    start_and_greet(word_peer("exit 1"));
    ASSERT_TRUE(ask(DstInspect{}));
    const auto answer = ask(DstRun{});
    ASSERT_FALSE(answer);
    EXPECT_TRUE(outcome_unknown(answer.error().kind));
    EXPECT_TRUE(run_until([this] { return noticed<DstLost>(); }));
    EXPECT_FALSE(noticed<DstResumed>());
}

TEST_F(RemoteDstTest, two_seconds_without_a_lease_are_a_lost_connection) {
    start_and_greet(word_peer({}));
    ASSERT_TRUE(ask(DstInspect{}));
    const Instant before = loop.now();
    EXPECT_TRUE(run_until([this] { return noticed<DstLost>(); }));
    EXPECT_LT(loop.now() - before, seconds{4});
}

TEST_F(RemoteDstTest, broken_messages_end_the_connection) {
    start_and_greet(peer(when("prepare", "echo '{\"type\":'")));
    const auto answer = ask(DstInspect{});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::unavailable);
    EXPECT_TRUE(run_until([this] { return noticed<DstLost>(); }));
}

TEST_F(RemoteDstTest, says_bye_when_it_is_destroyed) {
    const std::filesystem::path file = testing::TempDir() + "segue-bye-" + std::to_string(::getpid());
    start_and_greet(peer(when("bye", "echo bye > '" + file.string() + "'; exit 0")));
    dst.reset();
    EXPECT_TRUE(run_until([&] { return std::filesystem::exists(file); }));
    std::filesystem::remove(file);
}

TEST_F(RemoteDstTest, says_how_it_ended_when_it_leaves_and_calls_nobody_afterwards) {
    const std::filesystem::path file = testing::TempDir() + "segue-bye-" + std::to_string(::getpid());
    const std::string late = say(receive::LogLine{"late"}) + say(receive::Died{false});
    start_and_greet(peer(when("bye", late + "echo \"$line\" > '" + file.string() + "'; exit 0")));
    std::optional<bool> left;
    dst->leave("refused", "disk0 is not shared", [&](bool ended) { left = ended; });
    EXPECT_FALSE(left) << "a callback from inside of leave";
    std::string line;
    EXPECT_TRUE(run_until([&] { return static_cast<bool>(std::getline(std::ifstream(file), line)); }));
    std::filesystem::remove(file);
    EXPECT_EQ(line, R"({"type":"bye","outcome":"refused","reason":"disk0 is not shared"})");
    EXPECT_TRUE(run_until([&] { return left.has_value(); }));
    EXPECT_EQ(left, true);
    EXPECT_TRUE(notes.empty());
    EXPECT_TRUE(notices.empty());
    dst.reset();
    run(milliseconds{20});
}

TEST_F(RemoteDstTest, has_left_only_when_the_other_side_has_ended) {
    start_and_greet(peer(when("bye", "sleep 0.3; exit 1")));
    const Instant began = loop.now();
    std::optional<bool> left;
    dst->leave("refused", "", [&](bool ended) { left = ended; });
    EXPECT_TRUE(run_until([&] { return left.has_value(); }));
    EXPECT_EQ(left, true);
    EXPECT_GE(loop.now() - began, milliseconds{300});
}

TEST_F(RemoteDstTest, waits_for_the_other_side_no_longer_than_five_seconds) {
    start_and_greet(peer(when("bye", "sleep 8; exit 0")));
    const Instant began = loop.now();
    std::optional<bool> left;
    dst->leave("refused", "", [&](bool ended) { left = ended; });
    EXPECT_TRUE(run_until([&] { return left.has_value(); }));
    EXPECT_EQ(left, false);
    EXPECT_GE(loop.now() - began, RemoteDst::leave_max);
    EXPECT_LT(loop.now() - began, RemoteDst::leave_max + seconds{1});
}

TEST_F(RemoteDstTest, has_left_at_once_where_there_is_no_connection_any_more) {
    start_and_greet(peer(when("prepare", "exit 255")));
    ASSERT_FALSE(ask(DstInspect{}));
    std::optional<bool> left;
    dst->leave("failed", "the connection was lost", [&](bool ended) { left = ended; });
    run(milliseconds{100});
    EXPECT_EQ(left, true);
}

TEST_F(RemoteDstTest, tells_nobody_that_it_has_left_once_it_is_destroyed) {
    start_and_greet(peer(when("bye", "exit 0")));
    dst->leave("refused", "", [](bool) { ADD_FAILURE() << "it was destroyed"; });
    dst.reset();
    run(milliseconds{100});
}

TEST_F(RemoteDstTest, may_be_destroyed_by_any_callback_and_calls_nobody_afterwards) {
    const std::string cases = when("settings", say(receive::Did{same_id}) + say(receive::Died{false}));
    start_and_greet(peer(cases));
    bool called = false;
    dst->submit(DstPrepare{}, seconds{5}, [&](const Result<GuestAnswer>&) {
        called = true;
        dst.reset();
    });
    EXPECT_TRUE(run_until([&] { return called; }));
    run(milliseconds{50});
    EXPECT_TRUE(notices.empty());

    bool was_ready = false;
    receive::ClientPlan plan;
    plan.hello = our_hello("0.1.0", receive::MoveId{std::string(32, 'a')});
    dst = std::make_unique<RemoteDst>(
        loop, peer(cases), plan,
        [&](const RemoteDst::Ready&) {
            was_ready = true;
            dst.reset();
        },
        [](const GuestNotice&) { ADD_FAILURE(); }, [](const std::string&) {});
    dst->submit(DstAwaitStream{}, milliseconds{500}, [](const Result<GuestAnswer>&) { ADD_FAILURE(); });
    dst->submit(DstInspect{}, milliseconds{500}, [](const Result<GuestAnswer>&) { ADD_FAILURE(); });
    EXPECT_TRUE(run_until([&] { return was_ready; }));
    run(milliseconds{600});
}

TEST_F(RemoteDstTest, may_be_destroyed_before_it_greeted_and_ends_its_child) {
    start(command("sleep 60"));
    dst.reset();
    run(milliseconds{50});
    EXPECT_FALSE(ready);
    // The child is told to end and reaped: nothing is left.
    EXPECT_TRUE(run_until([] { return ::waitpid(-1, nullptr, WNOHANG) < 0; }));
}

}  // namespace
}  // namespace segue

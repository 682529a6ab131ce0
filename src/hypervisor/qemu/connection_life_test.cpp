/// \file  How a Connection begins and ends: refusals, held monitors, losses, its own destruction.

#include <unistd.h>

#include "hypervisor/qemu/connection.hpp"
#include "hypervisor/qemu/fake_monitor_test.hpp"

namespace segue::qemu {
namespace {

TEST_F(ConnectionTest, answers_everything_before_it_reports_the_loss) {
    make_ready();
    for (const char* name : {"a", "b", "c", "d", "e"}) connection->execute(name, {}, seconds{5}, note(name));
    spin();
    monitor->answer(id_of(monitor->heard[0]));
    monitor->say(R"({"event":"SHUTDOWN"})");
    monitor->hang_up();
    spin();
    EXPECT_EQ(log, "a:ok SHUTDOWN b:unavailable c:unavailable d:unavailable e:unavailable lost ");
    EXPECT_EQ(lost->kind, ErrorKind::unavailable);
    log.clear();
    bool inside = true;
    connection->execute("after", {}, seconds{5}, [&](const Result<json::value>& result) {
        EXPECT_FALSE(inside);
        note("after")(result);
    });
    inside = false;
    connection->execute_out_of_band("yank", {}, seconds{5}, note("yank"));
    spin();
    EXPECT_EQ(log, "after:unavailable yank:unavailable ");
    EXPECT_EQ(ready_calls, 1);
}

TEST_F(ConnectionTest, hands_on_what_was_whole_before_garbage_and_then_ends) {
    make_ready();
    connection->execute("a", {}, seconds{5}, note("a"));
    spin();
    monitor->say("{\"return\":{},\"id\":" + std::to_string(id_of(monitor->heard[0])) + "}\r\ngarbage");
    spin();
    EXPECT_EQ(log, "a:ok lost ");
    EXPECT_EQ(lost->kind, ErrorKind::corrupt);
}

TEST_F(ConnectionTest, reads_the_last_answers_when_it_cannot_write_any_more) {
    make_ready();
    connection->execute("a", {}, seconds{5}, note("a"));
    spin();
    monitor->answer(id_of(monitor->heard[0]));
    monitor->hang_up();
    // The write fails with EPIPE; SIGPIPE would have ended this program.
    connection->execute("b", {}, seconds{5}, note("b"));
    EXPECT_EQ(log, "") << "nothing from inside execute";
    spin();
    EXPECT_EQ(log, "a:ok b:unavailable lost ");
}

TEST_F(ConnectionTest, may_be_destroyed_from_inside_a_reply) {
    make_ready();
    connection->execute("a", {}, seconds{5}, [&](const Result<json::value>&) { connection.reset(); });
    connection->execute("b", {}, seconds{5}, note("b"));
    spin();
    monitor->answer(id_of(monitor->heard[0]));
    monitor->answer(id_of(monitor->heard[1]));
    spin();
    EXPECT_EQ(log, "") << "nobody is called after the destructor";
    EXPECT_EQ(monitor->client(), -1) << "the socket was closed";
}

TEST_F(ConnectionTest, may_be_destroyed_from_inside_an_event_a_deadline_and_its_own_loss) {
    make_ready();
    on_event = [&] { connection.reset(); };
    monitor->say(R"({"event":"STOP"}{"event":"RESUME"})");
    spin();
    EXPECT_EQ(log, "STOP ");

    make_ready();
    connection->execute("a", {}, milliseconds{2}, [&](const Result<json::value>&) { connection.reset(); });
    connection->execute("b", {}, milliseconds{2}, note("b"));
    spin(milliseconds{6});
    EXPECT_EQ(log, "");

    make_ready();
    on_lost = [&] { connection.reset(); };
    monitor->hang_up();
    spin();
    EXPECT_EQ(log, "lost ");

    make_ready();
    connection->execute("a", {}, seconds{5}, [&](const Result<json::value>&) { connection.reset(); });
    connection->execute("b", {}, seconds{5}, note("b"));
    monitor->hang_up();
    spin();
    EXPECT_EQ(log, "");
}

TEST_F(ConnectionTest, calls_nobody_and_keeps_nothing_after_its_destructor) {
    make_ready();
    auto owned = std::make_shared<int>(7);
    const std::weak_ptr<int> seen = owned;
    connection->execute("a", {}, milliseconds{2}, [owned](const Result<json::value>&) { FAIL(); });
    connection->execute_with_fd("bad", {}, -1, milliseconds{2}, [owned](const Result<json::value>&) { FAIL(); });
    owned.reset();
    connection.reset();
    spin(milliseconds{6});
    EXPECT_TRUE(seen.expired());
    EXPECT_EQ(log, "");
}

TEST_F(ConnectionTest, says_why_it_cannot_connect_but_not_from_inside_its_constructor) {
    const auto expect_failure = [&](const std::string& to, ErrorKind kind) {
        ready.reset();
        path = to;
        open();
        EXPECT_FALSE(ready);
        spin();
        ASSERT_TRUE(ready);
        ASSERT_FALSE(ready->has_value());
        EXPECT_EQ(ready->error().kind, kind) << to_string(ready->error());
        EXPECT_EQ(lost, std::nullopt);
    };
    expect_failure(folder.file("nothing"), ErrorKind::unavailable);
    expect_failure(folder.file(std::string(200, 'x')), ErrorKind::invalid);
    expect_failure("", ErrorKind::invalid);
    // A socket file that nobody listens on any more.
    const std::string stale = folder.file("qmp.sock");
    monitor.reset();
    expect_failure(stale, ErrorKind::unavailable);
    EXPECT_EQ(ready->error().source, "Connection refused");
}

TEST_F(ConnectionTest, ends_where_the_other_side_is_no_monitor) {
    open();
    monitor->accept();
    monitor->say("SSH-2.0-OpenSSH\r\n");
    spin();
    EXPECT_EQ(log, "not-ready ");
    EXPECT_EQ(ready->error().kind, ErrorKind::corrupt);
}

TEST_F(ConnectionTest, ends_where_the_other_side_closes_before_it_greets) {
    open();
    monitor->accept();
    monitor->hang_up();
    spin();
    EXPECT_EQ(ready->error().kind, ErrorKind::unavailable);
}

TEST_F(ConnectionTest, gives_up_where_the_negotiation_gets_no_answer) {
    open(milliseconds{10});
    monitor->accept();
    monitor->say(greeting_text);
    spin(milliseconds{30});
    EXPECT_EQ(log, "not-ready ");
    EXPECT_EQ(ready->error().kind, ErrorKind::timed_out);
}

TEST_F(ConnectionTest, names_the_holder_of_a_held_monitor) {
    open();
    monitor->accept();
    auto holder = std::move(connection);
    open(milliseconds{10});
    spin_until([&] { return ready.has_value(); });
    ASSERT_FALSE(ready->has_value());
    const std::string me = "pid " + std::to_string(::getpid());
    EXPECT_EQ(ready->error().kind, ErrorKind::conflict) << to_string(ready->error());
    EXPECT_NE(ready->error().message.find(me), std::string::npos) << ready->error().message;
    EXPECT_NE(ready->error().message.find("second -qmp socket"), std::string::npos);
    // Through another name of the same file as well.
    std::filesystem::create_directory_symlink(folder.file(""), folder.file("link"));
    EXPECT_EQ(describe_monitor_holder(folder.file("link/qmp.sock")).substr(0, me.size()), me);
    EXPECT_EQ(describe_monitor_holder(folder.file("nothing")), "");
}

TEST_F(ConnectionTest, keeps_trying_while_the_queue_of_the_monitor_is_full) {
    // A backlog of 1 has room for two; the third is told EAGAIN.
    std::vector<std::unique_ptr<Connection>> others;
    for (int i = 0; i < 2; ++i) {
        others.push_back(std::make_unique<Connection>(loop, path, "source", seconds{5}, Connection::Callbacks{}));
    }
    open();
    spin(milliseconds{12});
    EXPECT_FALSE(ready);
    EXPECT_EQ(connection->peer_pid(), 0) << "not connected yet";
    monitor->accept();
    monitor->hang_up();
    spin(milliseconds{12});
    EXPECT_EQ(connection->peer_pid(), ::getpid());
}

}  // namespace
}  // namespace segue::qemu

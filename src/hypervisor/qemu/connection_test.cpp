/// \file  What a Connection does with commands, answers, events and descriptors.

#include "hypervisor/qemu/connection.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/limits.hpp"
#include "hypervisor/qemu/fake_monitor_test.hpp"

namespace segue::qemu {
namespace {

TEST_F(ConnectionTest, enables_out_of_band_where_the_greeting_offers_it) {
    open();
    monitor->accept();
    monitor->say(greeting_text);
    spin_until([&] { return monitor->heard.size() == 1; });
    EXPECT_EQ(name_of(monitor->heard[0]), "qmp_capabilities");
    EXPECT_EQ(json::serialize(monitor->heard[0].at("arguments")), R"({"enable":["oob"]})");
    EXPECT_FALSE(connection->out_of_band());
    EXPECT_FALSE(ready);
    monitor->answer(id_of(monitor->heard[0]));
    spin_until([&] { return ready.has_value(); });
    EXPECT_EQ((*ready)->version, "7.2.22");
    EXPECT_TRUE(connection->out_of_band());
    EXPECT_EQ(connection->peer_pid(), ::getpid());
}

TEST_F(ConnectionTest, does_without_out_of_band_where_it_is_not_offered) {
    make_ready(greeting_without_oob);
    EXPECT_FALSE(connection->out_of_band());
    bool inside = true;
    connection->execute_out_of_band("yank", {}, seconds{1}, [&](const Result<json::value>& result) {
        EXPECT_FALSE(inside);
        note("yank")(result);
    });
    inside = false;
    spin();
    EXPECT_EQ(log, "yank:unsupported ");
}

TEST_F(ConnectionTest, reports_a_refused_negotiation_once) {
    open();
    monitor->accept();
    connection->execute("query-status", {}, seconds{5}, note("early"));
    monitor->say(greeting_text);
    spin_until([&] { return !monitor->heard.empty(); });
    monitor->say(R"({"error":{"class":"GenericError","desc":"no"},"id":)" +
                 std::to_string(id_of(monitor->heard[0])) + "}");
    spin();
    EXPECT_EQ(log, "early:unavailable not-ready ");
    EXPECT_EQ(ready->error().source, "no");
    EXPECT_EQ(ready_calls, 1);
}

TEST_F(ConnectionTest, sends_what_was_asked_before_readiness_in_order_afterwards) {
    open();
    connection->execute("a", {}, seconds{5}, note("a"));
    connection->execute_out_of_band("yank", {}, seconds{5}, note("yank"));
    connection->execute("b", {}, seconds{5}, note("b"));
    monitor->accept();
    monitor->on_command = [&](const json::object& command) { monitor->answer(id_of(command)); };
    monitor->say(greeting_text);
    spin_until([&] { return log.size() > 20; });
    EXPECT_EQ(heard(), "qmp_capabilities yank a b ");
    EXPECT_EQ(log, "ready yank:ok a:ok b:ok ");
}

TEST_F(ConnectionTest, keeps_to_the_limit_of_outstanding_commands_and_to_their_order) {
    make_ready();
    for (const char* name : {"a", "b", "c", "d", "e", "f"}) connection->execute(name, {}, seconds{5}, note(name));
    spin();
    EXPECT_EQ(heard(), "a b c d ");
    ASSERT_EQ(monitor->heard.size(), limits::qmp_outstanding_max);
    monitor->answer(id_of(monitor->heard[1]));
    spin();
    EXPECT_EQ(heard(), "a b c d e ");
    for (std::size_t i : {0U, 2U, 3U, 4U}) monitor->answer(id_of(monitor->heard[i]));
    spin();
    EXPECT_EQ(heard(), "a b c d e f ");
    EXPECT_EQ(log, "b:ok a:ok c:ok d:ok e:ok ");
}

TEST_F(ConnectionTest, lets_out_of_band_commands_overtake) {
    make_ready();
    for (const char* name : {"a", "b", "c", "d", "e"}) connection->execute(name, {}, seconds{5}, note(name));
    connection->execute_out_of_band("yank", {}, seconds{5}, note("yank"));
    spin();
    // The socket had room, so the four were written before the yank was asked for; e still waits.
    EXPECT_EQ(heard(), "a b c d yank ");
    for (const auto& command : monitor->heard) {
        if (name_of(command) == "yank") monitor->answer(id_of(command));
    }
    spin();
    EXPECT_EQ(log, "yank:ok ");
    EXPECT_EQ(monitor->heard.size(), 5U) << "an out-of-band answer makes no room for e";
}

TEST_F(ConnectionTest, answers_at_the_deadline_and_drops_the_late_reply) {
    make_ready();
    connection->execute("slow", {}, milliseconds{5}, note("slow"));
    spin(milliseconds{8});
    EXPECT_EQ(log, "slow:timed-out ");
    monitor->answer(id_of(monitor->heard.at(0)));
    spin();
    EXPECT_EQ(log, "slow:timed-out ");
}

TEST_F(ConnectionTest, counts_commands_past_their_deadline_until_their_late_reply) {
    make_ready();
    for (const char* name : {"a", "b", "c", "d"}) connection->execute(name, {}, milliseconds{4}, note(name));
    connection->execute("unsent", {}, milliseconds{4}, note("unsent"));
    connection->execute("e", {}, seconds{5}, note("e"));
    spin(milliseconds{8});
    EXPECT_EQ(log, "a:timed-out b:timed-out c:timed-out d:timed-out unsent:timed-out ");
    EXPECT_EQ(heard(), "a b c d ") << "QEMU still has four in its queue";
    monitor->answer(id_of(monitor->heard[2]));
    spin();
    EXPECT_EQ(heard(), "a b c d e ");
}

TEST_F(ConnectionTest, hands_on_refusals_with_the_words_of_qemu) {
    make_ready();
    connection->execute("migrate", {}, seconds{5}, note("migrate"));
    connection->execute("nonsense", {}, seconds{5}, note("nonsense"));
    spin();
    monitor->say(R"({"error":{"class":"GenericError","desc":"busy"},"id":)" +
                 std::to_string(id_of(monitor->heard[0])) + "}");
    spin();
    EXPECT_EQ(log, "migrate:refused ");
    EXPECT_EQ(last_error->source, "busy");
    EXPECT_EQ(last_error->message, "source QEMU: \"migrate\" was refused");
    monitor->say(R"({"error":{"class":"CommandNotFound","desc":"?"},"id":)" +
                 std::to_string(id_of(monitor->heard[1])) + "}");
    spin();
    EXPECT_EQ(log, "migrate:refused nonsense:unsupported ");
}

TEST_F(ConnectionTest, stamps_events_on_arrival_and_ignores_complaints_and_strangers_replies) {
    make_ready();
    const Instant before = loop.now();
    monitor->say(R"({"error":{"class":"GenericError","desc":"JSON parse error"}})"
                 R"({"return":{},"id":999}{"event":"STOP"}{"return":{}})");
    spin();
    EXPECT_EQ(log, "STOP ");
    EXPECT_GT(event_at, before);
    EXPECT_LT(event_at, loop.now());
}

TEST_F(ConnectionTest, passes_each_descriptor_with_its_command_one_at_a_time) {
    make_ready();
    std::array<int, 2> pipe_fds{};
    ASSERT_EQ(::pipe2(pipe_fds.data(), O_CLOEXEC), 0);
    Fd reader(pipe_fds[0]), writer(pipe_fds[1]);
    connection->execute_with_fd("getfd", {{"fdname", "one"}}, writer.get(), seconds{5}, note("one"));
    connection->execute_with_fd("getfd", {{"fdname", "two"}}, writer.get(), seconds{5}, note("two"));
    connection->execute("query-status", {}, seconds{5}, note("status"));
    writer.reset();
    spin();
    EXPECT_EQ(heard(), "getfd ") << "QEMU keeps only the last descriptor it read";
    ASSERT_EQ(monitor->descriptors.size(), 1U);
    EXPECT_EQ(::write(monitor->descriptors[0].get(), "x", 1), 1);
    monitor->answer(id_of(monitor->heard[0]));
    spin();
    EXPECT_EQ(heard(), "getfd getfd query-status ");
    ASSERT_EQ(monitor->descriptors.size(), 2U);
    monitor->descriptors.clear();
    std::array<char, 2> buffer{};
    EXPECT_EQ(::read(reader.get(), buffer.data(), 2), 1);
    EXPECT_EQ(::read(reader.get(), buffer.data(), 2), 0) << "no copy is left open on our side";
    connection->execute_with_fd("getfd", {}, -1, seconds{5}, note("bad"));
    spin();
    EXPECT_EQ(log, "one:ok bad:refused ");
}

TEST_F(ConnectionTest, waits_for_room_and_sends_the_descriptor_of_a_large_command_once) {
    make_ready();
    monitor->stop_listening();
    // More than a unix socket's buffer (some 200 KiB) takes at once.
    const std::string large(1'500'000, 'x');
    connection->execute_with_fd("getfd", {{"fdname", large}}, monitor->client(), seconds{5}, note("large"));
    connection->execute("after", {}, seconds{5}, note("after"));
    connection->execute_out_of_band("yank", {}, seconds{5}, note("yank"));
    spin();
    EXPECT_EQ(heard(), "");
    monitor->listen();
    spin_until([&] { return monitor->heard.size() == 3; });
    EXPECT_EQ(heard(), "getfd yank after ");
    EXPECT_EQ(json::value_to<std::string>(monitor->heard[0].at("arguments").at("fdname")), large);
    EXPECT_EQ(monitor->descriptors.size(), 1U);
}

}  // namespace
}  // namespace segue::qemu

/// \file  A Connection against a monitor played by the test, on the same loop.
///        (real_qemu_connection_test.cpp has the real one.)

#include "hypervisor/qemu/connection.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_to.hpp>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view greeting_text =
    R"({"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":["oob"]}})" "\r\n";
constexpr std::string_view greeting_without_oob =
    R"({"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":[]}})" "\r\n";

class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = "/tmp/segue-test-XXXXXX";
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        path_ = name;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

/// Says only what the test makes it say, and notes what it hears.
class FakeMonitor {
public:
    FakeMonitor(Loop& loop, const std::string& path) : loop_(loop) {
        listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, path.size());
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(::listen(listener_.get(), 1), 0);
    }
    ~FakeMonitor() { hang_up(); }
    FakeMonitor(const FakeMonitor&) = delete;
    FakeMonitor& operator=(const FakeMonitor&) = delete;

    /// The next connection waits in the queue until this.
    void accept() {
        client_ = Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        ASSERT_TRUE(client_);
        listen();
    }
    void listen() { watch_ = loop_.watch_readable(client_.get(), [this] { hear(); }); }
    void stop_listening() {
        if (watch_) loop_.unwatch(*watch_);
        watch_.reset();
    }
    void say(std::string_view text) const {
        EXPECT_EQ(::send(client_.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    }
    void answer(std::uint64_t id) const { say("{\"return\":{},\"id\":" + std::to_string(id) + "}\r\n"); }
    void hang_up() {
        stop_listening();
        client_.reset();
    }
    [[nodiscard]] int client() const { return client_.get(); }

    std::vector<json::object> heard;
    std::vector<Fd> descriptors;
    std::function<void(const json::object&)> on_command;

private:
    void hear() {
        std::array<char, 65536> buffer{};
        iovec part{buffer.data(), buffer.size()};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = ::recvmsg(client_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size <= 0) return hang_up();
        if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
            descriptors.emplace_back(fd);
        }
        text_.append(buffer.data(), static_cast<std::size_t>(size));
        for (auto end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
            json::object command = json::parse(text_.substr(0, end)).as_object();
            text_.erase(0, end + 1);
            heard.push_back(command);
            if (on_command) on_command(command);
        }
    }

    Loop& loop_;
    Fd listener_, client_;
    std::optional<Loop::WatchId> watch_;
    std::string text_;
};

std::uint64_t id_of(const json::object& command) { return command.at("id").to_number<std::uint64_t>(); }
std::string name_of(const json::object& command) {
    return json::value_to<std::string>(command.at(command.contains("exec-oob") ? "exec-oob" : "execute"));
}

/// A reply in one word, with the kind of the error.
std::string word(const Result<json::value>& result) {
    return result ? "ok" : std::string(to_string(result.error().kind));
}

class ConnectionTest : public testing::Test {
protected:
    ConnectionTest() : path(folder.file("qmp.sock")), monitor(std::make_unique<FakeMonitor>(loop, path)) {}

    void open(Duration greeting_timeout = seconds{5}) {
        connection = std::make_unique<Connection>(
            loop, path, "source", greeting_timeout,
            Connection::Callbacks{[this](Result<Greeting> greeting) {
                                      ++ready_calls;
                                      ready = std::move(greeting);
                                      log += ready->has_value() ? "ready " : "not-ready ";
                                  },
                                  [this](const QmpEvent& event, Instant at) {
                                      log += event.name + " ";
                                      event_at = at;
                                      if (on_event) on_event();
                                  },
                                  [this](Error error) {
                                      log += "lost ";
                                      lost = std::move(error);
                                      if (on_lost) on_lost();
                                  }});
    }
    /// Greeted and negotiated; `heard` is empty afterwards.
    void make_ready(std::string_view greeting = greeting_text) {
        ready.reset();
        monitor->heard.clear();
        open();
        monitor->accept();
        monitor->say(greeting);
        spin_until([&] { return !monitor->heard.empty(); });
        monitor->answer(id_of(monitor->heard.at(0)));
        spin_until([&] { return ready.has_value(); });
        ASSERT_TRUE(ready->has_value()) << to_string(ready->error());
        monitor->heard.clear();
        log.clear();
    }
    Connection::OnReply note(std::string name) {
        return [this, name = std::move(name)](const Result<json::value>& result) {
            log += name + ":" + word(result) + " ";
            if (!result) last_error = result.error();
        };
    }
    void spin(Duration time = milliseconds{3}) {
        const auto end = loop.at(loop.now() + time, [this] { loop.stop(); });
        loop.run();
        loop.cancel(end);
    }
    template <class Condition>
    void spin_until(Condition condition) {
        const Instant end = loop.now() + seconds{5};
        while (!condition() && loop.now() < end) spin(milliseconds{1});
        EXPECT_TRUE(condition()) << "waited in vain";
    }
    [[nodiscard]] std::string heard() const {
        std::string names;
        for (const auto& command : monitor->heard) names += name_of(command) + " ";
        return names;
    }

    TemporaryFolder folder;
    std::string path;
    Loop loop;
    std::unique_ptr<FakeMonitor> monitor;
    std::unique_ptr<Connection> connection;
    std::optional<Result<Greeting>> ready;
    int ready_calls = 0;
    std::optional<Error> lost, last_error;
    std::string log;
    Instant event_at{};
    std::function<void()> on_event, on_lost;
};

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
    monitor->say(R"({"error":{"class":"GenericError","desc":"no"},"id":)" + std::to_string(id_of(monitor->heard[0])) + "}");
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
    monitor->say(R"({"error":{"class":"GenericError","desc":"busy"},"id":)" + std::to_string(id_of(monitor->heard[0])) + "}");
    spin();
    EXPECT_EQ(log, "migrate:refused ");
    EXPECT_EQ(last_error->source, "busy");
    EXPECT_EQ(last_error->message, "source QEMU: \"migrate\" was refused");
    monitor->say(R"({"error":{"class":"CommandNotFound","desc":"?"},"id":)" + std::to_string(id_of(monitor->heard[1])) + "}");
    spin();
    EXPECT_EQ(log, "migrate:refused nonsense:unsupported ");
}

TEST_F(ConnectionTest, stamps_events_on_arrival_and_ignores_complaints_and_strangers_replies) {
    make_ready();
    const Instant before = loop.now();
    monitor->say(R"({"error":{"class":"GenericError","desc":"JSON parse error"}}{"return":{},"id":999}{"event":"STOP"}{"return":{}})");
    spin();
    EXPECT_EQ(log, "STOP ");
    EXPECT_GT(event_at, before);
    EXPECT_LT(event_at, loop.now());
}

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

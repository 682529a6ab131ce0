/// \file  A Connection against the QEMU that is installed; skipped where there is none.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/folder_test.hpp"
#include "hypervisor/qemu/connection.hpp"
#include "io/run_loop_test.hpp"

extern char** environ;

namespace segue::qemu {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* qemu_program = "/usr/bin/qemu-system-x86_64";

/// A QEMU without a machine and with two monitors, in a folder of its own. Gone with this object.
class RealQemu {
public:
    RealQemu() {
        const std::string first = "unix:" + monitor(0) + ",server=on,wait=off";
        const std::string second = "unix:" + monitor(1) + ",server=on,wait=off";
        std::vector<std::string> words = {qemu_program, "-S",       "-nodefaults", "-display", "none", "-machine",
                                          "none",       "-qmp",     first,         "-qmp",     second};
        std::vector<char*> arguments;
        for (auto& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        EXPECT_EQ(::posix_spawn(&pid_, qemu_program, nullptr, nullptr, arguments.data(), environ), 0);
        for (int i = 0; i < 1000 && !(listening(monitor(0)) && listening(monitor(1))); ++i) {
            std::this_thread::sleep_for(milliseconds{5});
        }
    }
    ~RealQemu() { kill(); }
    RealQemu(const RealQemu&) = delete;
    RealQemu& operator=(const RealQemu&) = delete;

    [[nodiscard]] std::string monitor(int number) const { return folder_.file("qmp" + std::to_string(number)); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void stop() const {
        ::kill(pid_, SIGSTOP);
        // Its threads run on for a moment, and one of them accepts connections.
        ::waitpid(pid_, nullptr, WUNTRACED);
    }
    void go_on() const { ::kill(pid_, SIGCONT); }
    void kill() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

private:
    /// Without connecting, which would take the monitor.
    static bool listening(const std::string& path) {
        std::ifstream sockets("/proc/net/unix");
        for (std::string line; std::getline(sockets, line);) {
            if (line.ends_with(" " + path) && line.find(" 00010000 ") != std::string::npos) return true;
        }
        return false;
    }

    TestFolder folder_;
    pid_t pid_ = 0;
};

class RealQemuConnection : public testing::Test {
protected:
    void SetUp() override {
        if (::access(qemu_program, X_OK) != 0) FAIL() << "no " << qemu_program;
        qemu = std::make_unique<RealQemu>();
    }

    struct Client {
        std::unique_ptr<Connection> connection;
        std::optional<Result<Greeting>> ready;
        std::optional<Error> lost;
        std::string log;
    };

    std::unique_ptr<Client> open(const std::string& path, Duration greeting_timeout = seconds{5}) {
        auto client = std::make_unique<Client>();
        Client* raw = client.get();
        client->connection = std::make_unique<Connection>(
            loop, path, "source", greeting_timeout,
            Connection::Callbacks{[raw](Result<Greeting> greeting) { raw->ready = std::move(greeting); },
                                  [raw](const QmpEvent& event, Instant) { raw->log += event.name + " "; },
                                  [raw](Error error) { raw->lost = std::move(error); }});
        return client;
    }
    std::unique_ptr<Client> open_ready() {
        auto client = open(qemu->monitor(0));
        spin_until([&] { return client->ready.has_value(); });
        EXPECT_TRUE(client->ready->has_value()) << to_string(client->ready->error());
        return client;
    }
    template <class Condition>
    void spin_until(Condition condition) {
        ASSERT_TRUE(run_until(loop, condition)) << "waited in vain";
    }
    Result<json::value> run(Client& client, std::string_view name, json::object arguments = {}) {
        std::optional<Result<json::value>> result;
        client.connection->execute(name, std::move(arguments), seconds{10},
                                   [&](Result<json::value> reply) { result = std::move(reply); });
        spin_until([&] { return result.has_value(); });
        return *result;
    }

    Loop loop;
    std::unique_ptr<RealQemu> qemu;
};

TEST_F(RealQemuConnection, is_greeted_and_gets_out_of_band) {
    const auto client = open_ready();
    EXPECT_GE((*client->ready)->version.size(), 5U) << (*client->ready)->version;
    EXPECT_TRUE(client->connection->out_of_band());
    EXPECT_EQ(client->connection->peer_pid(), qemu->pid());
    const auto status = run(*client, "query-status");
    ASSERT_TRUE(status) << to_string(status.error());
    EXPECT_EQ(status->at("status"), "prelaunch");
}

TEST_F(RealQemuConnection, tells_refused_commands_from_unknown_ones) {
    const auto client = open_ready();
    const auto unknown = run(*client, "segue-nonsense");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(unknown.error().source, "The command segue-nonsense has not been found");
    const auto refused = run(*client, "getfd", {{"fdname", "x"}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::refused);
    EXPECT_EQ(refused.error().source, "No file descriptor supplied via SCM_RIGHTS");
}

TEST_F(RealQemuConnection, hands_events_on_before_the_reply_that_follows_them) {
    const auto client = open_ready();
    EXPECT_TRUE(run(*client, "cont"));
    EXPECT_TRUE(run(*client, "stop"));
    EXPECT_EQ(client->log, "RESUME STOP ");
}

TEST_F(RealQemuConnection, gives_qemu_two_descriptors_at_once_and_each_arrives) {
    const auto client = open_ready();
    std::array<int, 2> pipe_fds{};
    ASSERT_EQ(::pipe2(pipe_fds.data(), O_CLOEXEC | O_NONBLOCK), 0);
    Fd reader(pipe_fds[0]), writer(pipe_fds[1]);
    int answered = 0;
    for (const char* name : {"one", "two", "three"}) {
        client->connection->execute_with_fd("getfd", {{"fdname", name}}, writer.get(), seconds{10},
                                            [&](const Result<json::value>& result) {
                                                EXPECT_TRUE(result) << to_string(result.error());
                                                ++answered;
                                            });
    }
    writer.reset();
    spin_until([&] { return answered == 3; });
    char byte = 0;
    EXPECT_EQ(::read(reader.get(), &byte, 1), -1) << "QEMU holds the writing ends";
    for (const char* name : {"one", "two", "three"}) EXPECT_TRUE(run(*client, "closefd", {{"fdname", name}}));
    EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "nobody holds one any more";
}

TEST_F(RealQemuConnection, gets_every_answer_with_many_commands_and_out_of_band_among_them) {
    const auto client = open_ready();
    std::string order;
    int out_of_band = 0;
    for (int i = 0; i < 50; ++i) {
        client->connection->execute("query-migrate-parameters", {}, seconds{10}, [&, i](const Result<json::value>& r) {
            if (r) order += static_cast<char>('0' + i);
        });
        if (i % 10 == 0) {
            client->connection->execute_out_of_band("query-yank", {}, seconds{10},
                                                    [&](const Result<json::value>& r) { out_of_band += r ? 1 : 0; });
        }
    }
    spin_until([&] { return order.size() == 50 && out_of_band == 5; });
    EXPECT_TRUE(std::ranges::is_sorted(order));
}

// Not larger than this: QEMU 7.2 needs 4.3 s to read a string of 900 kB (its lexer is quadratic).
TEST_F(RealQemuConnection, takes_a_command_larger_than_the_socket_buffer) {
    const auto client = open_ready();
    const auto result = run(*client, "getfd", {{"fdname", std::string(300'000, 'x')}});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().source, "No file descriptor supplied via SCM_RIGHTS");
}

TEST_F(RealQemuConnection, names_the_holder_of_a_held_monitor_and_is_greeted_after_it) {
    const auto holder = open_ready();
    const auto second = open(qemu->monitor(0), milliseconds{30});
    spin_until([&] { return second->ready.has_value(); });
    ASSERT_FALSE(second->ready->has_value());
    EXPECT_EQ(second->ready->error().kind, ErrorKind::conflict);
    const std::string holder_text = "pid " + std::to_string(::getpid()) + " (";
    EXPECT_NE(second->ready->error().message.find(holder_text), std::string::npos) << second->ready->error().message;

    const auto heir = open(qemu->monitor(0));
    holder->connection.reset();
    spin_until([&] { return heir->ready.has_value(); });
    EXPECT_TRUE(heir->ready->has_value());
}

TEST_F(RealQemuConnection, names_a_holder_that_is_another_process) {
    // The child connects and waits to be killed; it uses only calls that are safe after fork.
    const std::string path = qemu->monitor(1);
    auto taken = open(path);
    spin_until([&] { return taken->ready.has_value(); });
    const pid_t child = ::fork();
    if (child == 0) {
        for (;;) ::pause();
    }
    ASSERT_GT(child, 0);
    // Close-on-exec does not close at fork, so that the child holds the connection when ours is gone.
    taken->connection.reset();
    EXPECT_EQ(describe_monitor_holder(path).substr(0, 4 + std::to_string(child).size()),
              "pid " + std::to_string(child));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}

TEST_F(RealQemuConnection, reports_a_blocked_qemu_that_nobody_holds_as_timed_out) {
    qemu->stop();
    const auto client = open(qemu->monitor(0), milliseconds{20});
    spin_until([&] { return client->ready.has_value(); });
    ASSERT_FALSE(client->ready->has_value());
    EXPECT_EQ(client->ready->error().kind, ErrorKind::timed_out) << client->ready->error().message;
}

TEST_F(RealQemuConnection, does_not_take_itself_for_the_holder_when_qemu_accepted_it_and_is_blocked) {
    // Taken over from the holder just as QEMU stops: the worst case is that QEMU has accepted us already.
    for (int i = 0; i < 5; ++i) {
        const auto holder = open_ready();
        const auto second = open(qemu->monitor(0), milliseconds{20});
        holder->connection.reset();
        const Instant later = loop.now() + std::chrono::microseconds{100 * i};
        while (loop.now() < later) {}
        qemu->stop();
        spin_until([&] { return second->ready.has_value(); });
        if (!second->ready->has_value()) {
            EXPECT_EQ(second->ready->error().kind, ErrorKind::timed_out) << second->ready->error().message;
        }
        qemu->go_on();
    }
}

TEST_F(RealQemuConnection, times_out_beside_a_stopped_qemu_and_goes_on_when_it_continues) {
    const auto client = open_ready();
    qemu->stop();
    int late = 0;
    for (int i = 0; i < 6; ++i) {
        client->connection->execute("query-status", {}, milliseconds{10}, [&](const Result<json::value>& result) {
            ASSERT_FALSE(result);
            EXPECT_EQ(result.error().kind, ErrorKind::timed_out);
            ++late;
        });
    }
    spin_until([&] { return late == 6; });
    qemu->go_on();
    EXPECT_TRUE(run(*client, "query-status"));
    EXPECT_EQ(late, 6);
}

TEST_F(RealQemuConnection, answers_everything_and_reports_the_loss_when_qemu_is_killed) {
    const auto client = open_ready();
    qemu->stop();
    std::vector<ErrorKind> kinds;
    for (int i = 0; i < 6; ++i) {
        client->connection->execute("query-status", {}, seconds{10}, [&](const Result<json::value>& result) {
            ASSERT_FALSE(result);
            kinds.push_back(result.error().kind);
        });
    }
    qemu->kill();
    spin_until([&] { return client->lost.has_value(); });
    EXPECT_EQ(kinds, std::vector<ErrorKind>(6, ErrorKind::unavailable));
    EXPECT_EQ(client->lost->kind, ErrorKind::unavailable);
}

TEST_F(RealQemuConnection, ends_cleanly_when_qemu_quits) {
    const auto client = open_ready();
    EXPECT_TRUE(run(*client, "quit"));
    spin_until([&] { return client->lost.has_value(); });
    EXPECT_EQ(client->log, "SHUTDOWN ");
}

}  // namespace
}  // namespace segue::qemu

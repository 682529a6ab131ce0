#pragma once
/// \file  A monitor played by the test, on the same loop as the Connection under test.
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
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/folder_test.hpp"
#include "base/limits.hpp"
#include "io/run_loop_test.hpp"

namespace segue::qemu {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr std::string_view greeting_text =
    R"({"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":["oob"]}})" "\r\n";
inline constexpr std::string_view greeting_without_oob =
    R"({"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":[]}})" "\r\n";

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

inline std::uint64_t id_of(const json::object& command) { return command.at("id").to_number<std::uint64_t>(); }
inline std::string name_of(const json::object& command) {
    return json::value_to<std::string>(command.at(command.contains("exec-oob") ? "exec-oob" : "execute"));
}

/// A reply in one word, with the kind of the error.
inline std::string word(const Result<json::value>& result) {
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
    void spin(Duration time = milliseconds{3}) { run_at_most(loop, time); }
    template <class Condition>
    void spin_until(Condition condition) {
        EXPECT_TRUE(run_until(loop, condition, seconds{5})) << "waited in vain";
    }
    [[nodiscard]] std::string heard() const {
        std::string names;
        for (const auto& command : monitor->heard) names += name_of(command) + " ";
        return names;
    }

    TestFolder folder;
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

}  // namespace segue::qemu

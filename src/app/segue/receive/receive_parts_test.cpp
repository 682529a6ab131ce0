#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/segue/host/receive_listener.hpp"
#include "app/segue/receive/receive_control.hpp"
#include "app/segue/receive/receive_journal.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;

const receive::Token token{"0123456789abcdef0123456789abcdef"};

TEST(StartTicks, are_those_of_a_living_process) {
    EXPECT_GT(process_of(::getpid()).start_ticks, 0U);
    EXPECT_EQ(process_of(0).start_ticks, 0U);
}

void run_until(Loop& loop, const std::function<bool()>& done) {
    const Instant until = loop.now() + std::chrono::seconds{5};
    while (!done() && loop.now() < until) {
        loop.at(loop.now() + milliseconds{5}, [&loop] { loop.stop(); });
        loop.run();
    }
}

struct Listening {
    Loop& loop;
    std::optional<Result<DataAddress>> opened;
    std::optional<Fd> data;
    std::vector<std::string> refused;
    std::unique_ptr<ReceiveListener> listener;

    Listening(Loop& l, const receive::Listen& request) : loop(l) {
        listener = std::make_unique<ReceiveListener>(
            loop, request,
            ReceiveListener::Callbacks{[this](Result<DataAddress> address) { opened = std::move(address); },
                                       [this](Fd fd) { data = std::move(fd); },
                                       [this](std::string who) { refused.push_back(std::move(who)); }});
        run_until(loop, [this] { return opened.has_value(); });
    }
    [[nodiscard]] Fd connect() const {
        Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons((*opened)->port);
        ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
        const bool there = ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
        return there ? std::move(socket) : Fd();
    }
};

receive::Listen at_loopback(std::uint16_t first = 0, std::uint16_t last = 0) {
    return {receive::RequestId{1}, "127.0.0.1", 0, first, last, token};
}

TEST(ReceiveListener, leaves_what_follows_the_token_in_the_socket) {
    Loop loop;
    Listening listening(loop, at_loopback());
    const Fd source = listening.connect();
    const std::string said = token.hex + "\nstream";
    ASSERT_EQ(::send(source.get(), said.data(), said.size(), 0), static_cast<ssize_t>(said.size()));
    run_until(loop, [&] { return listening.data.has_value(); });
    ASSERT_TRUE(listening.data);
    std::array<char, 16> rest{};
    EXPECT_EQ(::recv(listening.data->get(), rest.data(), rest.size(), 0), 6);
    EXPECT_FALSE(listening.connect()) << "nobody is let in after the first right token";
}

TEST(ReceiveListener, refuses_a_wrong_token_and_goes_on) {
    Loop loop;
    Listening listening(loop, at_loopback());
    const Fd stranger = listening.connect();
    const std::string wrong = std::string(32, '0') + "\n";
    ASSERT_EQ(::send(stranger.get(), wrong.data(), wrong.size(), 0), 33);
    run_until(loop, [&] { return !listening.refused.empty(); });
    EXPECT_EQ(listening.refused.size(), 1U);
    EXPECT_FALSE(listening.data);
    EXPECT_TRUE(listening.connect());
}

TEST(ReceiveListener, takes_the_first_free_port_of_a_range) {
    Loop loop;
    const Listening first(loop, at_loopback());
    ASSERT_TRUE(*first.opened);
    const std::uint16_t port = (*first.opened)->port;
    const Listening second(loop, at_loopback(port, static_cast<std::uint16_t>(port + 20)));
    ASSERT_TRUE(*second.opened) << to_string(second.opened->error());
    EXPECT_GT((*second.opened)->port, port);
    const Listening third(loop, at_loopback(port, port));
    ASSERT_FALSE(*third.opened);
    EXPECT_EQ(third.opened->error().kind, ErrorKind::conflict);
}

TEST(ReceiveListener, refuses_an_address_of_another_host) {
    Loop loop;
    receive::Listen request = at_loopback();
    request.host = "192.0.2.7";
    const Listening listening(loop, request);
    ASSERT_FALSE(*listening.opened);
}

TEST(ReceiveControl, ends_with_a_source_that_does_not_read) {
    Loop loop;
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    const Fd ours(pair[0]);
    const Fd theirs(pair[1]);
    std::string why;
    ReceiveControl control(loop, ours.get(), ours.get(), {[](receive::Message) {}, [&](std::string w) { why = w; }});
    for (int i = 0; i < 1000; ++i) control.send(receive::LogLine{std::string(2000, 'x')});
    EXPECT_TRUE(why.empty()) << "never from inside send";
    run_until(loop, [&] { return !why.empty(); });
    EXPECT_EQ(why, "the source does not read");
    EXPECT_FALSE(control.open());
}

}  // namespace
}  // namespace segue

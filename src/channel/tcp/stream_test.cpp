#include "channel/tcp/stream.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/fd.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A listener on 127.0.0.1 that reads and counts until its end.
class Sink {
public:
    Sink() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(address);
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(listener_.get(), 1), 0);
        EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        port_ = ntohs(address.sin_port);
    }
    ~Sink() {
        close();
        if (thread_.joinable()) thread_.join();
    }
    void close() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        listener_.reset();
    }
    void start() {
        thread_ = std::thread([this] {
            const Fd peer(::accept(listener_.get(), nullptr, nullptr));
            std::vector<char> buffer(1 << 20);
            for (ssize_t n = 0; (n = ::read(peer.get(), buffer.data(), buffer.size())) > 0;) received_ += n;
            ended_ = true;
        });
    }
    /// Instead of `start`: what came until the end.
    [[nodiscard]] std::string read_all() const {
        const Fd peer(::accept(listener_.get(), nullptr, nullptr));
        std::string all;
        std::array<char, 4096> buffer{};
        for (ssize_t n = 0; (n = ::read(peer.get(), buffer.data(), buffer.size())) > 0;) {
            all.append(buffer.data(), static_cast<std::size_t>(n));
        }
        return all;
    }
    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::int64_t received() const { return received_; }
    [[nodiscard]] bool ended() const { return ended_; }

private:
    Fd listener_;
    std::uint16_t port_ = 0;
    std::atomic<std::int64_t> received_{0};
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

struct TcpStreamTest : testing::Test {
    Loop loop;
    Sink sink;  // Outlives the stream, whose end ends its thread.
    TcpStream stream{loop};
    std::optional<Result<StreamSample>> answer;

    void connect(const StreamConnect& where, Duration timeout = seconds{2}) {
        stream.connect(where, timeout, [this](Result<StreamSample> result) {
            answer = std::move(result);
            loop.stop();
        });
        EXPECT_FALSE(answer) << "answered from inside of connect";
        loop.run();
    }
    void wait(Duration time) {
        loop.at(loop.now() + time, [this] { loop.stop(); });
        loop.run();
    }
};

/// Writes as QEMU does, blocking, until the stream ends.
struct Writer {
    explicit Writer(int fd_in)
        : fd(fd_in), thread([this] {
              const std::vector<char> buffer(256 * 1024);
              while (::send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL) > 0) {}
              error_number = errno;
              ended = true;
          }) {}
    ~Writer() {
        ::shutdown(fd, SHUT_RDWR);
        thread.join();
    }
    int fd;
    std::atomic<int> error_number{0};
    std::atomic<bool> ended{false};
    std::thread thread;
};

void expect_paced(TcpStreamTest& test, std::int64_t mib) {
    test.sink.start();
    const ByteRate cap = mebibytes_per_second(mib);
    test.connect({"127.0.0.1", test.sink.port(), cap});
    ASSERT_TRUE(*test.answer) << to_string(test.answer->error());
    Writer writer(test.stream.fd());
    test.wait(milliseconds{300});
    const auto begin = test.stream.read();
    int busy = 0;
    for (int i = 0; i < 20; ++i) {
        test.wait(milliseconds{50});
        busy += test.stream.read()->not_sent.count > 0 ? 1 : 0;
    }
    const auto end = test.stream.read();
    test.stream.cut();
    const ByteRate rate = (end->acked - begin->acked) / (end->at - begin->at);
    const double paced = static_cast<double>(pacing_for(cap, end->segment).per_second);
    // Never above the cap; below it a busy machine may fall (tests/system measures how near it comes).
    EXPECT_GE(static_cast<double>(rate.per_second), paced * 0.5);
    EXPECT_LE(rate, cap);
    EXPECT_GE(busy, 10) << "the queue runs dry between writes";
    // At most 12.5 ms of it, and one write's rest.
    EXPECT_LT(end->not_sent.count, cap.per_second / 80 + 256 * 1024);
    EXPECT_FALSE(end->broken);
}

TEST_F(TcpStreamTest, keeps_100_mib_per_second_and_its_queue_busy_and_short) { expect_paced(*this, 100); }
TEST_F(TcpStreamTest, keeps_10_mib_per_second_and_its_queue_busy_and_short) { expect_paced(*this, 10); }

TEST_F(TcpStreamTest, counts_the_time_in_which_something_was_on_its_way) {
    sink.start();
    // Its queue lasts for 60 ms: a writer that is kept from running for less is not seen.
    connect({"127.0.0.1", sink.port(), mebibytes_per_second(2)});
    ASSERT_TRUE(*answer) << to_string(answer->error());
    const auto idle_from = stream.read();
    wait(milliseconds{200});
    const auto idle_to = stream.read();
    EXPECT_LE(idle_to->busy - idle_from->busy, milliseconds{12}) << "nothing was written";
    Writer writer(stream.fd());
    wait(milliseconds{100});
    const auto busy_from = stream.read();
    wait(milliseconds{200});
    const auto busy_to = stream.read();
    stream.cut();
    // In ticks of the kernel, of which the slowest usual ones take 10 ms.
    EXPECT_GE(busy_to->busy - busy_from->busy, busy_to->at - busy_from->at - milliseconds{20});
    EXPECT_LE(busy_to->busy - busy_from->busy, busy_to->at - busy_from->at + milliseconds{40});
}

TEST_F(TcpStreamTest, is_blocking_once_connected) {
    connect({"127.0.0.1", sink.port(), {}});
    ASSERT_TRUE(*answer) << to_string(answer->error());
    EXPECT_EQ(::fcntl(stream.fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_GT((*answer)->segment.count, 0);
    EXPECT_FALSE((*answer)->broken);
}

TEST_F(TcpStreamTest, can_be_read_and_cut_whatever_the_blocking_flag_says) {
    sink.start();
    connect({"127.0.0.1", sink.port(), {}});
    ASSERT_TRUE(*answer);
    for (const int flags : {0, O_NONBLOCK}) {
        ASSERT_EQ(::fcntl(stream.fd(), F_SETFL, flags), 0);
        EXPECT_TRUE(stream.read());
    }
    stream.cut();
    wait(milliseconds{50});
    EXPECT_TRUE(sink.ended());
}

TEST_F(TcpStreamTest, a_new_pace_holds_at_once) {
    sink.start();
    connect({"127.0.0.1", sink.port(), mebibytes_per_second(10)});
    ASSERT_TRUE(*answer);
    Writer writer(stream.fd());
    wait(milliseconds{200});
    stream.pace(mebibytes_per_second(50));
    wait(milliseconds{100});
    double part = 0;
    for (int turn = 0; turn < 5 && part < 0.5; ++turn) {  // Others take of the CPU what they take.
        const auto begin = stream.read();
        wait(milliseconds{500});
        const auto end = stream.read();
        const auto rate = (end->acked - begin->acked) / (end->at - begin->at);
        part = static_cast<double>(rate.per_second) / (50 * 1024 * 1024);
        EXPECT_LE(part, 1.06);
    }
    stream.cut();
    EXPECT_GE(part, 0.5);
}

TEST_F(TcpStreamTest, a_cut_ends_a_blocked_writer_and_its_peer) {
    // Slow, so that the writer is blocked in the kernel.
    sink.start();
    connect({"127.0.0.1", sink.port(), mebibytes_per_second(2)});
    ASSERT_TRUE(*answer);
    Writer writer(stream.fd());
    wait(milliseconds{200});
    EXPECT_GT(stream.read()->acked.count, 0);
    ASSERT_FALSE(writer.ended);
    const Instant before = loop.now();
    stream.cut();
    while (!writer.ended && loop.now() - before < seconds{1}) wait(milliseconds{1});
    EXPECT_TRUE(writer.ended);
    EXPECT_LT(loop.now() - before, milliseconds{100});
    EXPECT_EQ(writer.error_number, EPIPE);
    EXPECT_TRUE(stream.read()->broken);
    wait(milliseconds{300});
    EXPECT_TRUE(sink.ended());
}

TEST_F(TcpStreamTest, shows_a_peer_that_is_gone) {
    connect({"127.0.0.1", sink.port(), {}});
    ASSERT_TRUE(*answer);
    sink.close();
    wait(milliseconds{20});
    EXPECT_TRUE(stream.read()->broken);
}

TEST_F(TcpStreamTest, a_refused_connection_names_the_option) {
    sink.close();
    connect({"127.0.0.1", sink.port(), {}});
    ASSERT_FALSE(*answer);
    EXPECT_EQ(answer->error().kind, ErrorKind::unavailable);
    EXPECT_NE(answer->error().message.find("--data-address"), std::string::npos) << answer->error().message;
    EXPECT_EQ(answer->error().source, "Connection refused");
    EXPECT_EQ(stream.fd(), -1);
    EXPECT_FALSE(stream.read());
    stream.cut();
}

TEST_F(TcpStreamTest, says_the_token_and_a_newline_before_it_answers_and_nothing_more) {
    connect({"127.0.0.1", sink.port(), mebibytes_per_second(1), std::string(32, 'a')});
    ASSERT_TRUE(*answer) << to_string(answer->error());
    ASSERT_EQ(::send(stream.fd(), "stream", 6, MSG_NOSIGNAL), 6);
    stream.cut();
    EXPECT_EQ(sink.read_all(), std::string(32, 'a') + "\nstream");
}

TEST_F(TcpStreamTest, says_nothing_without_a_token) {
    connect({"127.0.0.1", sink.port(), {}});
    ASSERT_TRUE(*answer);
    stream.cut();
    EXPECT_EQ(sink.read_all(), "");
}

TEST_F(TcpStreamTest, names_are_looked_up_and_all_their_addresses_tried) {
    // localhost is ::1 as well where IPv6 is on, and nothing listens there.
    sink.start();
    connect({"localhost", sink.port(), {}});
    EXPECT_TRUE(*answer) << to_string(answer->error());
}

TEST_F(TcpStreamTest, a_name_without_an_address_is_an_error) {
    connect({"no such host.invalid", 1, {}}, seconds{20});
    ASSERT_FALSE(*answer);
    EXPECT_NE(answer->error().message.find("--data-address"), std::string::npos) << answer->error().message;
}

TEST_F(TcpStreamTest, gives_up_at_its_deadline) {
    // A full backlog: the kernel drops the further SYNs, which looks like a filtering firewall.
    const Fd full(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(::bind(full.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(full.get(), 0), 0);
    ASSERT_EQ(::getsockname(full.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    const Fd first(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(first.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    connect({"127.0.0.1", ntohs(address.sin_port), {}}, milliseconds{100});
    ASSERT_FALSE(*answer);
    EXPECT_NE(answer->error().message.find("no connection within"), std::string::npos) << answer->error().message;
}

TEST_F(TcpStreamTest, may_be_destroyed_by_its_answer) {
    auto owned = std::make_unique<TcpStream>(loop);
    owned->connect({"127.0.0.1", sink.port(), {}}, seconds{2}, [&](const Result<StreamSample>&) {
        owned.reset();
        loop.stop();
    });
    loop.run();
    EXPECT_FALSE(owned);
}

}  // namespace
}  // namespace segue

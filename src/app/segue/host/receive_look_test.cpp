#include "app/segue/host/receive_look.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <memory>
#include <optional>

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Addresses = Result<std::vector<SocketAddress>>;

Addresses loopback(std::uint16_t port) {
    SocketAddress address;
    auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    ::inet_pton(AF_INET, "127.0.0.1", &in->sin_addr);
    address.size = sizeof *in;
    return std::vector{address};
}

struct ReceiveLookTest : testing::Test {
    Loop loop;
    std::promise<void> answer_now;
    std::shared_future<void> answered = answer_now.get_future().share();
    std::optional<std::vector<Obstacle>> found;
    int times = 0;

    /// Hangs until it is told to answer, or for 30 s, as the system's does.
    Resolver::LookUp hanging() {
        return [answered = answered](const std::string&, std::uint16_t port) {
            answered.wait_for(seconds{30});
            return loopback(port);
        };
    }
    void look(ReceiveLook& at, const receive::DataPlace& place) {
        at.look_at_data(place, [this](std::vector<Obstacle> obstacles) {
            found = std::move(obstacles);
            ++times;
            loop.stop();
        });
        EXPECT_FALSE(found) << "answered from inside of look_at_data";
    }
    void run(Duration most) {
        const auto timer = loop.at(loop.now() + most, [this] { loop.stop(); });
        loop.run();
        loop.cancel(timer);
    }
};

TEST_F(ReceiveLookTest, SaysThatANameServiceDoesNotAnswer) {
    ReceiveLook at(loop, hanging(), milliseconds{200});
    const Instant began = loop.now();
    look(at, {"slow.example", 0, 0, 0});
    EXPECT_TRUE(at.under_way());
    run(seconds{3});
    ASSERT_TRUE(found) << "it hangs";
    EXPECT_GE(loop.now() - began, milliseconds{200});
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ(found->front().code, "data-address");
    EXPECT_EQ(found->front().what, "the address of 'slow.example' given as --data-address was not found within 0.2 s: "
                                   "its name service does not answer");
    EXPECT_FALSE(at.under_way());
    // What is found later is nobody's.
    answer_now.set_value();
    run(milliseconds{100});
    EXPECT_EQ(times, 1);
}

TEST_F(ReceiveLookTest, FindsNothingWhereTheNameServiceAnswersInTime) {
    ReceiveLook at(loop, hanging(), milliseconds{300});
    look(at, {"quick.example", 0, 0, 0});
    answer_now.set_value();
    run(seconds{3});
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->empty());
    run(milliseconds{400});
    EXPECT_EQ(times, 1) << "and its time is over then, too";
}

TEST_F(ReceiveLookTest, SaysThatAPortIsTaken) {
    const Fd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(taken.get(), 1), 0);
    ::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &size);
    ReceiveLook at(loop);
    look(at, {"127.0.0.1", ntohs(address.sin_port), 0, 0});
    run(seconds{3});
    ASSERT_TRUE(found && found->size() == 1);
    EXPECT_EQ(found->front().code, "data-port");
}

TEST_F(ReceiveLookTest, IsGivenUpWithoutAWordAndCanBeginAnew) {
    ReceiveLook at(loop, hanging(), milliseconds{50});
    look(at, {"slow.example", 0, 0, 0});
    run(milliseconds{10});
    at.give_up();
    EXPECT_FALSE(at.under_way());
    answer_now.set_value();
    run(milliseconds{150});
    EXPECT_EQ(times, 0);
    look(at, {"slow.example", 0, 0, 0});
    run(seconds{3});
    EXPECT_EQ(times, 1);
    EXPECT_TRUE(found && found->empty());
}

TEST_F(ReceiveLookTest, EndsWithItsOwnerWithoutAWord) {
    {
        ReceiveLook at(loop, hanging(), milliseconds{50});
        look(at, {"slow.example", 0, 0, 0});
        run(milliseconds{10});
    }
    run(milliseconds{150});
    EXPECT_EQ(times, 0);
    answer_now.set_value();
}

}  // namespace
}  // namespace segue

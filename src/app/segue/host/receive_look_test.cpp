#include "app/segue/host/receive_look.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "channel/tcp/hanging_names_test.hpp"
#include "io/run_loop_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct ReceiveLookTest : testing::Test {
    Loop loop;
    HangingNames names;
    std::optional<std::vector<Obstacle>> found;
    int times = 0;

    void look(ReceiveLook& at, const receive::DataPlace& place) {
        at.look_at_data(place, [this](std::vector<Obstacle> obstacles) {
            found = std::move(obstacles);
            ++times;
            loop.stop();
        });
        EXPECT_FALSE(found) << "answered from inside of look_at_data";
    }
};

TEST_F(ReceiveLookTest, SaysThatANameServiceDoesNotAnswer) {
    ReceiveLook at(loop, names.look_up(), milliseconds{200});
    const Instant began = loop.now();
    look(at, {"slow.example", 0, 0, 0});
    EXPECT_TRUE(at.under_way());
    run_at_most(loop, seconds{3});
    ASSERT_TRUE(found) << "it hangs";
    EXPECT_GE(loop.now() - began, milliseconds{200});
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ(found->front().code, "data-address");
    EXPECT_EQ(found->front().what, "the address of 'slow.example' given as --data-address was not found within 0.2 s: "
                                   "its name service does not answer");
    EXPECT_FALSE(at.under_way());
    // What is found later is nobody's.
    names.let_go();
    run_at_most(loop, milliseconds{100});
    EXPECT_EQ(times, 1);
}

TEST_F(ReceiveLookTest, FindsNothingWhereTheNameServiceAnswersInTime) {
    ReceiveLook at(loop, names.look_up(), milliseconds{300});
    look(at, {"quick.example", 0, 0, 0});
    names.let_go();
    run_at_most(loop, seconds{3});
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->empty());
    run_at_most(loop, milliseconds{400});
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
    run_at_most(loop, seconds{3});
    ASSERT_TRUE(found && found->size() == 1);
    EXPECT_EQ(found->front().code, "data-port");
}

TEST_F(ReceiveLookTest, IsGivenUpWithoutAWordAndCanBeginAnew) {
    ReceiveLook at(loop, names.look_up(), milliseconds{50});
    look(at, {"slow.example", 0, 0, 0});
    run_at_most(loop, milliseconds{10});
    at.give_up();
    EXPECT_FALSE(at.under_way());
    names.let_go();
    run_at_most(loop, milliseconds{150});
    EXPECT_EQ(times, 0);
    look(at, {"slow.example", 0, 0, 0});
    run_at_most(loop, seconds{3});
    EXPECT_EQ(times, 1);
    EXPECT_TRUE(found && found->empty());
}

TEST_F(ReceiveLookTest, EndsWithItsOwnerWithoutAWord) {
    {
        ReceiveLook at(loop, names.look_up(), milliseconds{50});
        look(at, {"slow.example", 0, 0, 0});
        run_at_most(loop, milliseconds{10});
    }
    run_at_most(loop, milliseconds{150});
    EXPECT_EQ(times, 0);
    names.let_go();
}

}  // namespace
}  // namespace segue

// The rules of the greeting, the leases and the word, one by one.
#include "receive/session_fixture_test.hpp"

namespace segue::receive::test {
namespace {

TEST_F(ReceiveSession, AnOlderPeerThatSpeaksOurVersionIsGreeted) {
    world.start_session();
    world.say(hello(true, 1, 2));
    pass(10 * ms);
    EXPECT_EQ(stage(), Stage::idle);
    EXPECT_TRUE(last<Hello>());
}

TEST_F(ReceiveSession, APeerWithoutACommonVersionIsRefusedInClearWords) {
    world.start_session();
    world.say(hello(true, 2, 2));
    ASSERT_TRUE(last<Failed>());
    EXPECT_EQ(last<Failed>()->error.message,
              "the source speaks versions 2 to 2 of the protocol, this segue 1 to 1: update the older one");
    EXPECT_EQ(world.exit_status, 0);
}

TEST_F(ReceiveSession, NothingIsDoneBeforeTheGreeting) {
    world.start_session();
    world.say(Prepare{RequestId{1}, "", {"/usr/bin/qemu"}, {}});
    EXPECT_EQ(stage(), Stage::over);
    EXPECT_FALSE(world.qemu.alive);
}

/// Its shell builds the command: where nobody did, there is nothing to start.
TEST_F(ReceiveSession, AVmWithoutACommandIsNotStarted) {
    world.start_session();
    world.say(hello(true, 1, 1));
    pass(10 * ms);
    world.say(Prepare{RequestId{1}, "", {}, {}, VmText{"name = 'a'", "u"}});
    ASSERT_TRUE(last<Failed>());
    EXPECT_EQ(last<Failed>()->error.kind, ErrorKind::unsupported);
    EXPECT_EQ(stage(), Stage::idle);
    EXPECT_FALSE(world.qemu.alive);
}

TEST_F(ReceiveSession, AWordOnAFreshLeaseRunsTheGuest) {
    connect();
    EXPECT_EQ(stage(), Stage::connected);
    world.say(Word{RequestId{5}, newest()});
    pass(30 * ms);
    EXPECT_EQ(stage(), Stage::running);
    EXPECT_TRUE(last<Running>());
    EXPECT_EQ(status().run_state, RunState::running);
    EXPECT_TRUE(status().accepted);
}

TEST_F(ReceiveSession, LeasesCountUpEvery100ms) {
    connect();
    const auto before = newest();
    pass_alive(seconds{1});
    EXPECT_EQ(newest() - before, 10U);
}

TEST_F(ReceiveSession, AWordOnALeaseOver300msOldIsRefusedForGood) {
    connect();
    const auto old = newest();
    pass_alive(450 * ms);
    world.say(Word{RequestId{5}, old});
    pass(30 * ms);
    ASSERT_TRUE(last<Refused>());
    EXPECT_FALSE(last<Refused>()->dead);
    world.say(Word{RequestId{6}, newest()});
    pass(30 * ms);
    EXPECT_EQ(last<Refused>()->request, RequestId{6});
    EXPECT_EQ(world.qemu.state, RunState::paused);
}

TEST_F(ReceiveSession, AWordOnALeaseNeverSentIsRefused) {
    connect();
    world.say(Word{RequestId{5}, newest() + 1});
    pass(30 * ms);
    EXPECT_TRUE(last<Refused>());
    EXPECT_EQ(world.qemu.state, RunState::paused);
}

TEST_F(ReceiveSession, AWordBeforeTheGuestIsLoadedIsRefused) {
    listen();
    world.say(Word{RequestId{5}, newest()});
    pass(30 * ms);
    EXPECT_TRUE(last<Refused>());
    connect();
}

TEST_F(ReceiveSession, AWordWhileQemuStillLoadsIsRefused) {
    listen();
    world.data_arrives();
    pass(1 * ms);
    world.say(Word{RequestId{5}, newest()});
    pass(30 * ms);
    EXPECT_TRUE(last<Refused>());
    EXPECT_EQ(world.qemu.state, RunState::inmigrate);
}

TEST_F(ReceiveSession, ASecondWordChangesNothing) {
    connect();
    world.say(Word{RequestId{5}, newest()});
    world.say(Word{RequestId{6}, newest()});
    pass(30 * ms);
    EXPECT_EQ(last<Refused>()->request, RequestId{6});
    EXPECT_EQ(last<Running>()->request, RequestId{5});
}

}  // namespace
}  // namespace segue::receive::test

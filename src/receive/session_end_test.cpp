// Aborts, lost sources, and what the next session finds.
#include "receive/session_fixture_test.hpp"

namespace segue::receive::test {
namespace {

TEST_F(ReceiveSession, AnAbortIsAnsweredWhenItIsDeadAndRecorded) {
    world.faults.fsync_max = 500 * ms;
    connect();
    pass_alive(seconds{1});
    world.say(Abort{RequestId{5}, "cancelled"});
    pass(seconds{1});
    EXPECT_TRUE(last<Died>());
    EXPECT_TRUE(last<Aborted>());
    EXPECT_TRUE(world.journal.known.tombstone);
    EXPECT_FALSE(world.qemu.alive);
}

TEST_F(ReceiveSession, AReplayedAbortAfterTheWordIsRefusedWithTheTruth) {
    connect();
    world.say(Word{RequestId{5}, newest()});
    pass(30 * ms);
    world.say(Abort{RequestId{6}, "replayed"});
    pass(30 * ms);
    EXPECT_EQ(last<Refused>()->request, RequestId{6});
    EXPECT_EQ(world.qemu.state, RunState::running);
}

TEST_F(ReceiveSession, ATombstoneHoldsInANewSession) {
    connect();
    world.say(Abort{RequestId{5}, "cancelled"});
    pass(100 * ms);
    greet();
    EXPECT_EQ(stage(), Stage::aborted);
    world.say(Word{RequestId{6}, 1});
    world.say(Finish{RequestId{7}});
    world.say(Prepare{RequestId{8}, "", {"/usr/bin/qemu"}, {}});
    pass(100 * ms);
    EXPECT_EQ(last<Refused>()->request, RequestId{7});
    EXPECT_EQ(last<Failed>()->request, RequestId{8});
    EXPECT_FALSE(world.qemu.alive);
}

TEST_F(ReceiveSession, ASilentSourceLosesItsDestinationAfterTwoSeconds) {
    connect();
    pass_alive(seconds{3});
    EXPECT_TRUE(world.qemu.alive);
    pass(1850 * ms);
    EXPECT_TRUE(world.qemu.alive);
    pass(400 * ms);
    EXPECT_FALSE(world.qemu.alive);
    EXPECT_TRUE(world.journal.known.tombstone);
    EXPECT_EQ(world.exit_status, 1);
}

TEST_F(ReceiveSession, APingThatQuotesAnOldLeaseIsNoSignOfLife) {
    connect();
    const auto old = newest();
    for (int i = 0; i < 25; ++i) { world.say(Ping{old}); pass(100 * ms); }
    EXPECT_FALSE(world.qemu.alive);
}

TEST_F(ReceiveSession, ALostConnectionAfterTheWordLeavesTheGuestRunning) {
    connect();
    world.say(Word{RequestId{5}, newest()});
    world.disconnect();
    pass(seconds{10});
    EXPECT_EQ(world.qemu.state, RunState::running);
    EXPECT_TRUE(world.qemu.alive);
    EXPECT_EQ(world.exit_status, 0);
}

TEST_F(ReceiveSession, AWaitingQemuThatWasOnlyReadIsLeftAlone) {
    prepare(false);
    EXPECT_EQ(stage(), Stage::prepared);
    world.disconnect();
    pass(seconds{5});
    EXPECT_TRUE(world.qemu.alive);
    EXPECT_EQ(world.exit_status, 0);
}

TEST_F(ReceiveSession, AWaitingQemuThatWasChangedIsEnded) {
    connect(false);
    world.disconnect();
    pass(seconds{5});
    EXPECT_FALSE(world.qemu.alive);
    EXPECT_EQ(world.exit_status, 1);
}

TEST_F(ReceiveSession, WhatWasPutBackIsLeftAlone) {
    prepare(false);
    world.say(ClearAutostart{RequestId{2}});
    pass(10 * ms);
    world.say(PutBack{RequestId{3}});
    pass(10 * ms);
    world.say(Bye{});
    pass(seconds{5});
    EXPECT_TRUE(world.qemu.alive);
}

TEST_F(ReceiveSession, SettingsThatAreStillBeingMadeArePutBackAfterwards) {
    prepare(false);
    world.say(ClearAutostart{RequestId{2}});
    pass(10 * ms);
    world.say(Settings{RequestId{3}});
    world.say(PutBack{RequestId{4}});
    EXPECT_FALSE(last<Did>() && last<Did>()->request == RequestId{4}) << "before the settings were made";
    pass(10 * ms);
    EXPECT_EQ(last<Did>()->request, RequestId{4});
    world.say(Bye{});
    pass(seconds{5});
    EXPECT_TRUE(world.qemu.alive);
}

TEST_F(ReceiveSession, AQemuThatWaitedWaitsAgainWhenNoDataConnectionCameAndItsSettingsArePutBack) {
    listen(false);
    ASSERT_EQ(stage(), Stage::listening);
    world.say(PutBack{RequestId{5}});
    pass(10 * ms);
    EXPECT_EQ(last<Did>()->request, RequestId{5});
    EXPECT_EQ(status().stage, Stage::prepared);
    world.say(Bye{});
    pass(seconds{5});
    EXPECT_TRUE(world.qemu.alive);
    EXPECT_EQ(world.qemu.state, RunState::inmigrate);
}

TEST_F(ReceiveSession, ADataConnectionThatNobodyAwaitsEndsTheDestination) {
    listen(false);
    world.say(PutBack{RequestId{5}});
    pass(10 * ms);
    world.feed(DataConnected{Result<void>{}});
    pass(seconds{1});
    EXPECT_FALSE(world.qemu.alive);
}

TEST_F(ReceiveSession, AnAcceptedGuestIsFinishedByTheNextSession) {
    connect();
    world.faults.fsync_max = 50 * ms;
    world.say(Word{RequestId{5}, newest()});
    const bool recorded = world.run_until([&] { return world.journal.known.accepted; }, seconds{1});
    ASSERT_TRUE(recorded);
    world.kill_session();
    pass(seconds{5});
    EXPECT_TRUE(world.qemu.alive);
    greet();
    if (world.qemu.state == RunState::paused) {
        EXPECT_EQ(status().stage, Stage::accepted);
        world.say(Abort{RequestId{6}, "no"});
        EXPECT_TRUE(last<Refused>());
        world.say(Finish{RequestId{7}});
        pass(50 * ms);
    }
    EXPECT_EQ(status().stage, Stage::running);
    EXPECT_EQ(world.qemu.state, RunState::running);
}

TEST_F(ReceiveSession, AnAcceptedGuestThatMayHaveRunIsNeitherContinuedNorEnded) {
    connect();
    world.faults.fsync_max = 50 * ms;
    world.say(Word{RequestId{5}, newest()});
    ASSERT_TRUE(world.run_until([&] { return world.journal.known.accepted; }, seconds{1}));
    world.kill_session();
    pass(seconds{1});
    // It ran, and the session did not live to record it; then the guest failed.
    world.journal.known.ran = false;
    world.qemu.state = RunState::other;
    greet();
    world.say(Finish{RequestId{7}});
    pass(500 * ms);
    EXPECT_EQ(last<Failed>()->request, RequestId{7});
    EXPECT_EQ(status().stage, Stage::accepted);
    EXPECT_TRUE(world.qemu.alive);
    EXPECT_FALSE(world.journal.tombstone_asked);
}

TEST_F(ReceiveSession, AWordThatCannotBeRecordedEndsTheDestination) {
    connect();
    world.faults.fsync_fails = 1;
    world.say(Word{RequestId{5}, newest()});
    pass(100 * ms);
    EXPECT_TRUE(last<Refused>()->dead);
    EXPECT_FALSE(world.qemu.alive);
    world.say(Abort{RequestId{6}, "again"});
    pass(100 * ms);
    EXPECT_EQ(last<Failed>()->request, RequestId{6});  // Dead, but the tombstone is not durable.
    world.faults.fsync_fails = 0;
    world.say(Abort{RequestId{7}, "again"});
    pass(100 * ms);
    EXPECT_EQ(last<Aborted>()->request, RequestId{7});
}

TEST_F(ReceiveSession, ThatARefusedContNeverRanIsOnTheDiskBeforeItsQemuIsKilled) {
    connect();
    world.faults.cont_refused = true;
    world.faults.fsync_max = 50 * ms;
    world.say(Word{RequestId{5}, newest()});
    ASSERT_TRUE(world.run_until([&] { return !world.qemu.alive; }, seconds{1}));
    EXPECT_TRUE(world.journal.known.tombstone);
    pass(10 * ms);
    EXPECT_TRUE(last<Refused>()->dead);
}

TEST_F(ReceiveSession, ARefusedContThatCannotBeRecordedKeepsItsQemuUntilItCan) {
    connect();
    world.faults.cont_refused = true;
    world.faults.fsync_max = 5 * ms;
    world.say(Word{RequestId{5}, newest()});
    ASSERT_TRUE(world.run_until([&] { return world.journal.known.accepted; }, seconds{1}));
    world.faults.fsync_fails = 1;
    pass(seconds{2});
    EXPECT_TRUE(world.qemu.alive);
    EXPECT_FALSE(last<Refused>());
    world.faults.fsync_fails = 0;
    pass(seconds{1});
    EXPECT_TRUE(last<Refused>()->dead);
    EXPECT_FALSE(world.qemu.alive);
    EXPECT_TRUE(world.journal.known.tombstone);
}

TEST_F(ReceiveSession, AGuardianThatKilledFirstMakesTheWordTooLate) {
    connect();
    world.qemu.alive = false;  // Unseen as yet: no notice.
    world.say(Word{RequestId{5}, newest()});
    pass(100 * ms);
    EXPECT_TRUE(last<Refused>());
    EXPECT_FALSE(last<Running>());
}

TEST_F(ReceiveSession, ADeathAfterTheWordIsAGuestCrashAndNoRefusal) {
    connect();
    world.say(Word{RequestId{5}, newest()});
    pass(30 * ms);
    world.die();
    pass(30 * ms);
    EXPECT_TRUE(last<Died>()->accepted);
    world.say(Abort{RequestId{6}, "x"});
    EXPECT_EQ(last<Refused>()->request, RequestId{6});
    EXPECT_FALSE(last<Aborted>());
}

TEST_F(ReceiveSession, AGuestThatSomebodyElseContinuesIsEnded) {
    connect();
    world.feed(GuestNotice{DstResumed{}});
    pass(100 * ms);
    EXPECT_FALSE(world.qemu.alive);
}

// ---- What the journal is to say of its end

TEST_F(ReceiveSession, EndsAsTheSourceSaysThatItEnded) {
    prepare(false);
    const std::string why = "disk0 is not the same storage on both sides";
    expect_end(Bye{"refused", why}, "refused", why);
    EXPECT_TRUE(world.qemu.alive);
}

TEST_F(ReceiveSession, EndsAsTheSourceSaysAlsoWhereItHadToUndo) {
    connect();
    world.say(Abort{RequestId{5}, "rolled back"});
    pass(100 * ms);
    expect_end(Bye{"cancelled", "the user cancelled"}, "cancelled", "the user cancelled");
}

TEST_F(ReceiveSession, EndsAsPlannedWithASourceThatOnlyAskedAndSaysNothing) {
    prepare();
    expect_end(Bye{}, "planned", "");
    EXPECT_FALSE(world.qemu.alive);
}

TEST_F(ReceiveSession, EndsAsFailedWithASourceThatListenedAndSaysNothing) {
    listen(false);
    world.say(PutBack{RequestId{5}});
    pass(10 * ms);
    expect_end(Bye{}, "failed", "");
}

TEST_F(ReceiveSession, EndsAsFailedWithTheReasonWhereTheConnectionIsLostInsteadOfABye) {
    prepare(false);
    world.disconnect();
    pass(seconds{5});
    EXPECT_EQ(world.ended.outcome, "failed");
    EXPECT_TRUE(world.ended.why.starts_with("the connection to the source ended")) << world.ended.why;
}

TEST_F(ReceiveSession, EndsAsFailedWithWhatEndedItFirst) {
    connect();
    pass_alive(seconds{1});
    pass(seconds{3});
    expect_end(Bye{}, "failed", "the source gave no sign of life for 2 s");
}

TEST_F(ReceiveSession, EndsAsFailedAfterARecoverThatFoundAnOrphan) {
    connect();
    world.kill_session();
    world.qemu.alive = false;
    greet();
    world.say(Abort{RequestId{5}, "rolled back"});
    pass(100 * ms);
    expect_end(Bye{}, "failed", "aborted by the source: rolled back");
}

TEST_F(ReceiveSession, ASilentPeerIsLeftAfterAMinute) {
    greet();
    pass(seconds{59});
    EXPECT_EQ(stage(), Stage::idle);
    pass(seconds{2});
    EXPECT_EQ(world.exit_status, 0);
}

}  // namespace
}  // namespace segue::receive::test

// The table of docs/journal-format.md, cell by cell.
#include "recovery/recovery_table_test.hpp"

namespace segue {
namespace {

// ---- rows 1 and 2

TEST_F(RecoveryTable, ClosesAMoveThatChangedNothing) {
    source_at(RunState::running, MigrationStatus::none);
    recover(at_guarding);
    expect_on_source();
    EXPECT_EQ(world.put_back, "");
    EXPECT_FALSE(world.has(undoing));
}

TEST_F(RecoveryTable, LeavesAWaitingQemuOfThisHostAloneThatWasOnlyRead) {
    world.remote = false;
    source_at(RunState::running, MigrationStatus::none);
    world.dst_state = RunState::inmigrate;
    recover(at_guarding);
    expect_on_source();
    EXPECT_TRUE(world.alive);
}

// ---- rows 3 to 6

TEST_F(RecoveryTable, LeavesARunningSourceRunningAndPutsItsSettingsBack) {
    source_at(RunState::running, MigrationStatus::cancelled);
    recover(at_copying);
    expect_on_source();
    EXPECT_EQ(world.put_back, "script");
    EXPECT_TRUE(world.has(undoing) && world.has(rolled_back));
    EXPECT_TRUE(world.barred);
    EXPECT_FALSE(world.announced);
}

TEST_F(RecoveryTable, CancelsAMigrationThatIsStillUnderWay) {
    source_at(RunState::running, MigrationStatus::active);
    recover(at_copying);
    expect_on_source();
    EXPECT_EQ(world.src_status, MigrationStatus::cancelled);
}

TEST_F(RecoveryTable, CancelsAtPreSwitchoverAndAnnouncesTheGuest) {
    source_at(RunState::finish_migrate, MigrationStatus::pre_switchover);
    recover(at_continued);
    expect_on_source();
    EXPECT_TRUE(world.announced);
}

TEST_F(RecoveryTable, YanksAMigrationThatSendsItsLastBytes) {
    source_at(RunState::finish_migrate, MigrationStatus::device);
    recover(at_continued);
    expect_on_source();
}

TEST_F(RecoveryTable, ContinuesASourceThatCompletedAfterTheDestinationWasEnded) {
    recover(at_continued);
    expect_on_source();
    EXPECT_EQ(world.source_runs, 1);
    EXPECT_TRUE(world.barred);
}

TEST_F(RecoveryTable, ContinuesACompletedSourceBeforeTheWordWithoutItsDestination) {
    world.reachable = false;
    recover(at_continued);
    expect_on_source();
    EXPECT_NE(world.summary.error.find("lease"), std::string::npos) << world.summary.error;
}

TEST_F(RecoveryTable, TriesAgainWhileTheImagesAreLocked) {
    world.runs_refused = 20;
    recover(at_continued);
    expect_on_source();
    EXPECT_EQ(world.source_runs, 21);
}

TEST_F(RecoveryTable, StaysUnfinishedWhenTheSourceCannotBeContinuedForHalfAMinute) {
    world.runs_refused = 1'000'000;
    world.begin(at_continued);
    world.recover();
    EXPECT_EQ(world.summary.outcome, Outcome::unknown);
    EXPECT_TRUE(world.summary.unfinished);
    world.runs_refused = 0;
    world.recover();
    expect_on_source();
}

TEST_F(RecoveryTable, DoesNotContinueAGuestThatSomebodyPaused) {
    source_at(RunState::paused, MigrationStatus::cancelled);
    recover(at_copying);
    EXPECT_EQ(world.summary.outcome, Outcome::failed);
    EXPECT_EQ(world.source_runs, 0);
    EXPECT_EQ(world.src_state, RunState::paused);
}

TEST_F(RecoveryTable, DoesNotContinueAGuestThatWasPausedBeforeAnyMigration) {
    source_at(RunState::paused, MigrationStatus::none);
    recover({guarding, preparing});
    EXPECT_EQ(world.source_runs, 0);
    EXPECT_EQ(world.put_back, "script");
}

class NotLive : public RecoveryTable, public testing::WithParamInterface<MigrationStatus> {};
TEST_P(NotLive, ContinuesAGuestThatItsMoveHasStopped) {
    source_at(RunState::paused, GetParam());
    recover({guarding, preparing, stop_may_be_sent, migrate_may_be_sent});
    expect_on_source();
    EXPECT_EQ(world.source_runs, 1);
    EXPECT_TRUE(world.announced);
}
INSTANTIATE_TEST_SUITE_P(Ended, NotLive, testing::Values(MigrationStatus::none, MigrationStatus::cancelled,
                                                         MigrationStatus::failed));

TEST_F(RecoveryTable, CancelsTheMigrationOfAGuestThatItsMoveHasStopped) {
    source_at(RunState::paused, MigrationStatus::active);
    recover({guarding, preparing, stop_may_be_sent, migrate_may_be_sent});
    expect_on_source();
    EXPECT_EQ(world.src_status, MigrationStatus::cancelled);
}

TEST_F(RecoveryTable, DoesNotContinueAGuestThatSomebodyPausedAfterItWasContinued) {
    source_at(RunState::paused, MigrationStatus::cancelled);
    recover({guarding, preparing, stop_may_be_sent, migrate_may_be_sent, undoing, rolled_back});
    EXPECT_EQ(world.source_runs, 0);
    EXPECT_EQ(world.summary.outcome, Outcome::failed);
}

TEST_F(RecoveryTable, CallsASourceThatEndedBeforeTheWordACrashAndEndsTheDestination) {
    world.source = RecoveryCase::Source::gone;
    recover(at_copying);
    expect_crashed();
    EXPECT_TRUE(world.barred);
}

TEST_F(RecoveryTable, StartsNothingWhenTheDestinationAcceptedAWordThatTheJournalDoesNotKnow) {
    accepted(RunState::running);
    recover(at_continued);
    EXPECT_EQ(world.summary.outcome, Outcome::unknown);
    EXPECT_EQ(world.source_runs, 0);
}

// ---- row 7

TEST_F(RecoveryTable, AbortsADestinationThatAcceptedNoWordAndRunsTheSource) {
    recover(at_word);
    expect_on_source();
    EXPECT_TRUE(world.has(word_answered_refused));
    EXPECT_TRUE(world.barred);
}

TEST_F(RecoveryTable, RunsTheSourceWhenTheDestinationHasATombstone) {
    world.barred = true;
    world.alive = false;
    recover(at_word);
    expect_on_source();
}

TEST_F(RecoveryTable, RunsTheSourceWhenTheDestinationTookItsAcceptanceBack) {
    world.accepted = world.barred = true;
    world.alive = false;
    recover(at_word);
    expect_on_source();
}

TEST_F(RecoveryTable, FinishesAMoveWhoseGuestRunsOnTheDestination) {
    accepted(RunState::running);
    recover(at_word);
    expect_moved();
    EXPECT_TRUE(world.has(word_answered_running) && world.has(moved));
    EXPECT_EQ(world.destination_runs, 0);
}

TEST_F(RecoveryTable, ContinuesTheDestinationThatAcceptedTheWordAndStands) {
    accepted(RunState::paused);
    recover(at_word);
    expect_moved();
    EXPECT_EQ(world.destination_runs, 1);
}

TEST_F(RecoveryTable, RunsTheSourceWhenTheDestinationCannotContinueWhatItAccepted) {
    accepted(RunState::paused);
    world.finish_refused = true;
    recover(at_word);
    expect_on_source();
}

TEST_F(RecoveryTable, RunsNoStaleCopyWhenTheDestinationLostTheGuestThatItOwned) {
    accepted(RunState::other);
    world.alive = false;
    recover(at_word);
    expect_crashed();
    EXPECT_FALSE(world.ended);
}

TEST_F(RecoveryTable, AsksAgainWhileTheDestinationDecides) {
    accepted(RunState::running);
    world.undecided_reads = 7;
    recover(at_word);
    expect_moved();
    EXPECT_EQ(world.kills, 0);
}

TEST_F(RecoveryTable, FinishesWhenTheWordIsAcceptedJustBeforeTheAbort) {
    world.accepts_late = true;
    recover(at_word);
    expect_moved();
}

TEST_F(RecoveryTable, StartsNothingWhileTheDestinationCannotBeReachedAndNamesBothWaysOut) {
    world.reachable = false;
    recover(at_word);
    expect_unknown();
    for (const char* word : {"ssh://root@host2", "segue recover 1", "--fenced host2 --confirm qmp:/run/a.qmp"}) {
        EXPECT_NE(world.summary.error.find(word), std::string::npos) << world.summary.error;
    }
}

TEST_F(RecoveryTable, FinishesAtTheSecondTryWhenTheDestinationAnswersAgain) {
    world.reachable = false;
    recover(at_word);
    world.reachable = true;
    accepted(RunState::paused);
    world.recover();
    expect_moved();
}

TEST_F(RecoveryTable, TreatsADestinationWithoutARecordAsUnreachable) {
    world.forgotten = true;
    recover(at_word);
    expect_unknown();
    EXPECT_EQ(world.kills, 0);
}

TEST_F(RecoveryTable, RollsBackARunningSourceEvenIfTheDestinationCannotBeReached) {
    source_at(RunState::running, MigrationStatus::failed);
    world.reachable = false;
    recover(at_word);
    expect_on_source();
}

TEST_F(RecoveryTable, RollsBackASourceThatNeverCompletedEvenIfTheDestinationCannotBeReached) {
    source_at(RunState::finish_migrate, MigrationStatus::device);
    world.reachable = false;
    recover(at_word);
    expect_on_source();
    EXPECT_EQ(world.source_runs, 0);
}

TEST_F(RecoveryTable, FinishesAMoveWhoseSourceIsGone) {
    world.source = RecoveryCase::Source::gone;
    accepted(RunState::paused);
    recover(at_word);
    EXPECT_EQ(world.summary.outcome, Outcome::moved);
    EXPECT_TRUE(world.dst_runs());
}

TEST_F(RecoveryTable, CallsASourceThatIsGoneACrashWhenTheDestinationAcceptedNothing) {
    world.source = RecoveryCase::Source::gone;
    recover(at_word);
    expect_crashed();
    EXPECT_TRUE(world.barred);
}

TEST_F(RecoveryTable, FinishesThereAndSaysThatTheSilentSourceIsLeft) {
    world.source = RecoveryCase::Source::silent;
    accepted(RunState::running);
    recover(at_word);
    EXPECT_EQ(world.summary.outcome, Outcome::moved);
    EXPECT_TRUE(world.summary.unfinished);
    EXPECT_NE(world.summary.error.find("stale"), std::string::npos);
}

TEST_F(RecoveryTable, DoesNotContinueAnotherGuestAtTheSourcesSocket) {
    world.src_uuid = "guest-2";
    world.src_state = RunState::paused;
    recover(at_word);
    EXPECT_EQ(world.summary.outcome, Outcome::unknown);
    EXPECT_EQ(world.source_runs, 0);
}

// ---- row 7 on one host

TEST_F(RecoveryTable, EndsALoadedDestinationOfThisHostAndRunsTheSource) {
    world.remote = false;
    recover(at_word);
    expect_on_source();
    EXPECT_FALSE(world.alive);
}

TEST_F(RecoveryTable, FinishesAMoveToThisHostWhoseDestinationRuns) {
    world.remote = false;
    world.dst_state = RunState::running;
    recover(at_word);
    expect_moved();
    EXPECT_EQ(world.kills, 0);
}

TEST_F(RecoveryTable, StartsNothingWhenADestinationOfThisHostIsGoneThatMayHaveRun) {
    world.remote = false;
    world.alive = false;
    recover(at_word);
    expect_unknown();
    EXPECT_EQ(world.summary.guest_on, GuestOn::nowhere);
}

TEST_F(RecoveryTable, WaitsForTheGuardianThatHasEndedTheDestinationAndBringsTheSourceBack) {
    world.remote = false;
    world.alive = false;
    world.runs_by_itself_after = 4;
    recover(at_word);
    expect_on_source();
    EXPECT_EQ(world.source_runs, 0);
}

TEST_F(RecoveryTable, TakesTheOperatorsWordWhereADestinationOfThisHostIsGone) {
    world.remote = false;
    world.alive = false;
    world.fenced = true;
    recover(at_word);
    expect_on_source();
    EXPECT_TRUE(world.has(destination_fenced));
}

TEST_F(RecoveryTable, NeverTouchesAnotherGuestAtTheDestinationsSocket) {
    world.remote = false;
    world.dst_uuid = "guest-2";
    world.dst_state = RunState::running;
    source_at(RunState::finish_migrate, MigrationStatus::pre_switchover);
    recover(at_copying);
    expect_on_source();
    EXPECT_EQ(world.kills, 0);
}

TEST_F(RecoveryTable, DoesNotTakeALivingQemuOfThisHostForFenced) {
    world.remote = false;
    world.reachable = false;
    world.fenced = true;
    recover(at_word);
    expect_unknown();
    EXPECT_FALSE(world.has(destination_fenced));
}

// ---- fenced

TEST_F(RecoveryTable, RunsTheSourceWhenTheUnreachableDestinationIsFenced) {
    world.reachable = false;
    world.fenced = true;
    recover(at_word);
    expect_on_source();
    EXPECT_TRUE(world.has(destination_fenced));
}

TEST_F(RecoveryTable, RefusesToFenceADestinationThatAnswers) {
    world.fenced = true;
    recover(at_word);
    EXPECT_EQ(world.summary.outcome, Outcome::refused);
    EXPECT_TRUE(world.summary.unfinished);
    EXPECT_FALSE(world.has(destination_fenced));
    EXPECT_EQ(world.source_runs + world.kills, 0);
}

TEST_F(RecoveryTable, GoesOnFromAFenceThatIsInTheJournal) {
    world.reachable = false;
    recover(and_then(at_word, {destination_fenced}));
    expect_on_source();
}

TEST_F(RecoveryTable, RunsNothingWhenTheFenceCannotBeWritten) {
    world.reachable = false;
    world.fenced = true;
    world.journal_breaks = Error{ErrorKind::refused, "disk full", ""};
    recover(at_word);
    expect_unknown();
}

// ---- rows 8 to 12

TEST_F(RecoveryTable, EndsTheStaleSourceOfAMoveThatWasAnswered) {
    accepted(RunState::running);
    recover(and_then(at_word, {word_answered_running}));
    expect_moved();
}

TEST_F(RecoveryTable, TakesTheJournalsWordForAMoveWhoseDestinationCannotBeReached) {
    accepted(RunState::running);
    world.reachable = false;
    recover(and_then(at_word, {word_answered_running, moved}));
    expect_moved();
}

TEST_F(RecoveryTable, EndsNothingWhenAStaleCopyWasContinued) {
    source_at(RunState::running, MigrationStatus::completed);
    accepted(RunState::running);
    world.two_from_the_start = true;
    recover(and_then(at_word, {word_answered_running}));
    EXPECT_EQ(world.summary.outcome, Outcome::unknown);
    EXPECT_FALSE(world.ended);
}

TEST_F(RecoveryTable, LeavesTheSourceStandingWhenMovedCannotBeWritten) {
    accepted(RunState::running);
    world.journal_breaks = Error{ErrorKind::refused, "disk full", ""};
    recover(and_then(at_word, {word_answered_running}));
    EXPECT_EQ(world.summary.outcome, Outcome::moved);
    EXPECT_TRUE(world.summary.unfinished);
    EXPECT_FALSE(world.ended);
}

TEST_F(RecoveryTable, GoesOnWithARollbackThatWasBegun) {
    recover(and_then(at_continued, {undoing}));
    expect_on_source();
}

TEST_F(RecoveryTable, GoesOnAfterARefusedWord) {
    world.accepted = world.barred = true;
    world.alive = false;
    recover(and_then(at_word, {word_answered_refused}));
    expect_on_source();
}

TEST_F(RecoveryTable, PutsTheSettingsBackAfterARollback) {
    source_at(RunState::running, MigrationStatus::cancelled);
    recover(and_then(at_copying, {undoing, rolled_back}));
    expect_on_source();
    EXPECT_EQ(world.put_back, "script");
}

TEST_F(RecoveryTable, SaysThatItDoesNotKnowTheSettingsThatTheJournalHadNoRoomFor) {
    source_at(RunState::running, MigrationStatus::cancelled);
    world.prepared_with = "{}";
    recover(at_copying);
    expect_on_source();
    EXPECT_EQ(world.put_back, "");
    EXPECT_NE(world.summary.error.find("settings"), std::string::npos) << world.summary.error;
}

// ---- others

TEST_F(RecoveryTable, StopsAtOnceWhenAnotherProcessTookTheMoveOver) {
    world.steal_after = 0;
    recover(at_continued);
    expect_unknown();
    EXPECT_NE(world.summary.error.find("taken over"), std::string::npos) << world.summary.error;
}

TEST_F(RecoveryTable, RunsTheSourceAlthoughTheDiskIsFull) {
    world.journal_breaks = Error{ErrorKind::refused, "disk full", ""};
    world.begin(at_continued);
    world.recover();
    EXPECT_TRUE(world.src_runs());
}

TEST_F(RecoveryTable, EndsWithoutAnythingWhenItIsCancelledWhileItReads) {
    world.begin(at_word);
    RecoveryCase what;
    what.record = *world.journal.load(world.job);
    what.remote = true;
    Recovery machine(what);
    static_cast<void>(machine.start({}));
    const auto effects = machine.step(CancelRequested{}, {});
    ASSERT_FALSE(effects.empty());
    const auto* end = std::get_if<Finish>(&effects.back());
    ASSERT_NE(end, nullptr);
    EXPECT_EQ(end->summary.outcome, Outcome::cancelled);
    EXPECT_TRUE(end->summary.unfinished);
}

}  // namespace
}  // namespace segue

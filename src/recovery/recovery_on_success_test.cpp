// What the operator wants done after a move, where segue died before it was.
#include "recovery/recovery_table_test.hpp"

namespace segue {
namespace {

TEST_F(RecoveryTable, RunsWhatTheOperatorWantsDoneBeforeItEndsTheSource) {
    world.begun_with = R"({"on_success":"sv down web1"})";
    accepted(RunState::running);
    recover(at_word);
    expect_moved();
    EXPECT_EQ(world.on_success, std::vector<std::string>{"sv down web1"});
    EXPECT_TRUE(world.has(on_success_ran));
}

TEST_F(RecoveryTable, RunsItAlsoWhereTheSourceIsGone) {
    world.begun_with = R"({"on_success":"sv down web1"})";
    world.source = RecoveryCase::Source::gone;
    accepted(RunState::running);
    recover(and_then(at_word, {word_answered_running, moved}));
    EXPECT_EQ(world.on_success.size(), 1U);
}

TEST_F(RecoveryTable, DoesNotRunItTwiceWhereItHasRun) {
    world.begun_with = R"({"on_success":"sv down web1"})";
    accepted(RunState::running);
    recover(and_then(at_word, {word_answered_running, moved, on_success_ran}));
    expect_moved();
    EXPECT_TRUE(world.on_success.empty());
}

TEST_F(RecoveryTable, LeavesTheSourceStandingWhenThatFailsAndTriesAgain) {
    world.begun_with = R"({"on_success":"sv down web1"})";
    world.on_success_fails = true;
    accepted(RunState::running);
    recover(at_word);
    EXPECT_EQ(world.summary.outcome, Outcome::moved);
    EXPECT_TRUE(world.summary.unfinished);
    EXPECT_FALSE(world.ended);
    EXPECT_NE(world.summary.error.find("--on-success did not succeed: it ended with status 1"), std::string::npos);
    world.on_success_fails = false;
    world.recover();
    expect_moved();
    EXPECT_EQ(world.on_success.size(), 2U);
}

TEST_F(RecoveryTable, RunsItForNoMoveThatIsUndone) {
    world.begun_with = R"({"on_success":"sv down web1"})";
    source_at(RunState::running, MigrationStatus::active);
    recover(at_copying);
    expect_on_source();
    EXPECT_TRUE(world.on_success.empty());
}

}  // namespace
}  // namespace segue

#include "api/job_state.hpp"

#include <gtest/gtest.h>

namespace segue::job {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Instant at(int second) { return {seconds{1000 + second}}; }

State fresh() { return {{7, "qmp:/a", "h1 qmp:/a", "h2", milliseconds{300}, std::nullopt}, at(0)}; }

StageReport stage(MigrationStage stage, Duration elapsed = seconds{1}) { return {elapsed, to_string(stage)}; }

std::string refusal(const State& state) {
    const Reply reply = state.answer(CancelRequest{}, at(9));
    const auto* refused = std::get_if<Refused>(&reply);
    return refused ? refused->reason : "";
}

TEST(JobState, is_inspecting_before_the_first_report) {
    const Status status = fresh().status(at(2));
    EXPECT_EQ(status.stage, "inspecting");
    EXPECT_EQ(status.guest_on, "source");
    EXPECT_EQ(status.elapsed, seconds{2});
    EXPECT_EQ(status.job, 7);
    EXPECT_EQ(status.pass, std::nullopt);
}

TEST(JobState, keeps_the_latest_figures_and_counts_on_from_them) {
    State state = fresh();
    state.note(stage(MigrationStage::guarding, seconds{0}), at(5));
    state.note(stage(MigrationStage::copying), at(6));
    state.note(ProgressReport{seconds{2}, 1, Bytes{10}, Bytes{100}, std::nullopt, std::nullopt, std::nullopt,
                              seconds{1}, "copying"}, at(7));
    state.note(ProgressReport{seconds{3}, 2, Bytes{5}, Bytes{200}, ByteRate{50}, ByteRate{9}, milliseconds{40},
                              seconds{1}, "copying"}, at(8));
    state.note(DecisionReport{seconds{3}, "carry on", "why"}, at(8));
    const Status status = state.status(at(10));
    EXPECT_EQ(status.stage, "copying");
    EXPECT_EQ(status.elapsed, seconds{5}) << "3 s at the report, 2 s since";
    EXPECT_EQ(status.pass, 2);
    EXPECT_EQ(status.left, Bytes{5});
    EXPECT_EQ(status.sent, Bytes{200});
    EXPECT_EQ(status.blackout_now, milliseconds{40});
    EXPECT_EQ(status.max_downtime, milliseconds{300});
}

TEST(JobState, says_when_the_guest_stands_for_the_switch) {
    State state = fresh();
    for (int i = 0; i <= static_cast<int>(MigrationStage::finished); ++i) {
        const auto now = static_cast<MigrationStage>(i);
        state.note(stage(now), at(1));
        EXPECT_EQ(state.switching(), now >= MigrationStage::held && now <= MigrationStage::handing_over)
            << to_string(now);
    }
}

TEST(JobState, takes_a_cancel_until_the_word_may_be_out) {
    State state = fresh();
    for (const auto before : {MigrationStage::inspecting, MigrationStage::sampling, MigrationStage::guarding,
                              MigrationStage::preparing, MigrationStage::copying, MigrationStage::held,
                              MigrationStage::continued, MigrationStage::loaded}) {
        state.note(stage(before), at(1));
        EXPECT_EQ(refusal(state), "") << to_string(before);
    }
    state.note(stage(MigrationStage::handing_over), at(2));
    EXPECT_NE(refusal(state).find("word may have been sent"), std::string::npos);
    EXPECT_EQ(state.status(at(2)).guest_on, "unknown");
    state.note(stage(MigrationStage::closing), at(3));
    EXPECT_NE(refusal(state).find("runs on the destination"), std::string::npos);
    EXPECT_EQ(state.status(at(3)).guest_on, "destination");
    state.note(stage(MigrationStage::finished), at(3));
    EXPECT_EQ(state.status(at(3)).guest_on, "destination");
}

TEST(JobState, refuses_a_cancel_of_what_is_undone_already) {
    State state = fresh();
    state.note(stage(MigrationStage::copying), at(1));
    state.note(stage(MigrationStage::undoing), at(2));
    EXPECT_NE(refusal(state).find("being undone"), std::string::npos);
    state.note(stage(MigrationStage::closing), at(3));
    EXPECT_NE(refusal(state).find("undone already"), std::string::npos);
    EXPECT_EQ(state.status(at(3)).guest_on, "source");
}

TEST(JobState, knows_the_guest_on_the_source_after_a_refused_word_and_nowhere_for_sure_after_a_lost_one) {
    State refused = fresh();
    refused.note(stage(MigrationStage::handing_over), at(1));
    State lost = refused;
    refused.note(stage(MigrationStage::undoing), at(2));
    refused.note(stage(MigrationStage::closing), at(2));
    EXPECT_EQ(refused.status(at(3)).guest_on, "source");
    lost.note(stage(MigrationStage::finished), at(2));
    EXPECT_EQ(lost.status(at(3)).guest_on, "unknown");
}

TEST(JobState, of_a_move_that_was_refused_leaves_the_guest_on_the_source) {
    State state = fresh();
    state.note(stage(MigrationStage::finished), at(1));
    EXPECT_EQ(state.status(at(1)).guest_on, "source");
    EXPECT_NE(refusal(state).find("ended already"), std::string::npos);
}

}  // namespace
}  // namespace segue::job

#pragma once
/// \file  What the tests of the table share: journals up to each row, and what must be true in the end.

#include "recovery/recovery_world_test.hpp"

namespace segue {

using enum StepKind;
using Steps = std::vector<StepKind>;

inline const Steps at_guarding{guarding};
inline const Steps at_copying{guarding, preparing, migrate_may_be_sent};
inline const Steps at_continued{guarding, preparing, migrate_may_be_sent, held, continued};
inline const Steps at_word{guarding, preparing, migrate_may_be_sent, held, continued, word_may_be_sent};

inline Steps and_then(Steps steps, const Steps& more) {
    steps.insert(steps.end(), more.begin(), more.end());
    return steps;
}

class RecoveryTable : public testing::Test {
protected:
    RecoveryWorld world;

    void recover(const Steps& steps) {
        world.begin(steps);
        world.word_may_wait = !world.remote && row() == RecoveryRow::word;
        world.recover();
        EXPECT_EQ(world.objection, "");
    }
    RecoveryRow row() { return row_of(world.journal.load(world.job)->steps); }

    void expect_moved() {
        EXPECT_EQ(world.summary.outcome, Outcome::moved) << world.summary.error;
        EXPECT_EQ(world.summary.guest_on, GuestOn::destination);
        EXPECT_FALSE(world.summary.unfinished);
        EXPECT_TRUE(world.ended);
        EXPECT_FALSE(world.src_runs());
    }
    void expect_on_source() {
        EXPECT_EQ(world.summary.outcome, Outcome::failed) << world.summary.error;
        EXPECT_EQ(world.summary.guest_on, GuestOn::source);
        EXPECT_FALSE(world.summary.unfinished);
        EXPECT_TRUE(world.src_runs());
        EXPECT_FALSE(world.dst_runs());
    }
    void expect_crashed() {
        EXPECT_EQ(world.summary.outcome, Outcome::guest_crashed) << world.summary.error;
        EXPECT_EQ(world.summary.guest_on, GuestOn::nowhere);
        EXPECT_EQ(world.source_runs, 0);
        EXPECT_FALSE(world.summary.unfinished);
    }
    void expect_unknown() {
        EXPECT_EQ(world.summary.outcome, Outcome::unknown) << world.summary.error;
        EXPECT_TRUE(world.summary.unfinished);
        EXPECT_NE(world.summary.error.find("Next: "), std::string::npos);
        EXPECT_EQ(world.source_runs, 0);
        EXPECT_EQ(world.destination_runs, 0);
        EXPECT_FALSE(world.ended);
    }
    void source_at(RunState state, MigrationStatus status) {
        world.src_state = state;
        world.src_status = status;
    }
    void accepted(RunState state) {
        world.accepted = true;
        world.dst_state = state;
    }
};

}  // namespace segue

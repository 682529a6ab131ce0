// Every row of the table with every destination, while answers are lost and late.
#include "recovery/recovery_table_test.hpp"

namespace segue {
namespace {

struct Cell {
    Steps steps;
    std::vector<std::pair<RunState, MigrationStatus>> sources;
    bool word = false;      ///< The destination may have accepted.
    bool must_word = false; ///< It has.
};

const std::vector<Cell>& cells() {
    using S = MigrationStatus;
    using R = RunState;
    static const std::vector<Cell> all{
        {at_guarding, {{R::running, S::none}}},
        {at_copying, {{R::running, S::active}, {R::running, S::cancelled}, {R::finish_migrate, S::pre_switchover}}},
        {at_continued, {{R::finish_migrate, S::device}, {R::postmigrate, S::completed}, {R::running, S::failed}}},
        {at_word, {{R::finish_migrate, S::device}, {R::running, S::failed}}},
        {at_word, {{R::postmigrate, S::completed}}, true},
        {and_then(at_continued, {undoing}), {{R::postmigrate, S::completed}, {R::running, S::cancelled}}},
        {and_then(at_copying, {undoing, rolled_back}), {{R::running, S::cancelled}}},
        {and_then(at_word, {word_answered_running}), {{R::postmigrate, S::completed}}, true, true},
        {and_then(at_word, {word_answered_running, moved}), {{R::postmigrate, S::completed}}, true, true},
    };
    return all;
}

void choose_destination(RecoveryWorld& world, const Cell& cell) {
    const auto toss = [&](unsigned sides) { return static_cast<unsigned>(world.chance() % sides); };
    world.remote = toss(4) != 0;
    world.reachable = toss(5) != 0;
    world.undecided_reads = static_cast<int>(toss(3));
    world.finish_refused = toss(6) == 0 && !cell.must_word;
    world.runs_refused = static_cast<int>(toss(3));
    const bool accepted = cell.must_word || (cell.word && toss(2) == 0);
    if (accepted) {
        world.accepted = true;
        const bool ran = cell.must_word || !world.remote || toss(2) == 0;
        world.dst_state = ran ? RunState::running : RunState::paused;
        world.alive = !world.remote || toss(5) != 0;
        return;
    }
    world.accepts_late = cell.word && world.remote && toss(5) == 0;
    if (world.remote && !world.accepts_late && toss(3) == 0) {
        world.barred = true;
        world.alive = false;
    }
}

class RecoverySeeds : public testing::TestWithParam<int> {};

TEST_P(RecoverySeeds, NeverRunsTwoCopiesAndEndsOnceTheWorldIsHealed) {
    for (int run = 0; run < 100; ++run) {
        const auto seed = static_cast<std::uint64_t>(GetParam() * 100 + run);
        RecoveryWorld world;
        world.chance.seed(seed);
        const Cell& cell = cells()[world.chance() % cells().size()];
        const auto [state, status] = cell.sources[world.chance() % cell.sources.size()];
        world.src_state = state;
        world.src_status = status;
        choose_destination(world, cell);
        world.fenced = !world.reachable && !world.dst_runs() && !world.accepted && world.chance() % 3 == 0;
        if (world.chance() % 8 == 0) world.source = RecoveryCase::Source::gone;
        world.word_may_wait = !world.remote && cell.word;
        world.lost = world.chance() % 2 == 0 ? 0.3 : 0;
        world.slowest = std::chrono::milliseconds{world.chance() % 3000};
        world.begin(cell.steps);
        ASSERT_EQ(world.objection, "") << seed;
        world.recover();
        ASSERT_EQ(world.objection, "") << seed;
        for (int again = 0; world.summary.unfinished && again < 3; ++again) {
            world.lost = 0;
            world.reachable = true;
            world.fenced = false;
            world.recover();
            ASSERT_EQ(world.objection, "") << seed;
        }
        const bool nobody_knows = !world.remote && cell.word && !world.alive;
        ASSERT_TRUE(!world.summary.unfinished || nobody_knows) << seed << ": " << world.summary.error;
        const bool dead_guest = !world.src_runs() && !world.dst_runs();
        const bool says_crash = world.summary.outcome == Outcome::guest_crashed;
        // Moved, and ended there since.
        const bool later = world.summary.outcome == Outcome::moved && !world.alive;
        ASSERT_TRUE(!dead_guest || says_crash || nobody_knows || later) << seed << ": " << world.summary.error;
        ASSERT_TRUE(world.summary.outcome != Outcome::failed || world.src_runs()) << seed;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RecoverySeeds, testing::Range(0, 40));

}  // namespace
}  // namespace segue

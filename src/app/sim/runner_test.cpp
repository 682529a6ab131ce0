#include "app/sim/runner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>

#include "app/sim/run_text_test.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

bool contains(const RunResult& result, std::string_view what) {
    return std::any_of(result.violations.begin(), result.violations.end(),
                       [what](const std::string& violation) { return violation.find(what) != std::string::npos; });
}

Scenario with(Fault fault, Moment moment, Duration offset = Duration{0}, Duration length = seconds{1000}) {
    Scenario s = plain_scenario(7);
    s.fault = fault;
    s.moment = moment;
    s.offset = offset;
    s.length = length;
    return s;
}

/// A blackout of about a tenth of a second, so that there is time for things to happen in it.
Scenario with_long_blackout(Fault fault, Duration offset) {
    Scenario s = with(fault, Moment::continued, offset);
    s.request.bounds.max_downtime = milliseconds{500};
    s.plan.guest.shape = GuestShape::uniform;
    s.plan.guest.rate = mebibytes_per_second(60);
    s.plan.link.rate = mebibytes_per_second(100);
    return s;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t seeds_a_block = 60;
#else
constexpr std::uint64_t seeds_a_block = 250;
#endif

/// Eight blocks, so that they run side by side. ./test runs more, with the table of what struck where.
class Block : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Block, keeps_every_promise) {
    const std::uint64_t first = 1 + GetParam() * seeds_a_block;
    for (std::uint64_t seed = first; seed < first + seeds_a_block; ++seed) {
        const auto result = run_scenario(scenario_from(seed));
        ASSERT_TRUE(result.violations.empty()) << "segue-sim run --seed " << seed << '\n' << all_of(result);
    }
}

TEST_P(Block, keeps_safe_and_comes_to_an_end_with_two_faults) {
    const std::uint64_t first = 1 + GetParam() * seeds_a_block;
    for (std::uint64_t seed = first; seed < first + seeds_a_block; ++seed) {
        const auto result = run_scenario(pair_from(seed));
        ASSERT_TRUE(result.violations.empty()) << "segue-sim run --pairs --seed " << seed << '\n' << all_of(result);
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Block, testing::Range<std::uint64_t>(0, 8));

TEST(Seeds, same_seed_same_transcript) {
    for (const std::uint64_t seed : {3U, 17U, 99U, 256U}) {
        EXPECT_EQ(run_scenario(scenario_from(seed)).transcript, run_scenario(scenario_from(seed)).transcript);
    }
}

TEST(Seeds, other_seed_other_world) {
    EXPECT_NE(run_scenario(scenario_from(1)).transcript, run_scenario(scenario_from(2)).transcript);
}

/// Moves it with one monitor and with two, with and without QEMU's own word for the blackout's bandwidth.
void moves_in_each_way(const Scenario& wanted, const std::function<void(const RunResult&)>& then) {
    for (const bool own_monitor : {true, false}) {
        for (const bool native : {true, false}) {
            Scenario s = wanted;
            s.plan.guard.own_monitor = own_monitor;
            s.plan.qemu.native_switchover_bandwidth = native;
            const auto result = run_scenario(s);
            EXPECT_TRUE(result.violations.empty()) << all_of(result);
            EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
            ASSERT_TRUE(result.stood);
            then(result);
        }
    }
}

TEST(Directed, moves_when_nothing_is_wrong) {
    const Scenario s = plain_scenario(1);
    moves_in_each_way(s, [&](const RunResult& result) {
        EXPECT_LT(*result.stood, s.request.bounds.max_downtime);
    });
}

/// 128 MiB at 100 MiB/s: about a second of standing.
Scenario not_live(Scenario s) {
    s.request.non_live = true;
    s.request.bounds.timeout = seconds{10};
    return s;
}

TEST(NotLive, moves_and_stands_all_the_while_it_copies) {
    moves_in_each_way(not_live(plain_scenario(1)), [](const RunResult& result) {
        EXPECT_GT(*result.stood, milliseconds{500});
        EXPECT_GE(result.summary->downtime, *result.stood);
    });
}

TEST(NotLive, also_moves_a_guest_that_would_never_converge) {
    Scenario s = not_live(plain_scenario(1));
    s.plan.guest.shape = GuestShape::uniform;
    s.plan.guest.rate = mebibytes_per_second(1000);
    s.plan.guest.working_set = mebibytes(100);
    EXPECT_EQ(outcome_word(run_scenario(s)), "moved");
}

TEST(NotLive, whose_time_is_up_is_undone_and_the_guest_runs) {
    for (const bool own_monitor : {true, false}) {
        Scenario s = not_live(plain_scenario(1));
        s.request.bounds.timeout = milliseconds{600};
        s.plan.guard.own_monitor = own_monitor;
        const auto result = run_scenario(s);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
        ASSERT_TRUE(result.summary);
        EXPECT_EQ(result.summary->outcome, Outcome::timeout) << all_of(result);
        EXPECT_EQ(result.summary->guest_on, GuestOn::source);
        EXPECT_LE(*result.stood, milliseconds{600});
    }
}

TEST(NotLive, is_undone_by_the_guardian_at_once_when_segue_is_killed) {
    for (const bool own_monitor : {true, false}) {
        Scenario s = not_live(with(Fault::segue_killed, Moment::copying, milliseconds{300}));
        s.plan.guard.own_monitor = own_monitor;
        const auto result = run_scenario(s);
        EXPECT_TRUE(result.struck);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
        EXPECT_LE(*result.stood, milliseconds{450}) << all_of(result);
    }
}

TEST(NotLive, is_undone_by_recover_when_both_are_killed) {
    Scenario s = not_live(with(Fault::segue_and_guardian_killed, Moment::copying, milliseconds{300}));
    const auto result = run_scenario(s);
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    ASSERT_TRUE(result.recovered);
    EXPECT_EQ(result.recovered->guest_on, GuestOn::source) << all_of(result);
}

TEST(NotLive, does_not_leave_the_guest_standing_when_the_monitor_is_lost) {
    for (const bool own_monitor : {true, false}) {
        Scenario s = not_live(with(Fault::src_monitor_lost, Moment::copying, milliseconds{300}));
        s.plan.guard.own_monitor = own_monitor;
        const auto result = run_scenario(s);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
        EXPECT_LE(*result.stood, milliseconds{500}) << all_of(result);
    }
}

class CancelIn : public testing::TestWithParam<Moment> {};

TEST_P(CancelIn, leaves_the_guest_on_the_source) {
    for (const bool own_monitor : {true, false}) {
        Scenario s = with(Fault::user_cancel, GetParam());
        s.request.forecast = true;
        s.plan.guard.own_monitor = own_monitor;
        const auto result = run_scenario(s);
        EXPECT_TRUE(result.struck);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
        ASSERT_TRUE(result.summary);
        EXPECT_EQ(result.summary->outcome, Outcome::cancelled) << all_of(result);
        EXPECT_EQ(result.summary->guest_on, GuestOn::source);
    }
}

INSTANTIATE_TEST_SUITE_P(EveryStage, CancelIn,
                         testing::Values(Moment::inspecting, Moment::sampling, Moment::guarding, Moment::preparing,
                                         Moment::copying, Moment::stopping, Moment::held, Moment::continued,
                                         Moment::loaded));

class SegueKilledIn : public testing::TestWithParam<Moment> {};

TEST_P(SegueKilledIn, the_guardian_brings_the_guest_back) {
    for (const bool own_monitor : {true, false}) {
        for (const Duration offset : {Duration{0}, Duration{milliseconds{1}}}) {
            Scenario s = with(Fault::segue_killed, GetParam(), offset);
            s.plan.guard.own_monitor = own_monitor;
            const auto result = run_scenario(s);
            EXPECT_TRUE(result.violations.empty()) << all_of(result);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(EveryStage, SegueKilledIn,
                         testing::Values(Moment::guarding, Moment::preparing, Moment::copying, Moment::stopping,
                                         Moment::held, Moment::continued, Moment::loaded, Moment::closing));

class InTheBlackout : public testing::TestWithParam<Fault> {};

TEST_P(InTheBlackout, the_bound_holds) {
    for (const bool own_monitor : {true, false}) {
        for (const int offset_ms : {0, 2, 5, 20, 50}) {
            Scenario s = with_long_blackout(GetParam(), milliseconds{offset_ms});
            s.plan.guard.own_monitor = own_monitor;
            if (GetParam() == Fault::segue_stalled) s.length = seconds{6};
            const auto result = run_scenario(s);
            EXPECT_TRUE(result.violations.empty()) << all_of(result);
            ASSERT_TRUE(result.summary || GetParam() == Fault::segue_stalled) << all_of(result);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Faults, InTheBlackout,
                         testing::Values(Fault::link_collapse, Fault::black_hole, Fault::return_path_lost,
                                         Fault::dst_frozen, Fault::dst_dies, Fault::src_monitor_lost,
                                         Fault::segue_stalled, Fault::guardian_killed, Fault::cont_refused));

TEST(Directed, link_collapse_in_the_blackout_is_rolled_back_in_time) {
    const auto result = run_scenario(with_long_blackout(Fault::link_collapse, milliseconds{2}));
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "downtime-exceeded") << all_of(result);
    ASSERT_TRUE(result.stood);
    EXPECT_LE(*result.stood, milliseconds{500});
    EXPECT_GT(*result.stood, milliseconds{400});
}

TEST(Directed, slow_flush_is_undone_as_soon_as_it_can_be) {
    const auto result = run_scenario(with(Fault::slow_flush, Moment::copying, Duration{0}, milliseconds{2500}));
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "downtime-exceeded") << all_of(result);
    ASSERT_TRUE(result.stood);
    EXPECT_GT(*result.stood, milliseconds{2500});
    EXPECT_LT(*result.stood, milliseconds{2560});
}

TEST(Directed, refused_word_is_taken_back) {
    const auto result = run_scenario(with(Fault::cont_refused, Moment::copying));
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    ASSERT_TRUE(result.summary);
    EXPECT_EQ(result.summary->outcome, Outcome::failed);
    EXPECT_EQ(result.summary->guest_on, GuestOn::source);
}

TEST(Directed, a_guest_that_never_converges_is_given_up_at_the_timeout) {
    Scenario s = plain_scenario(5);
    s.plan.guest.shape = GuestShape::uniform;
    s.plan.guest.rate = mebibytes_per_second(400);
    s.plan.link.rate = mebibytes_per_second(50);
    s.request.bounds.timeout = seconds{8};
    const auto result = run_scenario(s);
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "timeout") << all_of(result);
    EXPECT_LE(result.virtual_time, milliseconds{8200});
}

TEST(Directed, a_cancel_that_is_lost_does_not_cost_the_bound) {
    for (int cancel_ms = 0; cancel_ms < 1500; cancel_ms += 10) {
        Scenario s = with(Fault::lost_answer, Moment::undoing);
        s.hurts_undo = true;
        s.cancel_first = milliseconds{cancel_ms};
        s.effect_happens = false;
        s.plan.guard.own_monitor = false;
        const auto result = run_scenario(s);
        ASSERT_TRUE(result.violations.empty()) << all_of(result);
    }
}

// ---- the destination behind segue receive

Scenario behind_receive(Fault fault, Moment moment, Duration offset = Duration{0}) {
    Scenario s = with(fault, moment, offset);
    s.request.bounds.max_downtime = milliseconds{500};
    s.request.remote = true;
    s.request.control_round_trip = milliseconds{25};
    s.plan.guard.dst_killable = false;
    s.plan.remote = {.used = true, .by_command = true, .delay = milliseconds{10},
                     .clock_offset = -seconds{700}, .clock_ppm = 200};
    return s;
}

bool says(const RunResult& result, std::string_view what) { return all_of(result).find(what) != std::string::npos; }

TEST(Remote, moves_when_nothing_is_wrong_with_clocks_that_differ) {
    for (const int ppm : {-200, 0, 200}) {
        for (const bool by_command : {true, false}) {
            Scenario s = behind_receive(Fault::none, Moment::any_time);
            s.plan.remote.clock_ppm = ppm;
            s.plan.remote.by_command = by_command;
            const auto result = run_scenario(s);
            EXPECT_TRUE(result.violations.empty()) << all_of(result);
            EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
            EXPECT_LT(*result.stood, s.request.bounds.max_downtime);
        }
    }
}

TEST(Remote, a_late_word_is_refused_and_the_guest_goes_on_at_the_source) {
    Scenario s = behind_receive(Fault::word_late, Moment::held);
    s.length = milliseconds{600};
    const auto result = run_scenario(s);
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "failed") << all_of(result);
    EXPECT_EQ(result.summary->guest_on, GuestOn::source);
}

TEST(Remote, receive_that_dies_once_it_has_accepted_is_finished_by_recover) {
    Scenario s = behind_receive(Fault::receive_killed, Moment::step_dst_accepted);
    s.plan.dst_disk.fsync_min = s.plan.dst_disk.fsync_max = milliseconds{1};
    s.offset = microseconds{1001};
    const auto result = run_scenario(s);
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "unknown+moved") << all_of(result);
}

TEST(Remote, a_destination_host_that_loses_power_before_the_word_leaves_the_guest_at_the_source) {
    const auto result = run_scenario(behind_receive(Fault::dst_host_lost, Moment::continued));
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(result.summary->guest_on, GuestOn::source) << all_of(result);
}

TEST(Remote, a_refused_cont_whose_receive_dies_comes_back_to_the_source_by_recover) {
    Scenario s = behind_receive(Fault::receive_killed, Moment::step_dst_refused);
    s.refuses_word = true;
    const auto result = run_scenario(s);
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "unknown+failed") << all_of(result);
}

/// Of the first line that says so, in virtual time since the start.
Duration time_of(const RunResult& result, std::string_view what) {
    for (const auto& line : result.transcript) {
        if (line.find(what) == std::string::npos) continue;
        double ms = 0;
        const auto begin = line.find_first_not_of(' ');
        std::from_chars(line.data() + begin, line.data() + line.size(), ms);
        return std::chrono::nanoseconds{static_cast<std::int64_t>(ms * 1e6)};
    }
    ADD_FAILURE() << "nothing says " << what;
    return Duration{0};
}

TEST(Remote, a_rollback_does_not_wait_for_a_destination_that_cannot_be_heard) {
    Scenario s = behind_receive(Fault::control_deaf_src, Moment::undoing);
    s.request.bounds.max_downtime = milliseconds{300};
    s.plan.guard.own_monitor = false;
    const auto whole = run_scenario(s);
    ASSERT_EQ(outcome_word(whole), "moved") << all_of(whole);
    s.hurts_undo = true;
    // Around the moment at which the source has completed and Segue does not know it yet.
    const Duration completed = time_of(whole, "migration completed") - time_of(whole, "-> copying");
    int killed_there = 0;
    for (Duration at = completed - milliseconds{1}; at < completed + milliseconds{1}; at += microseconds{10}) {
        s.cancel_first = at;
        const auto result = run_scenario(s);
        ASSERT_TRUE(result.violations.empty()) << all_of(result);
        const bool there = says(result, "SrcYank") && says(result, "migration completed") && says(result, "SrcRun");
        killed_there += there ? 1 : 0;
    }
    EXPECT_GT(killed_there, 0);
}

TEST(Recover, ends_the_source_that_was_left_because_moved_could_not_be_written) {
    const auto result = run_scenario(with(Fault::src_journal_fails, Moment::step_moved));
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "moved+moved") << all_of(result);
    EXPECT_TRUE(says(result, "was left standing: segue recover ends it"));
}

TEST(Recover, puts_back_what_a_refused_word_left_behind_a_lost_monitor) {
    Scenario s = with(Fault::src_monitor_lost, Moment::step_rolled_back);
    s.refuses_word = true;
    const auto result = run_scenario(s);
    EXPECT_TRUE(result.violations.empty()) << all_of(result);
    EXPECT_EQ(outcome_word(result), "failed+failed") << all_of(result);
    EXPECT_TRUE(says(result, "its monitor is lost: segue recover does it"));
}

// ---- planted bugs: each must be seen

/// Every one is found by some seed, with the fault that it draws.
class PlantedBug : public testing::TestWithParam<Planted> {};

TEST_P(PlantedBug, is_found_within_a_thousand_seeds) {
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        Scenario s = scenario_from(seed);
        s.plan.planted = GetParam();
        if (!run_scenario(s).violations.empty()) {
            RecordProperty("seed", static_cast<int>(seed));
            return;
        }
    }
    ADD_FAILURE() << "no seed saw it";
}

INSTANTIATE_TEST_SUITE_P(
    Each, PlantedBug,
    testing::Values(Planted::guardian_never_fires, Planted::word_without_claim, Planted::cancel_instead_of_cut,
                    Planted::dst_run_when_held, Planted::final_sync_left_out, Planted::put_back_left_out,
                    Planted::src_run_after_word, Planted::src_ended_early, Planted::journal_after_act,
                    Planted::accepted_not_durable, Planted::tombstone_not_durable, Planted::old_lease_taken,
                    Planted::guardian_without_lease, Planted::recover_guesses_dead, Planted::recover_ignores_accepted));

TEST(Planted, guardian_never_fires) {
    Scenario s = with(Fault::segue_killed, Moment::held);
    s.plan.planted = Planted::guardian_never_fires;
    EXPECT_TRUE(contains(run_scenario(s), "Segue died and the guest does not run on the source"));
}

TEST(Planted, word_without_claim) {
    Scenario s = plain_scenario(1);
    s.plan.planted = Planted::word_without_claim;
    EXPECT_TRUE(contains(run_scenario(s), "while the verdict was not `word`"));
}

TEST(Planted, cancel_instead_of_cut) {
    Scenario s = with_long_blackout(Fault::link_collapse, milliseconds{2});
    s.plan.planted = Planted::cancel_instead_of_cut;
    EXPECT_TRUE(contains(run_scenario(s), "the guest stood for"));
}

TEST(Planted, dst_run_when_held) {
    Scenario s = plain_scenario(1);
    s.plan.planted = Planted::dst_run_when_held;
    EXPECT_TRUE(contains(run_scenario(s), "before the source had said `completed`"));
}

TEST(Planted, final_sync_left_out) {
    Scenario s = with_long_blackout(Fault::none, Duration{0});
    s.plan.guest.rate = mebibytes_per_second(300);
    s.plan.link.rate = mebibytes_per_second(400);
    s.plan.planted = Planted::final_sync_left_out;
    EXPECT_TRUE(contains(run_scenario(s), "stale chunks"));
}

TEST(Planted, put_back_left_out) {
    Scenario s = with(Fault::user_cancel, Moment::copying);
    s.plan.planted = Planted::put_back_left_out;
    EXPECT_TRUE(contains(run_scenario(s), "settings were not put back"));
}

TEST(Planted, src_run_after_word) {
    Scenario s = plain_scenario(1);
    s.plan.planted = Planted::src_run_after_word;
    EXPECT_TRUE(contains(run_scenario(s), "two copies of the guest run"));
}

}  // namespace
}  // namespace segue::sim

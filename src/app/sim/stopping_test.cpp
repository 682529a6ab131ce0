// A braked guest is stopped by Segue as soon as its own count fits (migration/stopping.cpp), and let go of at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/sim/scripted_move_test.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view stopped = "segue     stop: ";
constexpr std::string_view stood = "src       STOP";
constexpr std::string_view held = "-> held";

class Stopping : public BrakedMove {
protected:
    /// Held to 5 % after pass 1 it dirties 20 MiB/s of a link of 100: it ends in a few rounds.
    Scenario ends(std::vector<Interference> script = {}) {
        Scenario s = braked({{.from = milliseconds{500}, .share = 0.05, .go = true}}, std::move(script));
        s.plan.guest.rate = mebibytes_per_second(400);
        s.plan.guest.working_set = mebibytes(64);
        s.request.bounds.max_downtime = milliseconds{300};
        s.request.forecast = true;
        return s;
    }

    [[nodiscard]] Duration first(std::string_view what) const {
        const auto when = times_of(what);
        EXPECT_FALSE(when.empty()) << what << '\n' << all_of(result);
        return when.empty() ? Duration{0} : when.front();
    }
    [[nodiscard]] Duration first_after(std::string_view what, Duration from) const {
        for (const Duration at : times_of(what)) {
            if (at >= from) return at;
        }
        ADD_FAILURE() << what << '\n' << all_of(result);
        return {};
    }
};

TEST_F(Stopping, a_braked_guest_stands_before_the_source_looks_and_is_let_go_of) {
    run(ends());
    EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
    ASSERT_EQ(times_of(stopped).size(), 1U) << all_of(result);
    EXPECT_LT(first(stood) - first(stopped), milliseconds{3});
    EXPECT_GE(first(held) - first(stood), milliseconds{1});
    // Asked for before STOP; what takes effect later finds a guest that stands.
    EXPECT_LT(first_after("BrakeSet", first(stopped)), first(stood));
    ASSERT_TRUE(result.summary);
    EXPECT_LE(result.summary->downtime, milliseconds{300});
    EXPECT_GT(result.summary->downtime, milliseconds{150}) << "what is allowed is used";
    ASSERT_TRUE(result.summary->budget && result.summary->pending_at_stop);
    EXPECT_LE(*result.summary->pending_at_stop, *result.summary->budget);
    EXPECT_LT(result.summary->parts.stop, milliseconds{20}) << "what was sent before pre-switchover is no stop";
}

TEST_F(Stopping, is_not_done_to_a_guest_that_runs_free) {
    Scenario s = ends();
    s.policy = [this] {
        return std::make_unique<Scripted>(std::vector<Rule>{{.from = milliseconds{500}, .go = true}}, decided, rounds);
    };
    s.plan.guest.rate = mebibytes_per_second(20);
    run(s);
    EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
    EXPECT_TRUE(times_of(stopped).empty()) << all_of(result);
}

TEST_F(Stopping, is_not_done_in_pass_1_of_which_nobody_knows_what_it_leaves) {
    Scenario s = ends();
    s.policy = [this] {
        return std::make_unique<Scripted>(std::vector<Rule>{{.share = 0.05, .go = true}}, decided, rounds);
    };
    // All of what it dirties in pass 1 would fit, and be known well enough.
    s.plan.guest.working_set = mebibytes(2);
    run(s);
    EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
    EXPECT_GE(rounds.size(), 2U) << "it was stopped before the first dirty sync\n" << all_of(result);
}

/// QEMU's main loop comes to what was asked only when the standstill is already too long, and serves its monitors in
/// turns. While it does not, nobody can make a guest run that QEMU itself has stopped: its bound is not judged here.
TEST_F(Stopping, that_comes_late_leaves_no_guest_behind) {
    run(ends());
    const Duration stop = first(stopped);
    for (const int late_ms : {5, 50, 150, 260, 300, 320, 500, 1000}) {
        const auto freeze = [](bool frozen) { return [frozen](World& world) { world.freeze_src_loop(frozen); }; };
        result = run_scenario(ends({{stop, freeze(true)}, {stop + milliseconds{late_ms}, freeze(false)}}));
        for (const auto& what : result.violations) {
            EXPECT_TRUE(what.starts_with("the guest stood for ")) << all_of(result);
        }
        ASSERT_TRUE(result.summary) << late_ms;
        EXPECT_NE(result.summary->guest_on, GuestOn::unknown) << late_ms << '\n' << all_of(result);
        const auto stops = times_of(stood);
        const auto runs = times_of(" RESUME");
        ASSERT_FALSE(runs.empty()) << late_ms << '\n' << all_of(result);
        EXPECT_TRUE(stops.empty() || runs.back() > stops.back()) << late_ms << '\n' << all_of(result);
    }
}

TEST_F(Stopping, of_a_guest_that_suddenly_writes_more_is_taken_back_at_the_sync_that_shows_it) {
    run(ends());
    const Duration stop = first(stopped);
    run(ends({{stop + std::chrono::microseconds{100}, [](World& world) { world.hurry_guest(1e5); }}}));
    EXPECT_EQ(outcome_word(result), "downtime-exceeded") << all_of(result);
    EXPECT_TRUE(times_of(held).empty()) << "seen before pre-switchover\n" << all_of(result);
    ASSERT_TRUE(result.summary);
    EXPECT_EQ(result.summary->guest_on, GuestOn::source);
    EXPECT_LT(result.summary->downtime, milliseconds{150});
}

/// Whoever dies while the guest stands and QEMU has not looked: it runs on one side again within its bound. (A stall
/// or a silence that ends soon enough is no reason to end the move.)
class StoppingStruck : public Stopping, public testing::WithParamInterface<Fault> {};

TEST_P(StoppingStruck, before_the_source_looks_does_not_keep_the_guest_standing) {
    run(ends());
    const Duration stand = first(stood);
    const Duration look = first(held);
    for (const double part : {0.1, 0.5, 0.9}) {
        Scenario s = ends();
        s.fault = GetParam();
        s.moment = Moment::stopping;
        s.offset = from_seconds(part * to_seconds(look - stand));
        s.length = seconds{2};
        run(s);
        EXPECT_TRUE(result.struck) << all_of(result);
        const auto again = times_of(" RESUME");
        ASSERT_EQ(again.size(), 1U) << all_of(result);
        EXPECT_LT(again.front() - first(stood), milliseconds{300});
    }
}

INSTANTIATE_TEST_SUITE_P(Faults, StoppingStruck,
                         testing::Values(Fault::segue_killed, Fault::segue_stalled, Fault::guardian_killed,
                                         Fault::dst_dies, Fault::black_hole, Fault::src_monitor_lost,
                                         Fault::user_cancel),
                         [](const auto& one) {
                             std::string name(to_string(one.param));
                             std::ranges::replace(name, '-', '_');
                             return name;
                         });

}  // namespace
}  // namespace segue::sim

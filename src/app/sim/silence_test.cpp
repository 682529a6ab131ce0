// A link that falls silent while the guest is braked (migration/braking.cpp, heed_silence): the brake is let go after
// 0.3 s and set again when bytes flow. And what else lets it go, or sets it again, without a decision.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "app/sim/scripted_move_test.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Silence : public BrakedMove {
protected:
    /// QEMU keeps to a cap, and the socket takes all of it: dirty syncs come while nothing gets through. It never
    /// converges; the user ends it.
    Scenario deep_buffer(std::vector<Rule> rules, std::vector<Interference> script) {
        Scenario s = braked(std::move(rules), std::move(script));
        s.plan.qemu.native_switchover_bandwidth = false;
        s.plan.guest.memory = mebibytes(32);
        s.plan.link.send_buffer = mebibytes(256);
        s.request.bounds.max_bandwidth = mebibytes_per_second(20);
        s.fault = Fault::user_cancel;
        s.moment = Moment::copying;
        s.offset = seconds{8};
        return s;
    }
};

constexpr std::string_view said = "nothing gets through";

/// Between two looks at the stream, and what a quota takes to be in force at the longest.
constexpr Duration sample = milliseconds{52};
constexpr Duration in_force = milliseconds{25};

TEST_F(Silence, lifts_the_brake_after_three_tenths_of_a_second_and_sets_it_again_when_bytes_flow) {
    run(braked({{.share = 0.2}, {.from = seconds{4}, .go = true}}, {link_at(seconds{1}, 0), link_at(seconds{2}, 1)}));
    EXPECT_EQ(shares(), "0.200 1.000 0.200 1.000") << all_of(result);
    const auto lifted = times_of("brake     1.000");
    ASSERT_EQ(lifted.size(), 2U);
    // What flowed last was seen up to a sample before or after the link fell silent.
    EXPECT_GT(lifted.front(), seconds{1} + milliseconds{300} - sample);
    EXPECT_LT(lifted.front(), seconds{1} + sample + milliseconds{300} + sample + in_force);
    const auto set = times_of("brake     0.200");
    ASSERT_EQ(set.size(), 2U);
    EXPECT_GT(set.back(), seconds{2});
    EXPECT_LT(set.back(), seconds{2} + sample + in_force);
    EXPECT_EQ(times_of(said).size(), 1U) << "said once, not at every look";
}

TEST_F(Silence, is_not_needed_a_link_that_becomes_slow_lets_the_guest_go_in_the_middle_of_its_round) {
    Scenario s = braked({{.share = 0.2}}, {link_at(seconds{1}, 0.01)});
    s.fault = Fault::user_cancel;
    s.moment = Moment::copying;
    s.offset = seconds{15};
    run(s);
    EXPECT_EQ(shares(), "0.200 1.000") << all_of(result);
    const auto when = times_of("the link has become slow");
    ASSERT_EQ(when.size(), 1U) << all_of(result);
    EXPECT_GT(when.front(), seconds{2});
    EXPECT_LT(when.front(), seconds{9});
}

TEST_F(Silence, which_begins_before_a_byte_got_through_counts_from_the_start_of_copying) {
    run(braked({{.share = 0.2}, {.from = seconds{4}, .go = true}}, {link_at(Duration{0}, 0), link_at(seconds{2}, 1)}));
    EXPECT_EQ(shares(), "0.200 1.000 0.200 1.000") << all_of(result);
    const auto when = times_of(said);
    ASSERT_EQ(when.size(), 1U);
    EXPECT_GE(when.front(), milliseconds{300});
    EXPECT_LT(when.front(), milliseconds{300} + 2 * sample);
}

TEST_F(Silence, makes_a_round_one_that_was_not_held) {
    run(braked({{.share = 0.2}, {.from = seconds{6}, .go = true}}, {link_at(seconds{3}, 0), link_at(seconds{4}, 1)}));
    ASSERT_EQ(times_of(said).size(), 1U) << all_of(result);
    // The first tells of what was before the move.
    ASSERT_GE(rounds.size(), 4U);
    EXPECT_EQ(std::count(rounds.begin() + 1, rounds.end(), 1.0), 1) << "the silent one";
    EXPECT_EQ(std::count(rounds.begin() + 1, rounds.end(), 0.2), static_cast<std::ptrdiff_t>(rounds.size()) - 2);
}

TEST_F(Silence, is_heeded_each_time_it_comes) {
    run(braked({{.share = 0.2}, {.from = seconds{5}, .go = true}},
               {link_at(seconds{1}, 0), link_at(seconds{2}, 1), link_at(seconds{3}, 0), link_at(seconds{4}, 1)}));
    EXPECT_EQ(shares(), "0.200 1.000 0.200 1.000 0.200 1.000") << all_of(result);
}

TEST_F(Silence, shorter_than_that_leaves_the_brake_as_it_is) {
    run(braked({{.share = 0.2}, {.from = seconds{3}, .go = true}},
               {link_at(seconds{1}, 0), link_at(seconds{1} + milliseconds{200}, 1)}));
    EXPECT_EQ(times_of(said).size(), 0U);
    EXPECT_EQ(shares(), "0.200 1.000") << all_of(result);
}

TEST_F(Silence, is_not_what_a_slow_link_is) {
    run(braked({{.share = 0.2}, {.from = seconds{4}, .go = true}},
               {link_at(seconds{1}, 0.02), link_at(seconds{3}, 1)}));
    EXPECT_EQ(times_of(said).size(), 0U);
    EXPECT_EQ(shares(), "0.200 1.000") << all_of(result);
}

TEST_F(Silence, is_not_what_a_source_is_that_sends_nothing) {
    const auto starve = [](bool starved) { return [starved](World& world) { world.starve_src_thread(starved); }; };
    run(braked({{.share = 0.2}, {.from = seconds{4}, .go = true}},
               {{seconds{1}, starve(true)}, {seconds{3}, starve(false)}}));
    EXPECT_EQ(times_of(said).size(), 0U);
    EXPECT_EQ(shares(), "0.200 1.000") << all_of(result);
}

TEST_F(Silence, changes_nothing_while_no_brake_is_on) {
    run(braked({{.from = seconds{3}, .share = 0.2}, {.from = seconds{5}, .go = true}},
               {link_at(seconds{1}, 0), link_at(seconds{2}, 1)}));
    EXPECT_EQ(times_of(said).size(), 0U);
    EXPECT_EQ(shares(), "0.200 1.000") << all_of(result);
    ASSERT_EQ(times_of("brake     0.200").size(), 1U);
    EXPECT_GE(times_of("brake     0.200").front(), seconds{3} - sample) << "by the policy, not by the flow";
}

TEST_F(Silence, after_go_lifts_the_brake_too_and_the_move_still_comes_to_its_end) {
    Scenario s = braked({{.share = 0.2}, {.go = true}},
                        {link_at(milliseconds{1300}, 0), link_at(milliseconds{2300}, 1)});
    s.plan.guest.rate = mebibytes_per_second(400);
    s.plan.guest.working_set = mebibytes(48);
    s.request.bounds.max_downtime = milliseconds{150};
    run(s);
    EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
    EXPECT_EQ(shares(), "0.200 1.000 0.200 1.000") << all_of(result);
    ASSERT_EQ(times_of("segue     go: ").size(), 1U);
    ASSERT_EQ(times_of(said).size(), 1U);
    EXPECT_LT(times_of("segue     go: ").front(), milliseconds{1300});
}

TEST_F(Silence, in_which_the_policy_lets_go_is_not_followed_by_the_brake) {
    run(deep_buffer({{.share = 0.2}, {.from = milliseconds{2500}, .share = 1.0}},
                    {link_at(seconds{2}, 0), link_at(seconds{5}, 1)}));
    EXPECT_EQ(times_of(said).size(), 1U);
    ASSERT_EQ(decided.size(), 2U);
    ASSERT_LT(decided.back(), seconds{5}) << "it decided in the silence, or this shows nothing";
    EXPECT_EQ(shares(), "0.200 1.000") << all_of(result);
}

TEST_F(Silence, in_which_the_policy_decides_on_another_share_is_followed_by_that) {
    run(deep_buffer({{.share = 0.2}, {.from = milliseconds{2500}, .share = 0.5}},
                    {link_at(seconds{2}, 0), link_at(seconds{5}, 1)}));
    EXPECT_EQ(times_of(said).size(), 2U);
    ASSERT_EQ(decided.size(), 2U);
    ASSERT_LT(decided.back(), seconds{5});
    // Decided in the silence it is lifted at the next look, perhaps before it was in force.
    EXPECT_TRUE(shares().ends_with("1.000 0.500 1.000")) << all_of(result);
    ASSERT_FALSE(times_of("brake     0.500").empty());
    EXPECT_GT(times_of("brake     0.500").back(), seconds{5});
}

TEST_F(Silence, at_go_is_no_reason_to_fail) {
    run(deep_buffer({{.share = 0.2}, {.from = milliseconds{2500}, .go = true}}, {link_at(seconds{2}, 0)}));
    ASSERT_EQ(decided.size(), 2U) << "it decided in the silence, or this shows nothing";
    EXPECT_EQ(outcome_word(result), "cancelled") << all_of(result);
}

/// Brakes at every fourth dirty sync and says go. The link gives way at the begin of each such round but one, and for
/// longer than a braked round is waited for.
class Unlucky final : public Policy {
public:
    Unlucky(World*& world, int spared) : world_(world), spared_(spared) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "unlucky"; }
    [[nodiscard]] Decision decide(const View&) override {
        if (++syncs_ % 4 != 0) return {CarryOn{}, {}, all_of_it};
        if (++braked_ != spared_) {
            world_->link_factor(0.02);
            world_->agenda().after(seconds{6}, [world = world_] { world->link_factor(1); });
        }
        return {AllowSwitchover{}, {}, Share{0.2}};
    }

private:
    World*& world_;
    int spared_;
    int syncs_ = 0;
    int braked_ = 0;
};

class SlowRounds : public Silence {
protected:
    World* world = nullptr;

    void run_spared(int spared) {
        Scenario s = braked({}, {{Duration{0}, [this](World& here) { world = &here; }}});
        s.plan.guest.working_set = mebibytes(80);
        s.request.bounds.max_downtime = milliseconds{200};
        s.policy = [this, spared] { return std::make_unique<Unlucky>(world, spared); };
        run(s);
    }
};

TEST_F(SlowRounds, after_go_are_the_end_of_the_move_when_three_come_in_a_row) {
    run_spared(0);
    EXPECT_EQ(outcome_word(result), "downtime-exceeded") << all_of(result);
    EXPECT_EQ(times_of("the link has become slow").size(), 2U) << all_of(result);
    EXPECT_EQ(times_of("roll back: 3 rounds under the brake took").size(), 1U) << all_of(result);
    EXPECT_EQ(shares(), "0.200 1.000 0.200 1.000 0.200 1.000") << all_of(result);
}

TEST_F(SlowRounds, are_not_in_a_row_where_a_braked_one_came_to_its_end_between_them) {
    run_spared(3);
    EXPECT_EQ(outcome_word(result), "cancelled") << all_of(result);
    EXPECT_GE(times_of("the link has become slow").size(), 3U) << all_of(result);
    EXPECT_TRUE(times_of("rounds under the brake took").empty()) << all_of(result);
}

/// What else may keep a guest held, or let it go, without a decision.
using Held = Silence;

TEST_F(Held, for_three_seconds_at_most_while_its_images_are_written_back) {
    run(braked({{.share = 0.2}, {.from = seconds{1}, .go = true}},
               {{milliseconds{900}, [](World& world) { world.slow_images(seconds{8}); }}}));
    ASSERT_EQ(times_of("segue     go: ").size(), 1U) << all_of(result);
    const Duration went = times_of("segue     go: ").front();
    const auto lifted = times_of("brake     1.000");
    ASSERT_FALSE(lifted.empty());
    EXPECT_GT(lifted.front(), went + milliseconds{2900});
    EXPECT_LT(lifted.front(), went + milliseconds{4500}) << "at the first dirty sync from then on";
}

TEST_F(Held, no_longer_than_half_a_minute_by_a_disk_that_hangs) {
    run(braked({{.share = 0.2}, {.from = seconds{1}, .go = true}},
               {{milliseconds{900}, [](World& world) { world.slow_images(seconds{600}); }}}));
    EXPECT_EQ(outcome_word(result), "failed") << all_of(result);
    EXPECT_NE(all_of(result).find("writing back its disk images has not ended in "), std::string::npos);
}

TEST_F(Held, again_once_the_guardian_has_let_go) {
    run(braked({{.share = 0.2}, {.from = seconds{2}, .share = 0.2}, {.from = seconds{4}, .go = true}},
               {{seconds{1}, [](World& world) { world.lift_brake("guard"); }}}));
    EXPECT_EQ(shares(), "0.200 1.000 0.200 1.000") << all_of(result);
}

}  // namespace
}  // namespace segue::sim

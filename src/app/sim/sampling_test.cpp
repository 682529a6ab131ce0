// Page sampling beside pass 1 (migration/sampling.cpp): when it is made, what it is good for, and when it is left.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/sim/run_text_test.hpp"
#include "app/sim/runner.hpp"
#include "hypervisor/sim/world.hpp"
#include "policy/policy.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// When it was asked, and in which pass.
struct Asked {
    Duration at{0};
    std::int64_t pass = 0;
    double level_sigma = 0;
    Duration worked{0};  ///< In the pass before.
    double busy = 0;
};

/// The patient policy, but for what it is to say in pass 1.
class Asking final : public Policy {
public:
    Asking(std::optional<double> share, bool gives_up, std::vector<Asked>& asked)
        : share_(share), gives_up_(gives_up), asked_(asked), patient_(make_patient_policy()) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "asking"; }
    [[nodiscard]] Decision decide(const View& view) override {
        asked_.push_back({view.elapsed, view.passes.back().number, view.outlook.level_sigma,
                          view.passes.back().worked, view.outlook.busy.ratio});
        if (gives_up_ && asked_.size() == 2) return {GiveUp{}, "seen enough"};
        Decision decision = patient_->decide(view);
        if (share_) decision.share = Share{asked_.size() == 1 ? *share_ : 1.0};
        return decision;
    }

private:
    std::optional<double> share_;
    bool gives_up_;
    std::vector<Asked>& asked_;
    std::unique_ptr<Policy> patient_;
};

class Sampling : public testing::Test {
protected:
    std::vector<Asked> asked;
    std::optional<double> share;
    bool gives_up = false;

    /// On a link of 100 MiB/s.
    Scenario of(Bytes memory) {
        Scenario s = plain_scenario(3);
        s.request.forecast = true;
        s.request.brake = BrakeKind::cgroup;
        s.plan.guest.memory = memory;
        s.plan.guest.zero_share = 0;
        s.policy = [this] { return std::make_unique<Asking>(share, gives_up, asked); };
        return s;
    }

    RunResult run(const Scenario& scenario) {
        RunResult result = run_scenario(scenario);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
        return result;
    }

    /// From there on.
    [[nodiscard]] static std::vector<std::string> lines_with(const RunResult& result, std::string_view what) {
        std::vector<std::string> out;
        for (const auto& line : result.transcript) {
            if (const auto at = line.find(what); at != std::string::npos) out.push_back(line.substr(at));
        }
        return out;
    }

    [[nodiscard]] std::size_t asked_in_pass_1() const {
        return static_cast<std::size_t>(
            std::ranges::count_if(asked, [](const Asked& one) { return one.pass == 1; }));
    }
};

TEST_F(Sampling, goes_on_beside_a_pass_1_that_outlasts_it_and_the_policy_is_asked_again) {
    EXPECT_EQ(outcome_word(run(of(mebibytes(600)))), "moved");
    ASSERT_EQ(asked_in_pass_1(), 2U);
    EXPECT_GT(asked[1].at - asked[0].at, seconds{3} + milliseconds{300});
    EXPECT_LT(asked[1].at - asked[0].at, seconds{4});
    EXPECT_NE(asked[1].level_sigma, asked[0].level_sigma) << "something was learned";
}

TEST_F(Sampling, takes_0_6_s_before_the_start_and_4_s_where_qemu_counts_whole_seconds) {
    for (const bool native : {true, false}) {
        Scenario s = of(mebibytes(600));
        s.plan.qemu.native_switchover_bandwidth = native;
        using Lines = std::vector<std::string>;
        const Lines brief{"forecast by samples of 0.1 s 0.5 s", "forecast by samples of 0.1 s 0.5 s 3 s"};
        EXPECT_EQ(lines_with(run(s), "forecast by"), native ? brief : Lines{"forecast by samples of 1 s 3 s"});
    }
}

TEST_F(Sampling, is_not_begun_beside_a_pass_1_that_would_end_first) {
    EXPECT_EQ(outcome_word(run(of(mebibytes(300)))), "moved");
    EXPECT_EQ(asked_in_pass_1(), 1U);
}

TEST_F(Sampling, knows_what_a_guest_works_also_where_there_is_no_brake) {
    struct Case {
        BrakeKind brake;
        bool available;
        bool opens;
        bool known;
    };
    // What QEMU's own throttle takes would be taken for idleness.
    const std::vector<Case> cases{{BrakeKind::cgroup, true, true, true},
                                  {BrakeKind::none, true, true, true},
                                  {BrakeKind::cgroup, false, true, true},
                                  {BrakeKind::cgroup, true, false, true},
                                  {BrakeKind::auto_converge, true, true, false}};
    for (const auto& [brake, available, opens, known] : cases) {
        asked.clear();
        Scenario s = of(mebibytes(300));
        s.request.brake = brake;
        s.plan.brake = {available, opens};
        const RunResult result = run(s);
        EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
        const auto second = std::ranges::find_if(asked, [](const Asked& one) { return one.pass == 2; });
        ASSERT_NE(second, asked.end()) << all_of(result);
        if (!known) {
            EXPECT_EQ(second->worked, Duration{0});
            continue;
        }
        EXPECT_GT(second->worked, seconds{2}) << "in a pass of three seconds";
        EXPECT_LT(second->worked, seconds{4});
    }
}

TEST_F(Sampling, learns_how_busy_a_guest_is_with_a_brake_and_without) {
    for (const BrakeKind brake : {BrakeKind::cgroup, BrakeKind::none}) {
        asked.clear();
        Scenario s = of(mebibytes(300));
        s.request.brake = brake;
        s.plan.guest.busy = 0.25;
        const RunResult result = run(s);
        EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
        ASSERT_FALSE(asked.empty());
        EXPECT_NEAR(asked.front().busy, 0.25, 0.02) << "by the samples alone";
        EXPECT_NEAR(asked.back().busy, 0.25, 0.02);
    }
}

TEST_F(Sampling, takes_a_guest_for_always_busy_where_its_run_times_are_not_to_be_had) {
    // Of a brake that could be looked at and not opened, what was counted while sampling is known all the same.
    const BrakePlan looked_at{.opens = false, .loses_watch = true};
    for (const BrakePlan& brake :
         {BrakePlan{.counts = false}, BrakePlan{.available = false, .counts = false},
          BrakePlan{.available = false, .loses_watch = true}, BrakePlan{.opens = false, .counts = false}, looked_at}) {
        asked.clear();
        Scenario s = of(mebibytes(300));
        s.plan.brake = brake;
        s.plan.guest.busy = 0.25;
        const RunResult result = run(s);
        EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
        const auto second = std::ranges::find_if(asked, [](const Asked& one) { return one.pass == 2; });
        ASSERT_NE(second, asked.end()) << all_of(result);
        EXPECT_EQ(second->worked, Duration{0});
        const bool sampled = brake.counts && brake.available;
        EXPECT_NEAR(second->busy, sampled ? 0.25 : 1.0, 0.02);
    }
}

TEST_F(Sampling, is_not_made_for_who_wants_no_forecast) {
    Scenario s = of(mebibytes(600));
    s.request.forecast = false;
    EXPECT_EQ(outcome_word(run(s)), "moved");
    EXPECT_EQ(asked_in_pass_1(), 1U);
}

TEST_F(Sampling, is_not_made_of_a_guest_that_is_held) {
    share = 0.5;
    EXPECT_EQ(outcome_word(run(of(mebibytes(600)))), "moved");
    EXPECT_EQ(asked_in_pass_1(), 1U);
}

TEST_F(Sampling, that_shows_a_move_to_be_hopeless_ends_it_and_the_guest_runs_on) {
    gives_up = true;
    const RunResult result = run(of(mebibytes(600)));
    EXPECT_EQ(outcome_word(result), "downtime-exceeded");
    ASSERT_TRUE(result.summary);
    EXPECT_EQ(result.summary->guest_on, GuestOn::source);
    EXPECT_EQ(asked.size(), 2U);
}

TEST_F(Sampling, whose_answer_comes_while_nothing_gets_through_ends_nothing) {
    for (const int length_ms : {300, 1500, 4000}) {
        asked.clear();
        Scenario s = of(mebibytes(600));
        s.script = {{milliseconds{3000}, [](World& world) { world.link_factor(0); }},
                    {milliseconds{3000 + length_ms}, [](World& world) { world.link_factor(1); }}};
        EXPECT_EQ(outcome_word(run(s)), "moved") << length_ms;
        EXPECT_EQ(asked_in_pass_1(), 2U);
    }
}

TEST_F(Sampling, that_failed_before_the_start_is_not_begun_again_beside_pass_1) {
    Scenario s = of(mebibytes(600));
    s.plan.qemu.first_sample_fails = true;
    EXPECT_EQ(outcome_word(run(s)), "moved");
    EXPECT_EQ(asked_in_pass_1(), 1U);
}

TEST_F(Sampling, that_pass_1_did_not_outlast_after_all_is_no_reason_to_ask_again) {
    Scenario s = of(mebibytes(600));
    s.script = {{milliseconds{1000}, [](World& world) { world.link_factor(5); }}};
    EXPECT_EQ(outcome_word(run(s)), "moved");
    EXPECT_EQ(asked_in_pass_1(), 1U);
}

TEST_F(Sampling, for_a_plan_takes_3_6_s_and_as_long_as_pass_1_more_where_that_is_long) {
    // Of a guest of which nothing is known three fifths are taken for filled.
    for (const auto& [mib, takes] : {std::pair{300, seconds{4}}, {900, seconds{9}}, {2100, seconds{16}}}) {
        for (const bool native : {true, false}) {
            const Duration brief = native ? milliseconds{400} : milliseconds{0};
            Scenario s = of(mebibytes(mib));
            s.plan.qemu.native_switchover_bandwidth = native;
            s.request.dry_run = true;
            s.request.bounds.max_bandwidth = mebibytes_per_second(100);
            const RunResult result = run(s);
            EXPECT_EQ(outcome_word(result), "planned");
            EXPECT_GE(result.virtual_time, takes - brief) << mib;
            EXPECT_LT(result.virtual_time, takes - brief + milliseconds{1200}) << mib;
        }
    }
}

TEST_F(Sampling, or_not_what_a_switchover_would_cost_is_told_from_the_first_half_second_of_copying_on) {
    for (const bool forecast : {true, false}) {
        Scenario s = of(mebibytes(600));
        s.request.forecast = forecast;
        const auto told = lines_with(run(s), "blackout now ");
        ASSERT_GE(told.size(), 8U);
        const auto known = [](const std::string& line) { return line != "blackout now unknown"; };
        const auto first = std::ranges::find_if(told, known);
        EXPECT_GE(first - told.begin(), 1) << "the first window may have carried nothing";
        EXPECT_LE(first - told.begin(), 3);
        EXPECT_TRUE(std::all_of(first, told.end(), known)) << "never taken back";
    }
}

/// Two seconds into pass 1, while a sample is outstanding.
class SamplingStruck : public Sampling, public testing::WithParamInterface<Fault> {};

TEST_P(SamplingStruck, keeps_every_promise) {
    for (const bool own_monitor : {true, false}) {
        asked.clear();
        Scenario s = of(mebibytes(600));
        s.fault = GetParam();
        s.moment = Moment::copying;
        s.offset = seconds{2};
        s.length = seconds{1};
        s.plan.guard.own_monitor = own_monitor;
        const RunResult result = run(s);
        EXPECT_TRUE(result.struck);
        // One that stalls goes on afterwards, asked again or not.
        if (GetParam() != Fault::segue_stalled) {
            EXPECT_EQ(asked_in_pass_1(), 1U);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Faults, SamplingStruck,
                         testing::Values(Fault::user_cancel, Fault::src_dies, Fault::src_monitor_lost, Fault::dst_dies,
                                         Fault::segue_killed, Fault::segue_stalled, Fault::guardian_killed));

}  // namespace
}  // namespace segue::sim

#pragma once
/// \file  For tests: a move whose policy follows a script, with the brake, in the simulator.

#include <gtest/gtest.h>

#include <charconv>
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

/// What the policy says at the first dirty sync from `from` on.
struct Rule {
    Duration from{0};
    std::optional<double> share{};
    bool go = false;
};

class Scripted final : public Policy {
public:
    /// \param decided  When each rule was applied, since copying began or a few milliseconds more.
    /// \param rounds  What each round had of its CPU, as it was shown.
    Scripted(std::vector<Rule> rules, std::vector<Duration>& decided, std::vector<double>& rounds)
        : rules_(std::move(rules)), decided_(decided), rounds_(rounds) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "scripted"; }
    [[nodiscard]] Decision decide(const View& view) override {
        Decision decision{CarryOn{}, {}};
        rounds_.push_back(view.passes.back().share.ratio);
        for (; next_ < rules_.size() && rules_[next_].from <= view.elapsed; ++next_) {
            if (rules_[next_].share) decision.share = Share{*rules_[next_].share};
            if (rules_[next_].go) decision.action = AllowSwitchover{};
            decided_.push_back(view.elapsed);
        }
        return decision;
    }

private:
    std::vector<Rule> rules_;
    std::vector<Duration>& decided_;
    std::vector<double>& rounds_;
    std::size_t next_ = 0;
};

class BrakedMove : public testing::Test {
protected:
    std::vector<Duration> decided;
    std::vector<double> rounds;
    RunResult result;

    /// A guest that does not converge, braked or not, on a link of 100 MiB/s; the user ends it.
    Scenario braked(std::vector<Rule> rules, std::vector<Interference> script) {
        Scenario s = plain_scenario(7);
        s.request.brake = BrakeKind::cgroup;
        s.plan.guest.rate = mebibytes_per_second(1000);
        s.request.bounds.max_downtime = std::chrono::seconds{1};
        s.policy = [this, rules = std::move(rules)] { return std::make_unique<Scripted>(rules, decided, rounds); };
        s.script = std::move(script);
        return s;
    }

    void run(const Scenario& scenario) {
        result = run_scenario(scenario);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
    }

    /// Of each line that says so, since copying began.
    [[nodiscard]] std::vector<Duration> times_of(std::string_view what) const {
        std::vector<Duration> times;
        Duration began{0};
        for (const auto& line : result.transcript) {
            double ms = 0;
            std::from_chars(line.data() + line.find_first_not_of(' '), line.data() + line.size(), ms);
            const auto at = std::chrono::nanoseconds{static_cast<std::int64_t>(ms * 1e6)};
            if (line.find("-> copying") != std::string::npos) began = at;
            if (line.find(what) != std::string::npos) times.push_back(at - began);
        }
        return times;
    }

    /// What the guest was really granted, one after the other.
    [[nodiscard]] std::string shares() const {
        std::string text;
        for (const auto& line : result.transcript) {
            const auto at = line.find(" brake     ");
            if (at != std::string::npos) text += (text.empty() ? "" : " ") + line.substr(line.rfind(' ') + 1);
        }
        return text;
    }
};

inline Interference link_at(Duration at, double factor) {
    return {at, [factor](World& world) { world.link_factor(factor); }};
}

}  // namespace segue::sim

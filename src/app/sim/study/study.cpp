#include "app/sim/study/study.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/sim/study/optimum.hpp"
#include "policy/converge/converge.hpp"

namespace segue::study {
namespace {

constexpr double slack = 0.1;
/// What clocks and counters may be off by before a bound counts as broken.
constexpr double exact = 1e-6;

/// Measures another policy's decisions.
class Timed final : public Policy {
public:
    Timed(Policy& policy, const std::function<double()>& stopwatch) : policy_(policy), stopwatch_(stopwatch) {}
    [[nodiscard]] std::string_view name() const noexcept override { return policy_.name(); }
    [[nodiscard]] std::string refuse(const View& view) const override { return policy_.refuse(view); }
    [[nodiscard]] Decision decide(const View& view) override {
        const double began = stopwatch_ ? stopwatch_() : 0;
        Decision decision = policy_.decide(view);
        if (stopwatch_) worst_s_ = std::max(worst_s_, stopwatch_() - began);
        return decision;
    }
    [[nodiscard]] double worst_s() const { return worst_s_; }

private:
    Policy& policy_;
    const std::function<double()>& stopwatch_;
    double worst_s_ = 0;
};

std::vector<std::string> broken_bounds(const MoveResult& result, const Bounds& bounds) {
    std::vector<std::string> out;
    const bool stood = result.end == End::moved || result.end == End::rolled_back;
    if (stood && result.downtime_s > bounds.max_downtime_s + exact) out.emplace_back("downtime");
    if (bounds.timeout_s && result.total_s > *bounds.timeout_s + exact) out.emplace_back("timeout");
    if (bounds.max_bandwidth && result.most_per_s > *bounds.max_bandwidth) out.emplace_back("bandwidth");
    if (result.lowest_share < bounds.min_cpu - exact) out.emplace_back("min-cpu");
    if (result.worst_stall_s > bounds.max_stall_s + exact) out.emplace_back("max-stall");
    return out;
}

/// What goes on for longer is ended by the study: thirty times as long as memory takes once.
double patience_s(const Case& one, const Bounds& bounds) {
    const double rate = std::min(one.wire.bytes_per_s, bounds.max_bandwidth.value_or(one.wire.bytes_per_s));
    return 60 + 30 * one.guest.memory_bytes * one.guest.nonzero_ratio / rate;
}

Attempt attempt(const Case& one, const Bounds& bounds, const Contestant& contestant, const Log& log) {
    Attempt out;
    const auto policy = contestant.policy();
    Timed timed(*policy, contestant.stopwatch);
    Pilot pilot;
    pilot.policy = &timed;
    pilot.endless_s = patience_s(one, bounds);
    pilot.beholder = contestant.beholder;
    pilot.log = log;
    pilot.may_refuse = pilot.samples_beside = true;
    pilot.on_start = [&](const Start& start) {
        if (!contestant.foretell) return;
        out.before = contestant.foretell(start, bounds, brake_for(bounds));
        if (log && out.before) {
            log(fmt::format("before: {:.0f} of 100 end, {:.2f} s ({:.2f} to {:.2f}), standstill {:.0f} ms",
                            out.before->finishes_ratio * 100, out.before->total_s.p50, out.before->total_s.p10,
                            out.before->total_s.p90, out.before->downtime_s.p50 * 1e3));
        }
    };
    out.result = run_move(one, bounds, pilot);
    out.refused = out.result.refused;
    out.decision_worst_s = timed.worst_s();
    out.broken = broken_bounds(out.result, bounds);
    return out;
}

/// \param whole_passes  By the plain programme; else by converge's, which knows of QEMU's looks after go.
MoveResult knowing_under(const Case& one, Bounds bounds, bool whole_passes, const Log& log) {
    const auto policy = whole_passes ? make_reference_policy() : make_converge_policy();
    bounds.aggression = 0;
    Pilot pilot;
    pilot.policy = policy.get();
    pilot.beholder = make_knowing;
    pilot.keep_curve = true;
    pilot.endless_s = patience_s(one, bounds);
    pilot.log = log;
    return run_move(one, bounds, pilot);
}

bool kept(const MoveResult& result, const Bounds& bounds) {
    return result.end == End::moved && broken_bounds(result, bounds).empty();
}

/// The better of both programmes.
MoveResult optimum_under(const Case& one, const Bounds& bounds, const Log& log) {
    MoveResult first = knowing_under(one, bounds, true, log);
    MoveResult second = knowing_under(one, bounds, false, log);
    if (!kept(second, bounds)) return first;
    return !kept(first, bounds) || second.lost_s < first.lost_s ? second : first;
}

void judge(Outcome& out, const Log& log) {
    const Bounds& bounds = out.one.bounds;
    if (log) log("--- the optimum, each bound a tenth tighter");
    const MoveResult tight = optimum_under(out.one, tightened(bounds, slack), log);
    if (log) log("--- the optimum");
    out.optimum = optimum_under(out.one, bounds, log);
    if (kept(tight, tightened(bounds, slack))) {
        out.kind = Kind::feasible;
        if (out.optimum.end != End::moved || tight.lost_s < out.optimum.lost_s) out.optimum = tight;
    } else if (!kept(out.optimum, bounds)) {
        // What is shown to be possible is not infeasible: the attempts are looked at as well.
        const Bounds loose = tightened(bounds, -slack);
        out.kind = kept(optimum_under(out.one, loose, {}), loose) ? Kind::marginal : Kind::infeasible;
    }
    const double rate = std::min(out.one.wire.bytes_per_s, bounds.max_bandwidth.value_or(1e18));
    out.clairvoyant_s = clairvoyant_s(out.optimum.curve_after_1, rate);
}

}  // namespace

std::string_view to_string(Kind kind) noexcept {
    switch (kind) {
        case Kind::feasible: return "feasible";
        case Kind::marginal: return "marginal";
        case Kind::infeasible: return "infeasible";
    }
    return "?";
}

Outcome study_case(const Case& one, const Contestant& contestant, const Log& log) {
    Outcome out;
    out.one = one;
    judge(out, log);
    Bounds bounds = one.bounds;
    if (log) log("--- as asked");
    out.ours = attempt(one, bounds, contestant, log);
    bounds.aggression = 0;
    Contestant told = contestant;
    told.beholder = make_knowing;
    if (log) log("--- as asked, told the true curve");
    out.knowing = attempt(one, bounds, told, log);
    if (log) log("--- aggression 0");
    out.calm = attempt(one, bounds, contestant, log);
    bounds.aggression = 1;
    if (log) log("--- aggression 1");
    out.keen = attempt(one, bounds, contestant, log);
    Pilot by_itself;
    by_itself.beholder = make_knowing;
    by_itself.endless_s = patience_s(one, one.bounds);
    if (log) log("--- auto-converge");
    by_itself.log = log;
    for (const auto* made : {&out.ours, &out.calm, &out.keen}) {
        if (out.kind == Kind::infeasible && made->result.end == End::moved && made->broken.empty()) {
            out.kind = Kind::marginal;
        }
    }
    out.auto_converge.result = run_move(one, one.bounds, by_itself);
    out.auto_converge.broken = broken_bounds(out.auto_converge.result, one.bounds);
    const double rate = std::min(one.wire.bytes_per_s, one.bounds.max_bandwidth.value_or(1e18));
    const double content = one.guest.memory_bytes * one.guest.nonzero_ratio;
    out.constant_total_s =
        constant_rate_total_s(content, out.ours.result.rate_sampled, rate,
                              rate * one.bounds.max_downtime_s, to_seconds(one.costs.total()));
    return out;
}

Complaint complaint_of(const Outcome& outcome) {
    const auto& ours = outcome.ours;
    if (!ours.broken.empty()) return {1000, fmt::format("broke {}", fmt::join(ours.broken, ", "))};
    for (const auto* other : {&outcome.calm, &outcome.keen}) {
        if (!other->broken.empty()) return {900, fmt::format("at its end broke {}", fmt::join(other->broken, ", "))};
    }
    const bool moved = ours.result.end == End::moved;
    if (outcome.kind == Kind::feasible) {
        const auto words = [](const MoveResult& result) {
            return fmt::format("{}: {}", to_string(result.end), result.because);
        };
        if (!moved) return {500, "though feasible " + words(ours.result)};
        if (outcome.calm.result.end != End::moved) {
            return {400, "aggression 0: " + words(outcome.calm.result)};
        }
        if (outcome.keen.result.end != End::moved) {
            return {399, "aggression 1: " + words(outcome.keen.result)};
        }
    }
    if (outcome.kind == Kind::infeasible && !ours.refused && (moved || ours.result.syncs > 3)) {
        return {100, fmt::format("infeasible, and {} at sync {}", to_string(ours.result.end), ours.result.syncs)};
    }
    if (!moved) return {};
    const double lost = outcome.calm.result.lost_s / std::max(outcome.optimum.lost_s, 1e-3);
    double off = 0;
    if (ours.before) off = std::abs(ours.before->total_s.p50 / ours.result.total_s - 1);
    if (ours.result.total_after_1) {
        off = std::max(off, 2.5 * std::abs(ours.result.total_after_1->p50 / ours.result.total_s - 1));
    }
    return {std::max(lost - 1, 5 * off),
            fmt::format("lost {:.2f} x the optimum, forecast off by {:.0f} %", lost, off * 100)};
}

}  // namespace segue::study

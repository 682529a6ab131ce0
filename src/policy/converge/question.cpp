#include "policy/converge/question.hpp"

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

/// Between the tenth and the ninetieth per cent of a normal.
constexpr double tenth_to_ninetieth = 2.5631;

double switch_rate(const PlanQuestion& question) {
    const auto& band = question.outlook.bandwidth_bytes_per_second;
    if (question.switchover_bandwidth) return static_cast<double>(question.switchover_bandwidth->per_second);
    return band.p10 > 0 ? band.p10 : band.p50;
}

Budgets budgets_of(const PlanQuestion& question) {
    const ByteRate rate{static_cast<std::int64_t>(switch_rate(question))};
    const Bytes tail = dirtied_at_stop(question.outlook);
    const auto with = [&](Duration stop) {
        FixedCosts costs = question.outlook.costs;
        costs.stop = stop;
        const Bytes budget = pending_budget(question.max_downtime, question.reserve, costs, rate, tail);
        return static_cast<double>(budget.count);
    };
    const auto& costs = question.outlook.costs;
    return {with(costs.stop), with(braked_stop_charge(costs, question.outlook.memory))};
}

}  // namespace

Asked asked_of(const PlanQuestion& question, std::size_t shares_max) {
    const auto& outlook = question.outlook;
    const auto& band = outlook.bandwidth_bytes_per_second;
    Asked out;
    const double bandwidth = std::max(band.p50, 1.0);
    const double switching = std::max(switch_rate(question), 1.0);
    out.ground = ground_of(outlook, question.brake, budgets_of(question), bandwidth, switching, shares_max);
    const Bytes bulk = outlook.first_pass.count > 0 ? outlook.first_pass : outlook.memory;
    out.first_pass = static_cast<double>(bulk.count);
    out.first_pass_beside_s = to_seconds(outlook.first_pass_beside);
    out.first_pass_s = out.first_pass / bandwidth + out.first_pass_beside_s + out.ground.overhead_s;
    out.timeout_s = question.timeout ? to_seconds(*question.timeout) : std::numeric_limits<double>::infinity();
    if (band.p10 > 0 && band.p90 > band.p10) {
        out.slowness = std::clamp(bandwidth / band.p10, 1.0, 3.0);
        out.speed_sigma = std::log(band.p90 / band.p10) / tenth_to_ninetieth;
    }
    return out;
}

Hurdle hurdle_of(const PlanQuestion& question) {
    const auto asked = asked_of(question, 2);
    Hurdle out;
    out.outlook = question.outlook;
    out.brake = question.brake;
    out.max_downtime_s = to_seconds(question.max_downtime);
    out.budgets = budgets_of(question);
    out.bandwidth = asked.ground.bandwidth;
    out.switch_bandwidth = asked.ground.switch_bandwidth;
    out.first_pass = asked.first_pass;
    out.time_left = asked.timeout_s;
    return out;
}

}  // namespace segue::converge

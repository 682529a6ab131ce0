#include "policy/converge/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "policy/converge/play.hpp"
#include "policy/converge/question.hpp"

namespace segue {
namespace {

using namespace converge;

constexpr std::size_t shares_max = 24;
constexpr int halvings = 16;
constexpr double infinite = std::numeric_limits<double>::infinity();

struct Best {
    double lost_s = infinite;
    double total_s = infinite;
};

/// The course that the programme takes at this price of time, after a first pass with each setting.
Best at_price(const Terrain& terrain, double first_s, double time_price) {
    const auto& ground = terrain.ground();
    const auto values = solve(terrain, {1, time_price});
    Best best;
    double least = infinite;
    for (const auto& setting : ground.settings) {
        Situation then;
        then.backlog = std::min(dirtied(ground, setting, first_s), ground.memory);
        const auto course = play(terrain, values, then, Luck{});
        if (!course.finished) continue;
        const double lost = course.lost_work_s + (ground.busy - setting.work_rate) * first_s;
        const double total = course.total_s + first_s;
        if (lost + time_price * total >= least) continue;
        least = lost + time_price * total;
        best = {lost, total};
    }
    return best;
}

Outlook certain(const Outlook& outlook) {
    Outlook out = outlook;
    out.level_sigma = 0;
    out.round_sigma = 0;
    out.first_pass_sigma = 0;
    return out;
}

/// Least lost work that ends by the timeout: the price of time is raised until it does.
Best optimum(const PlanQuestion& question) {
    const Asked asked = asked_of(question, shares_max);
    if (asked.ground.unbraked_setting().budget <= 0) return {};
    const Terrain terrain(asked.ground, asked.ground.memory);
    constexpr double cheap = 1e-4;
    constexpr double dear = 1e4;
    const auto in_time = [&](const Best& best) { return best.total_s <= asked.timeout_s; };
    auto best = at_price(terrain, asked.first_pass_s, cheap);
    if (in_time(best)) return best;
    auto found = at_price(terrain, asked.first_pass_s, dear);
    if (!in_time(found)) return {};
    double low = std::log(cheap);
    double high = std::log(dear);
    for (int i = 0; i < halvings; ++i) {
        const double middle = (low + high) / 2;
        const auto tried = at_price(terrain, asked.first_pass_s, std::exp(middle));
        (in_time(tried) ? high : low) = middle;
        if (in_time(tried) && tried.lost_s < found.lost_s) found = tried;
    }
    return found;
}

BrakeRange tightened(const BrakeRange& range, double slack) {
    BrakeRange out = range;
    const double floor = range.shares.front() * (1 + slack);
    const double stall = *std::max_element(range.stall_s.begin(), range.stall_s.end()) * (1 - slack);
    out.shares.clear();
    out.stall_s.clear();
    for (std::size_t i = 0; i < range.shares.size(); ++i) {
        const bool is_last = i + 1 == range.shares.size();
        const bool allowed = range.cut_by_stall ? range.stall_s[i] <= stall : range.shares[i] >= floor;
        if (!is_last && !allowed) continue;
        out.shares.push_back(range.shares[i]);
        out.stall_s.push_back(range.stall_s[i]);
    }
    return out;
}

}  // namespace

bool feasible(const PlanQuestion& truth, double slack) {
    PlanQuestion tight = truth;
    tight.outlook = certain(truth.outlook);
    tight.max_downtime = from_seconds(to_seconds(truth.max_downtime) * (1 - slack));
    if (truth.timeout) tight.timeout = from_seconds(to_seconds(*truth.timeout) * (1 - slack));
    tight.brake = tightened(truth.brake, slack);
    auto& band = tight.outlook.bandwidth_bytes_per_second;
    band = {band.p10 * (1 - slack), band.p50 * (1 - slack), band.p90 * (1 - slack)};
    if (truth.switchover_bandwidth) tight.switchover_bandwidth = scale(*truth.switchover_bandwidth, 1 - slack);
    return std::isfinite(optimum(tight).lost_s);
}

double optimum_lost_work(const PlanQuestion& truth) {
    PlanQuestion known = truth;
    known.outlook = certain(truth.outlook);
    return optimum(known).lost_s;
}

double clairvoyant_lost_work(const Curve& curve, double busy, double bandwidth) {
    double most = 0;
    for (std::size_t i = 0; i < Curve::points; ++i) {
        const double wall = Curve::work_at(i) / std::max(busy, 1e-9);
        most = std::max(most, curve.table()[i] - bandwidth * wall);
    }
    return most / bandwidth;
}

}  // namespace segue

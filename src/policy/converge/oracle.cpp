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
constexpr int passes_max = 60;
constexpr double infinite = std::numeric_limits<double>::infinity();

struct Best {
    double lost_s = infinite;
    double total_s = infinite;
};

double still_s(const Ground& ground, double pending) {
    return ground.fixed_s + pending / ground.switch_bandwidth;
}

void take(Best& best, double lost_s, double total_s, double timeout_s) {
    if (total_s <= timeout_s && lost_s < best.lost_s) best = {lost_s, total_s};
}

/// Go after so much: one setting all along, or what the programme takes at several prices of time.
void go_from(Best& best, const Steering& steering, const std::vector<Steering::Priced>& programmes, double backlog,
             const Best& past, double timeout_s) {
    const auto& ground = steering.ground();
    for (const auto& setting : ground.settings) {
        const auto run = run_go(ground, setting, backlog, 1);
        if (!run.stops) continue;
        const double still = still_s(ground, run.pending);
        const double lost = (ground.busy - setting.work_rate) * run.time_s + ground.busy * still;
        take(best, past.lost_s + lost, past.total_s + run.time_s + still, timeout_s);
    }
    for (const auto& priced : programmes) {
        Situation now;
        now.backlog = backlog;
        now.waited = true;
        const auto course = play(steering, priced, now, Luck{});
        if (course.finished) take(best, past.lost_s + course.lost_work_s, past.total_s + course.total_s, timeout_s);
    }
}

/// The first pass with this setting, then any number of passes at full speed, then go.
void after_first_pass(Best& best, const Steering& steering, const std::vector<Steering::Priced>& programmes,
                      const Setting& setting, double first_s, double timeout_s) {
    const auto& ground = steering.ground();
    Best past{(ground.busy - setting.work_rate) * first_s, first_s};
    double backlog = dirtied(ground, setting, first_s);
    for (int pass = 0; pass < passes_max && past.total_s < timeout_s; ++pass) {
        go_from(best, steering, programmes, backlog, past, timeout_s);
        const auto next = whole_pass(ground, ground.unbraked_setting(), backlog);
        if (std::abs(next.fresh - backlog) < 0.003 * backlog) return;
        past.total_s += next.time_s;
        backlog = next.fresh;
    }
}

Outlook certain(const Outlook& outlook) {
    Outlook out = outlook;
    out.level_sigma = 0;
    out.round_sigma = 0;
    out.first_pass_sigma = 0;
    return out;
}

/// Least lost work that ends by the timeout.
Best optimum(const PlanQuestion& question) {
    const Asked asked = asked_of(question, shares_max);
    Best best;
    if (asked.ground.budgets().most() <= 0) return best;
    const Steering steering(asked.ground, asked.ground.memory);
    std::vector<Steering::Priced> programmes;
    for (const double aggression : {0.0, 0.85, 1.0}) programmes.push_back(steering.price(aggression));
    const auto& settings = asked.ground.settings;
    // A brake in the first pass is dearer than any later one: only where nothing else ends in time.
    for (std::size_t k = settings.size(); k-- > 0 && !std::isfinite(best.lost_s);) {
        after_first_pass(best, steering, programmes, settings[k], asked.first_pass_s, asked.timeout_s);
        if (!std::isfinite(asked.timeout_s)) break;
    }
    return best;
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

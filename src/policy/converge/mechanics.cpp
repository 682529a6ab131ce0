#include "policy/converge/mechanics.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "model/count.hpp"

namespace segue::converge {
namespace {

/// What is not over after so many rounds does not converge: each useful one sends less than the last.
constexpr int rounds_max = 100;
/// A round that leaves more than this of what it began with stands still.
constexpr double still = 0.998;

double mixed(const Ground& ground, const Setting& setting, double from_work, double wall_s) {
    const double start = from_work > 0 ? ground.curve.bytes_in(from_work) : 0;
    const double braked = ground.curve.bytes_in(from_work + setting.work_rate * wall_s) - start;
    if (ground.unbraked <= 0 || setting.work_rate >= ground.busy) return braked;
    const double free = ground.curve.bytes_in(from_work + ground.busy * wall_s) - start;
    return (1 - ground.unbraked) * braked + ground.unbraked * free;
}

/// When what is left, by Segue's count, fits: from `least_s` to `most_s`, or never. The curve being concave, what is
/// counted falls faster and faster once it falls.
double fits_after(const Ground& ground, const Setting& setting, double backlog, double least_s, double most_s) {
    enum class Found { fits, too_much_left, too_much_fresh };
    const auto look = [&](double wall_s) {
        const double fresh = ground.counted * mixed(ground, setting, 0, wall_s);
        if (fresh > counted_part_max * setting.budget) return Found::too_much_fresh;
        const double left = std::max(backlog - ground.bandwidth * wall_s, 0.0) + fresh;
        return left <= setting.budget ? Found::fits : Found::too_much_left;
    };
    // Sending alone takes so long.
    double low = std::max(least_s, (backlog - setting.budget) / ground.bandwidth);
    if (low > most_s) return never;
    if (const auto found = look(low); found != Found::too_much_left) return found == Found::fits ? low : never;
    double high = most_s;
    auto at_high = look(high);
    if (at_high == Found::too_much_left) return never;
    constexpr int halvings = 5;
    for (int i = 0; i < halvings; ++i) {
        const double middle = (low + high) / 2;
        const auto found = look(middle);
        if (found == Found::too_much_left) {
            low = middle;
        } else {
            high = middle;
            at_high = found;
        }
    }
    return at_high == Found::fits ? high : never;
}

GoRound stopped_round(const Ground& ground, const Setting& setting, double backlog, double wall_s) {
    const double rest = std::max(backlog - ground.bandwidth * wall_s, 0.0);
    return {wall_s, rest, std::min(mixed(ground, setting, 0, wall_s), ground.memory), true};
}

/// Until go counts QEMU sends what it finds, pass after pass: a small backlog is down at its natural level by then. It
/// stops by itself where a pass leaves less than it may send in the millisecond that it is allowed without go.
GoRound passes_until_go(const Ground& ground, const Setting& setting, double backlog, double go_wait_s) {
    constexpr int passes_max = 12;
    const auto dirt = [&](double wall_s) { return std::min(mixed(ground, setting, 0, wall_s), ground.memory); };
    double left = backlog;
    double time_s = 0;
    for (int pass = 0; pass < passes_max; ++pass) {
        const double pass_s = left / ground.bandwidth + short_round_cost * ground.overhead_s;
        if (time_s + pass_s >= go_wait_s) break;
        time_s += pass_s;
        left = dirt(pass_s);
        if (left <= before_go_s * ground.bandwidth) return {time_s, 0, left};
    }
    // Go comes in the middle of a pass; after so many they are all alike.
    const double pass_s = std::max(left / ground.bandwidth, 1e-9);
    const double part = std::fmod((go_wait_s - time_s) / pass_s, 1.0);
    const double all = dirt(part * pass_s);
    const double outside = std::min(mixed(ground, setting, setting.work_rate * pass_s, part * pass_s), all);
    return {go_wait_s, (1 - part) * left, outside + (all - outside) * part};
}

}  // namespace

double Ground::sigma() const {
    return std::sqrt(level_sigma * level_sigma + round_sigma * round_sigma);
}

Ground ground_of(const Outlook& outlook, const BrakeRange& brake, Budgets budgets, double bandwidth,
                 double switch_bandwidth, std::size_t shares_max) {
    SEGUE_ASSERT(!brake.shares.empty() && brake.shares.size() == brake.stall_s.size() && shares_max >= 2);
    Ground out;
    out.curve = outlook.curve;
    out.busy = std::clamp(outlook.busy.ratio, 1e-3, 1.0);
    out.busiest = outlook.busiest;
    out.unbraked = outlook.unbraked_ratio;
    out.bandwidth = bandwidth;
    out.switch_bandwidth = switch_bandwidth;
    out.overhead_s = to_seconds(outlook.round_overhead);
    out.fixed_s = to_seconds(outlook.costs.total());
    out.usual_s = to_seconds(expected_costs(outlook.costs).total());
    out.memory = static_cast<double>(outlook.memory.count);
    out.level_sigma = outlook.level_sigma;
    out.round_sigma = outlook.round_sigma;
    out.round_phi = outlook.round_phi;
    // Where it is that much the next sync is waited for.
    const double most_work_s = outlook.curve.work_for(counted_part_max * std::max(budgets.braked, 0.0));
    out.counted = counted_for(outlook, std::min(most_work_s, Curve::last_s));
    std::vector<Setting> braking;
    for (std::size_t i = 0; i < brake.shares.size(); ++i) {
        const double share = brake.shares[i];
        const double told = std::max(budgets.braked - switch_bandwidth * brake.stall_s[i],
                                     least_told_s * switch_bandwidth);
        if (!out.is_braked_by(share) || budgets.braked <= 0) continue;
        braking.push_back({share, brake.stall_s[i], out.work_rate(share), budgets.braked, told});
    }
    const std::size_t kept = std::min(braking.size(), shares_max - 1);
    for (std::size_t i = 0; i < kept; ++i) {
        const std::size_t at = kept == 1 ? 0 : i * (braking.size() - 1) / (kept - 1);
        out.settings.push_back(braking[at]);
    }
    out.settings.push_back({1.0, 0, out.busy, budgets.free, budgets.free});
    return out;
}

double dirtied(const Ground& ground, const Setting& setting, double wall_s) {
    return std::min(mixed(ground, setting, 0, wall_s), ground.memory);
}

WholePass whole_pass(const Ground& ground, const Setting& setting, double backlog) {
    const double time = backlog / ground.bandwidth + ground.overhead_s;
    return {time, dirtied(ground, setting, time)};
}

GoRound go_round(const Ground& ground, const Setting& setting, double backlog, double known_work,
                 double go_wait_s) {
    const double over = std::max(backlog - setting.told, 0.0);
    double sending = over / ground.bandwidth + look_s;
    if (setting.counted()) {
        const double least_s = go_wait_s > 0 ? std::min(go_wait_s, count_effect_s) : 0;
        const double fits_s = fits_after(ground, setting, backlog, least_s, std::max(sending, least_s));
        if (fits_s < never) return stopped_round(ground, setting, backlog, fits_s);
    }
    if (backlog < ground.bandwidth * go_wait_s) return passes_until_go(ground, setting, backlog, go_wait_s);
    sending = std::max(sending, go_wait_s);
    GoRound out;
    out.time_s = sending + short_round_cost * ground.overhead_s;
    out.rest = std::max(backlog - ground.bandwidth * sending, 0.0);
    const double all = mixed(ground, setting, 0, out.time_s);
    if (out.rest <= 0 || backlog <= 0) {
        out.fresh = std::min(all, ground.memory);
        return out;
    }
    // Of what is dirtied, the part that belongs to this backlog anyway is counted only where it was sent.
    const double outside = std::isinf(known_work) ? 0.0 : std::min(mixed(ground, setting, known_work, out.time_s), all);
    out.fresh = std::min(outside + (all - outside) * (1 - out.rest / backlog), ground.memory);
    return out;
}

Run run_go(const Ground& ground, const Setting& setting, double backlog, double factor) {
    Run out;
    if (setting.budget <= 0) return out;
    double left = backlog;
    for (int round = 0; round < rounds_max; ++round) {
        const auto step = go_round(ground, setting, left, ground.curve.work_for(left), round == 0 ? go_effect_s : 0);
        out.time_s += step.time_s;
        out.sent += left - step.rest;
        const double next = step.rest + factor * step.fresh;
        if (next <= setting.budget) {
            out.stops = true;
            out.pending = next;
            return out;
        }
        if (round > 0 && next > still * left) return out;
        left = next;
    }
    return out;
}

Run run_natural(const Ground& ground, double backlog, double factor) {
    Run out;
    const auto& setting = ground.unbraked_setting();
    double left = backlog;
    for (int round = 0; round < rounds_max && left > setting.budget; ++round) {
        const auto pass = whole_pass(ground, setting, left);
        out.time_s += pass.time_s;
        out.sent += left;
        const double next = std::min(factor * pass.fresh, ground.memory);
        if (round > 0 && next > still * left) return out;
        left = next;
    }
    const auto last = run_go(ground, setting, left, factor);
    return {last.stops, out.time_s + last.time_s, last.pending, out.sent + last.sent};
}

bool stops_within(const Ground& ground, double backlog, double factor, double limit_s) {
    const auto good = [limit_s](const Run& run) { return run.stops && run.time_s <= limit_s; };
    const auto braked = [&](const Setting& setting) { return good(run_go(ground, setting, backlog, factor)); };
    return std::ranges::any_of(ground.settings, braked) || good(run_natural(ground, backlog, factor));
}

double natural_level(const Ground& ground, double backlog, double factor) {
    double left = backlog;
    for (int round = 0; round < rounds_max; ++round) {
        const double next = factor * whole_pass(ground, ground.unbraked_setting(), left).fresh;
        if (next <= 1 || std::abs(next - left) < 0.002 * left) return next;
        left = next;
    }
    return left;
}

}  // namespace segue::converge

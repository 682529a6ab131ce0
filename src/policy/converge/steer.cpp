#include "policy/converge/steer.hpp"

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

/// A guest that converges slowly may take so many times as long without a brake as with one, at aggression 1; at half
/// of it four times that, at 0 any time.
constexpr double patience = 4;
/// From the last sync to the word: events, journal, the guardian.
constexpr double engine_s = 0.3;
/// A natural level this near the budget is taken for above it.
constexpr double nearly = 0.9;
/// Waiting must save something: an idle guest would else be watched for ever.
constexpr double worth_waiting = 0.99;
/// Of the time gone by: a pass so short may be looked on for, where it saves so many times what it costs.
constexpr double short_pass = 0.1;
constexpr double worth_a_look = 2;

struct Option {
    std::size_t setting = 0;
    double cost = never;
    bool in_time = false;
};

/// The cheapest of those that end in time also on a rough course; without any, the quickest.
Option best_option(const Terrain& terrain, const Values& values, const Situation& now) {
    const auto& settings = terrain.ground().settings;
    const double known_work = terrain.ground().curve.work_for(now.backlog);
    const bool hurried = std::isfinite(now.time_left);
    Option cheapest;
    Option quickest;
    double least_s = 4 * never;
    for (std::size_t k = 0; k < terrain.ground().go_settings(); ++k) {
        if (now.allowed && k > 0 && settings[k].share > now.share + same_share) continue;
        const auto step = terrain.step(now.backlog, known_work, k, now.allowed ? Go::counts : Go::any_wait);
        const double cost = cost_of(terrain, values, k, step);
        double rough_s = 0;
        if (hurried) {
            rough_s = terrain.stop_time(rough, step);
            // Where nothing ends on a rough course, a usual one decides.
            const double time_s = is_never(rough_s) ? never + terrain.stop_time(usual, step) : rough_s;
            if (time_s < least_s) {
                least_s = time_s;
                quickest = {k, cost, false};
            }
        }
        if (rough_s * now.slowness <= now.time_left && cost < cheapest.cost) cheapest = {k, cost, true};
    }
    return cheapest.in_time ? cheapest : quickest;
}

}  // namespace

Steering::Steering(const Ground& ground, double highest)
    : braked_(ground, highest), unaided_(braked_.unaided()),
      natural_level_(converge::natural_level(ground, highest, 1)) {}

Steering::Priced Steering::price(double aggression) const {
    const auto prices = prices_of(aggression);
    return {aggression, solve(braked_, prices), solve(unaided_, prices)};
}

double Steering::stop_time(NoisePoint noise, double backlog) const {
    return std::min(braked_.stop_time(noise, backlog), unaided_.stop_time(noise, backlog));
}

bool Steering::may_wait(const Situation& now) const {
    if (!std::isfinite(now.time_left)) return true;
    const auto& setting = ground().unbraked_setting();
    double time_s = 0;
    double next = 0;
    if (now.allowed) {
        const auto round = go_round(ground(), setting, now.backlog, ground().curve.work_for(now.backlog), 0);
        time_s = round.time_s;
        next = round.rest + std::exp(noise_at[rough] * ground().sigma()) * round.fresh;
    } else {
        const auto pass = whole_pass(ground(), setting, now.backlog);
        time_s = pass.time_s;
        next = std::exp(noise_at[rough] * ground().sigma() + now.shift) * pass.fresh;
    }
    return now.slowness * (time_s + stop_time(rough, std::min(next, ground().memory))) <= now.time_left;
}

bool Steering::needs_no_brake(double aggression, const Situation& now) const {
    if (ground().settings.size() == 1) return true;
    if (now.allowed && ground().is_braked_by(now.share)) return false;
    const double alone = unaided_.stop_time(usual, now.backlog);
    if (is_never(alone)) return false;
    const double aided = braked_.stop_time(usual, now.backlog);
    return alone * aggression * aggression <= patience * aided && may_wait(now);
}

Choice Steering::choose(const Priced& priced, const Situation& now) const {
    if (!needs_no_brake(priced.aggression, now)) return choose_on(braked_, priced.braked, now);
    Situation alone = now;
    // Whole passes do not bring such a guest under its budget; the scan after go does.
    alone.waited = alone.waited || natural_level_ > nearly * ground().unbraked_setting().budget;
    auto out = choose_on(unaided_, priced.unaided, alone);
    out.unaided = true;
    out.setting = ground().settings.size() - 1;
    out.looks_on = out.go && !out.for_time && may_leave_less(priced.aggression, alone) && may_wait(alone);
    if (out.looks_on) out.go = false;
    return out;
}

/// What a guest dirties in so short a time was hardly ever seen: the curve is a guess there, and the last fall, where
/// it is no chance, says more of the next. (600 cases, seed 77: lost work P95 1.51 times the optimum without looks,
/// 1.28 where a pass left under 0.7 of the one before, 1.25 by this price.)
bool Steering::may_leave_less(double aggression, const Situation& now) const {
    if (now.allowed || now.waited || now.before <= 0 || now.backlog >= now.before) return false;
    const double sends_s = now.backlog / ground().bandwidth;
    if (sends_s <= before_go_s) return false;
    const double pass_s = sends_s + ground().overhead_s;
    const double left = now.backlog / now.before;
    // The noise of two rounds.
    const double chance = std::sqrt(2 * (1 - ground().round_phi)) * ground().round_sigma;
    if (left > std::exp(-chance)) return false;
    const double saves_s = (1 - left) * now.backlog / ground().switch_bandwidth;
    const auto prices = prices_of(aggression);
    if ((prices.work + prices.time) * saves_s < worth_a_look * prices.time * pass_s) return false;
    return pass_s <= short_pass * now.gone_s;
}

Choice Steering::choose_on(const Terrain& terrain, const Values& values, const Situation& now) const {
    const auto option = best_option(terrain, values, now);
    Choice out{true, false, !option.in_time, option.setting};
    if (now.allowed || now.waited) return out;
    if (cost_of(values, terrain.wait(now.backlog, now.shift)) > worth_waiting * option.cost) return out;
    out.for_time = !may_wait(now);
    out.go = out.for_time;
    return out;
}

std::size_t Steering::first_pass_setting(double pass_s, double time_left, double slowness) const {
    const std::size_t top = ground().settings.size() - 1;
    if (!std::isfinite(time_left)) return top;
    const auto highest_in_time = [&](NoisePoint noise) -> std::optional<std::size_t> {
        const double factor = std::exp(noise_at[noise] * ground().sigma());
        for (std::size_t k = top + 1; k-- > 0;) {
            const double left = std::min(factor * dirtied(ground(), ground().settings[k], pass_s), ground().memory);
            if (slowness * (pass_s + stop_time(noise, left)) <= time_left) return k;
        }
        return std::nullopt;
    };
    // By page samples alone: what is only doubtful is braked when a whole pass has shown it. (Braking for the rough
    // course cost a guest of 1 TiB 270 s of work for 73, and no timeout was missed without it in 240 cases.)
    // A brake that does not help is not set.
    if (const auto likely = highest_in_time(usual)) return *likely;
    return highest_in_time(calm).value_or(top);
}

int passes_waited_max(double aggression) {
    return 6 + static_cast<int>(std::lround(14 * (1 - std::clamp(aggression, 0.0, 1.0))));
}

double time_kept(const Ground& ground) {
    return ground.fixed_s + ground.unbraked_setting().budget / ground.switch_bandwidth + engine_s;
}

}  // namespace segue::converge

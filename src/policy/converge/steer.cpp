#include "policy/converge/steer.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace segue::converge {
namespace {

/// A guest that converges slowly may take so many times as long without a brake as with one, at aggression 1.
constexpr double patience = 4;
/// From the last sync to the word: events, journal, the guardian.
constexpr double engine_s = 0.3;
/// A natural level this near the budget is taken for above it.
constexpr double nearly = 0.9;
constexpr double same_share = 1e-9;

struct Option {
    std::size_t setting = 0;
    double cost = 0;
    double rough_s = never;
    double usual_s = never;
};

double time_to_stop(const Terrain& terrain, const Terrain::Step& step, NoisePoint noise) {
    const double time = static_cast<double>(step.time_s);
    if (step.next[noise] < 0) return time;
    return time + terrain.stop_time(noise, static_cast<double>(step.pending[noise]));
}

/// The cheapest of those that end in time also on a rough course; without any, the quickest.
std::pair<Option, bool> best_option(const Terrain& terrain, const Values& values, const Situation& now) {
    const auto& settings = terrain.ground().settings;
    const double known_work = terrain.ground().curve.work_for(now.backlog);
    Option cheapest{0, never, never, never};
    Option quickest{0, never, 2 * never, 2 * never};
    for (std::size_t k = 0; k < terrain.ground().go_settings(); ++k) {
        if (now.allowed && k > 0 && settings[k].share > now.share + same_share) continue;
        const auto step = terrain.step(now.backlog, known_work, k, !now.allowed);
        const Option option{k, cost_of(terrain, values, k, step), time_to_stop(terrain, step, rough),
                            time_to_stop(terrain, step, usual)};
        const bool in_time = option.rough_s * now.slowness <= now.time_left;
        if (in_time && option.cost < cheapest.cost) cheapest = option;
        const bool quicker = is_never(option.rough_s) && is_never(quickest.rough_s)
                                 ? option.usual_s < quickest.usual_s
                                 : option.rough_s < quickest.rough_s;
        if (quicker) quickest = option;
    }
    if (cheapest.cost < never) return {cheapest, true};
    return {quickest, false};
}

}  // namespace

Choice choose(const Terrain& terrain, const Values& values, const Situation& now) {
    const auto [option, in_time] = best_option(terrain, values, now);
    Choice out{true, option.setting, !in_time, option.cost, 0};
    if (now.allowed || now.waited) return out;
    const auto wait = terrain.wait(now.backlog, now.shift);
    out.cost_of_other = cost_of(values, wait);
    if (out.cost_of_other > option.cost) return out;
    if (!may_wait(terrain, now)) {
        out.for_time = true;
        return out;
    }
    std::swap(out.cost, out.cost_of_other);
    out.go = false;
    return out;
}

bool may_wait(const Terrain& terrain, const Situation& now) {
    if (!std::isfinite(now.time_left)) return true;
    const auto& ground = terrain.ground();
    const auto& setting = ground.unbraked_setting();
    double time_s = 0;
    double next = 0;
    if (now.allowed) {
        const auto round = go_round(ground, setting, now.backlog, ground.curve.work_for(now.backlog), false);
        time_s = round.time_s;
        next = round.rest + std::exp(noise_at[rough] * ground.sigma()) * round.fresh;
    } else {
        const auto pass = whole_pass(ground, setting, now.backlog);
        time_s = pass.time_s;
        next = std::exp(noise_at[rough] * ground.sigma() + now.shift) * pass.fresh;
    }
    return now.slowness * (time_s + terrain.stop_time(rough, std::min(next, ground.memory))) <= now.time_left;
}

bool needs_go(const Ground& ground, double backlog) {
    return natural_level(ground, backlog, 1) > nearly * ground.unbraked_setting().budget;
}

bool needs_no_brake(const Ground& ground, double backlog, double aggression) {
    auto alone = run_go(ground, ground.unbraked_setting(), backlog, 1);
    if (!alone.stops) alone = run_natural(ground, backlog, 1);
    if (!alone.stops) return false;
    if (ground.settings.size() == 1 || aggression <= 0) return true;
    return alone.time_s * aggression * aggression <= patience * fastest_stop(ground, backlog, 1);
}

Ground without_brake(Ground ground) {
    ground.settings = {ground.settings.back()};
    return ground;
}

std::size_t first_pass_setting(const Terrain& terrain, double pass_s, double time_left, double slowness) {
    const auto& ground = terrain.ground();
    const std::size_t top = ground.settings.size() - 1;
    if (!std::isfinite(time_left)) return top;
    const auto highest_in_time = [&](NoisePoint noise) -> std::optional<std::size_t> {
        const double factor = std::exp(noise_at[noise] * ground.sigma());
        for (std::size_t k = top + 1; k-- > 0;) {
            const double left = std::min(factor * dirtied(ground, ground.settings[k], pass_s), ground.memory);
            if (slowness * (pass_s + terrain.stop_time(noise, left)) <= time_left) return k;
        }
        return std::nullopt;
    };
    if (const auto sure = highest_in_time(rough)) return *sure;
    // Nothing is sure, so what usually does must do; a brake that does not help is not set.
    if (const auto likely = highest_in_time(usual)) return *likely;
    return highest_in_time(calm).value_or(top);
}

double time_kept(const Ground& ground) {
    return ground.fixed_s + ground.unbraked_setting().budget / ground.switch_bandwidth + engine_s;
}

}  // namespace segue::converge

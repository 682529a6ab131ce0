#include "policy/converge/steer.hpp"

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

/// A guest that converges slowly may take so many times as long without a brake as with one, at aggression 1.
constexpr double patience = 4;
/// From the last sync to the word: events, journal, the guardian.
constexpr double engine_s = 0.3;
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
    for (std::size_t k = 0; k < settings.size(); ++k) {
        if (now.allowed && k > 0 && settings[k].share > now.share + same_share) continue;
        const auto step = terrain.step(now.backlog, known_work, k, !now.allowed);
        const Option option{k, cost_of(terrain, values, settings[k], step), time_to_stop(terrain, step, rough),
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
    if (now.allowed) return out;
    const auto wait = terrain.wait(now.backlog, now.shift);
    out.cost_of_other = cost_of(values, wait);
    if (out.cost_of_other > option.cost) return out;
    const double next = terrain.backlog_at(0) *
                        std::pow(terrain.backlog_at(1) / terrain.backlog_at(0), static_cast<double>(wait.next[rough]));
    const double rough_s = static_cast<double>(wait.time_s) + terrain.stop_time(rough, next);
    if (std::isfinite(now.time_left) && rough_s * now.slowness > now.time_left) {
        out.for_time = true;
        return out;
    }
    std::swap(out.cost, out.cost_of_other);
    out.go = false;
    return out;
}

bool needs_no_brake(const Ground& ground, double backlog, double aggression, double time_left) {
    const auto alone = run_go(ground, ground.unbraked_setting(), backlog, 1);
    if (!alone.stops || alone.time_s > time_left) return false;
    if (ground.settings.size() == 1 || aggression <= 0) return true;
    return alone.time_s * aggression <= patience * fastest_stop(ground, backlog, 1);
}

Ground without_brake(Ground ground) {
    ground.settings = {ground.settings.back()};
    return ground;
}

std::size_t first_pass_setting(const Terrain& terrain, double pass_s, double time_left, double slowness) {
    const auto& ground = terrain.ground();
    const std::size_t top = ground.settings.size() - 1;
    if (!std::isfinite(time_left)) return top;
    const double factor = std::exp(noise_at[rough] * ground.sigma());
    for (std::size_t k = top + 1; k-- > 0;) {
        const double left = factor * dirtied(ground, ground.settings[k], pass_s);
        if (slowness * (pass_s + terrain.stop_time(rough, std::min(left, ground.memory))) <= time_left) return k;
    }
    // No setting is sure to end in time: the one with the least to do afterwards, if that helps at all.
    const double unbraked = terrain.stop_time(usual, dirtied(ground, ground.settings[top], pass_s));
    const double braked = terrain.stop_time(usual, dirtied(ground, ground.settings[0], pass_s));
    return braked < unbraked ? 0 : top;
}

double time_kept(const Ground& ground) {
    return ground.fixed_s + ground.unbraked_setting().budget / ground.switch_bandwidth + engine_s;
}

}  // namespace segue::converge

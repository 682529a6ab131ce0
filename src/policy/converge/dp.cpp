#include "policy/converge/dp.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace segue::converge {
namespace {

/// A state from which nothing is known to end: dearer than any move, small enough that a round out of six that
/// leads into it still compares.
constexpr double hopeless_cost = 1e7;
constexpr int go_sweeps = 8;
constexpr int wait_sweeps = 12;
constexpr int time_sweeps = 3;
/// A sweep that makes nothing cheaper by a thousandth is the last.
constexpr double settled = 0.999;

/// Time costs this even when only work counts: a guest at its natural level would else be watched for ever for a
/// calmer moment. One second of wall time against 15 ms of guest work.
constexpr double least_time_price = 0.015;
/// What a second of guest work still costs when only time counts: it decides between equally fast choices.
constexpr double least_work_price = 1e-3;
/// How fast time gets dearer.
constexpr double steepness = 0.04;
/// Noise up to this is no phase to wait for: it would save a few per cent of a round and make the end unforeseeable.
constexpr double no_spell = 0.1;
/// A round that leads nowhere but to where it began has no end.
constexpr double most_self = 0.98;

/// What a table says of the places a step leads to, without the place it begins at, and the weight of that: rounds
/// shorter than the scale's grain lead partly back to their own point, which is then solved for.
struct Sum {
    double others = 0;
    double self = 0;

    void add(const Terrain::Table& table, double weight, float position, std::size_t from) {
        const auto below = static_cast<std::size_t>(position);
        const double part = static_cast<double>(position) - static_cast<double>(below);
        add_point(table, weight * (1 - part), below, from);
        add_point(table, weight * part, below + 1, from);
    }
    void add_point(const Terrain::Table& table, double weight, std::size_t at, std::size_t from) {
        if (at == from) {
            self += weight;
        } else {
            others += weight * table[at];
        }
    }
    [[nodiscard]] double solved() const { return self > most_self ? never : others / (1 - self); }
};

double still_s(const Ground& ground, float pending) {
    return ground.fixed_s + static_cast<double>(pending) / ground.switch_bandwidth;
}

Sum sum_of(const Ground& ground, const Values& values, std::size_t setting, const Terrain::Step& step,
           std::size_t from) {
    const auto& s = ground.settings[setting];
    const auto& prices = values.prices;
    Sum out;
    out.others = (prices.work * (ground.busy - s.work_rate) + prices.time) * static_cast<double>(step.time_s);
    // Whoever talks to the guest waits all of a standstill, however little of it the guest would have worked.
    const double stopped = prices.work + prices.time;
    for (std::size_t j = 0; j < 3; ++j) {
        if (step.next[j] < 0) {
            out.others += noise_weight[j] * stopped * still_s(ground, step.pending[j]);
        } else {
            out.add(values.after_go, noise_weight[j], step.next[j], from);
        }
    }
    return out;
}

Sum sum_of(const Values& values, const Terrain::Table& table, const Terrain::Wait& wait, std::size_t from) {
    Sum out;
    out.others = values.prices.time * static_cast<double>(wait.time_s);
    for (std::size_t j = 0; j < 3; ++j) out.add(table, noise_weight[j], wait.next[j], from);
    return out;
}

/// No point of the scale: nothing is solved for.
constexpr std::size_t nowhere = Terrain::points;

}  // namespace

Prices prices_of(double aggression) {
    const double a = std::clamp(aggression, 0.0, 1.0);
    if (a >= 1) return {least_work_price, 1};
    return {1, least_time_price + steepness * a / (1 - a)};
}

Terrain::Terrain(Ground ground, double highest) : ground_(std::move(ground)) {
    SEGUE_ASSERT(!ground_.settings.empty() && ground_.bandwidth > 0);
    const double lowest = std::max(0.05 * ground_.unbraked_setting().budget, 4096.0);
    log_lowest_ = std::log(lowest);
    log_step_ = std::log(std::max(highest, 4 * lowest) / lowest) / static_cast<double>(points - 1);
    const double spells = std::sqrt(std::max(ground_.round_sigma * ground_.round_sigma - no_spell * no_spell, 0.0));
    for (std::size_t j = 0; j < 3; ++j) {
        factors_[j] = std::exp(ground_.sigma() * noise_at[j]);
        calm_factors_[j] = std::exp(spells * noise_at[j]);
    }
    fill();
    fill_fastest();
}

Terrain Terrain::unaided() const {
    Terrain out = *this;
    out.ground_.settings = {ground_.unbraked_setting()};
    const auto top = static_cast<std::ptrdiff_t>((ground_.settings.size() - 1) * points);
    out.steps_.erase(out.steps_.begin(), out.steps_.begin() + top);
    out.first_steps_.erase(out.first_steps_.begin(), out.first_steps_.begin() + top);
    out.fill_fastest();
    return out;
}

double Terrain::position(double backlog) const {
    if (backlog <= 1) return 0;
    const double at = (std::log(backlog) - log_lowest_) / log_step_;
    return std::clamp(at, 0.0, static_cast<double>(points - 1) - 1e-4);
}

double Terrain::look_up(const Table& table, double position) {
    const auto below = static_cast<std::size_t>(position);
    const double part = position - static_cast<double>(below);
    return table[below] + part * (table[below + 1] - table[below]);
}

Terrain::Step Terrain::step(double backlog, double known_work, std::size_t setting, Go go) const {
    const auto& s = ground_.settings[setting];
    Step out;
    const auto round = go_round(ground_, s, backlog, known_work, go == Go::counts ? 0 : go_effect_s);
    out.time_s = static_cast<float>(round.time_s);
    std::array<double, 3> next{};
    for (std::size_t j = 0; j < 3; ++j) next[j] = round.rest + factors_[j] * round.fresh;
    if (go == Go::any_wait) {
        // The noise of the round and the wait in one: the best of both ends at one point, the worst at the other.
        const auto late = go_round(ground_, s, backlog, known_work, go_effect_at_s[calm]);
        const auto early = go_round(ground_, s, backlog, known_work, go_effect_at_s[rough]);
        const auto after = [&](NoisePoint j, const GoRound& one) { return one.rest + factors_[j] * one.fresh; };
        next[calm] = std::min(after(calm, late), after(calm, early));
        next[rough] = std::max(after(rough, late), after(rough, early));
    }
    for (std::size_t j = 0; j < 3; ++j) {
        next[j] = std::min(next[j], ground_.memory);
        out.pending[j] = static_cast<float>(next[j]);
        out.next[j] = next[j] <= s.budget ? -1.0F : static_cast<float>(position(next[j]));
    }
    return out;
}

Terrain::Wait Terrain::wait(double backlog, double shift) const {
    const auto pass = whole_pass(ground_, ground_.unbraked_setting(), backlog);
    Wait out;
    out.time_s = static_cast<float>(pass.time_s);
    const double factor = shift == 0 ? 1.0 : std::exp(shift);
    for (std::size_t j = 0; j < 3; ++j) {
        out.next[j] = static_cast<float>(position(std::min(pass.fresh * calm_factors_[j] * factor, ground_.memory)));
    }
    return out;
}

void Terrain::fill() {
    const std::size_t settings = ground_.settings.size();
    steps_.resize(settings * points);
    first_steps_.resize(settings * points);
    backlogs_.resize(points);
    waits_.resize(points);
    for (std::size_t i = 0; i < points; ++i) {
        const double backlog = std::exp(log_lowest_ + log_step_ * static_cast<double>(i));
        const double known_work = ground_.curve.work_for(backlog);
        backlogs_[i] = backlog;
        waits_[i] = wait(backlog, 0);
        for (std::size_t k = 0; k < settings; ++k) {
            auto& plain = steps_[k * points + i];
            plain = step(backlog, known_work, k, Go::counts);
            // Only where a round is shorter than it takes go to count is the first one another.
            const bool brief = plain.time_s < go_effect_s + ground_.overhead_s;
            first_steps_[k * points + i] = brief ? step(backlog, known_work, k, Go::usual_wait) : plain;
        }
    }
}

void Terrain::fill_fastest() {
    for (auto& table : fastest_) table.fill(never);
    for (std::size_t j = 0; j < 3; ++j) {
        auto& table = fastest_[j];
        for (int sweep = 0; sweep < time_sweeps; ++sweep) {
            for (std::size_t i = 0; i < points; ++i) {
                for (std::size_t k = 0; k < ground_.settings.size(); ++k) {
                    const auto& go = step_at(k, i);
                    Sum sum;
                    sum.others = static_cast<double>(go.time_s);
                    if (go.next[j] >= 0) sum.add(table, 1, go.next[j], i);
                    table[i] = std::min(table[i], sum.solved());
                }
            }
        }
    }
}

double Terrain::stop_time(NoisePoint noise, double backlog) const {
    return std::max(look_up(fastest_[noise], position(backlog)), go_effect_s);
}

double Terrain::stop_time(NoisePoint noise, const Step& step) const {
    const double time = static_cast<double>(step.time_s);
    if (step.next[noise] < 0) return time;
    return time + look_up(fastest_[noise], static_cast<double>(step.next[noise]));
}

double cost_of(const Terrain& terrain, const Values& values, std::size_t setting, const Terrain::Step& step) {
    return sum_of(terrain.ground(), values, setting, step, nowhere).others;
}

double cost_of(const Values& values, const Terrain::Wait& wait) {
    return sum_of(values, values.one_pass ? values.go_now : values.before_go, wait, nowhere).others;
}

Values solve(const Terrain& terrain, const Prices& prices) {
    Values out;
    out.prices = prices;
    const auto& ground = terrain.ground();
    out.after_go.fill(hopeless_cost);
    // Useful rounds lead downwards, so going upwards most of it is solved in one sweep.
    bool moved = true;
    for (int sweep = 0; moved && sweep < go_sweeps; ++sweep) {
        moved = false;
        for (std::size_t i = 0; i < Terrain::points; ++i) {
            double best = out.after_go[i];
            for (std::size_t k = 0; k < ground.go_settings(); ++k) {
                best = std::min(best, sum_of(ground, out, k, terrain.step_at(k, i), i).solved());
            }
            moved = moved || best < settled * out.after_go[i];
            out.after_go[i] = best;
        }
    }
    for (std::size_t i = 0; i < Terrain::points; ++i) {
        double best = hopeless_cost;
        for (std::size_t k = 0; k < ground.go_settings(); ++k) {
            best = std::min(best, cost_of(terrain, out, k, terrain.first_step_at(k, i)));
        }
        out.before_go[i] = best;
    }
    out.go_now = out.before_go;
    out.one_pass = ground.settings.size() > 1 && ground.round_sigma <= no_spell;
    moved = true;
    for (int sweep = 0; moved && sweep < wait_sweeps; ++sweep) {
        moved = false;
        for (std::size_t i = 0; i < Terrain::points; ++i) {
            const double best = std::min(out.before_go[i], sum_of(out, out.before_go, terrain.wait_at(i), i).solved());
            moved = moved || best < settled * out.before_go[i];
            out.before_go[i] = best;
        }
    }
    return out;
}

}  // namespace segue::converge

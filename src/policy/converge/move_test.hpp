#pragma once
/// \file  For tests: a whole move of a random guest, round by round, under a policy. The guest is a mixture of page
///        classes with rates of their own, spread evenly over memory, which the source scans in order; it shares no
///        code with what the policy computes. QEMU's part: passes before go, the limit that counts from the next
///        window on, looks every 50 ms after it, the stop that waits for a stalled vCPU.

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "policy/converge/plan.hpp"

namespace segue::test {

struct PageClass {
    double bytes = 0;
    double rate = 0;      ///< Writes of each page in a second of guest work.
    bool sweeps = false;  ///< Written in turn (a ramp) and not at random.
};

struct Guest {
    std::vector<PageClass> classes;
    double busy = 1;
    double round_sigma = 0.08;
    double round_phi = 0;

    [[nodiscard]] double part_dirtied(std::size_t i, double work_s) const {
        const double writes = classes[i].rate * work_s;
        return classes[i].sweeps ? std::min(writes, 1.0) : 1 - std::exp(-writes);
    }
    [[nodiscard]] Curve curve() const {
        std::array<double, Curve::points> table{};
        for (std::size_t p = 0; p < Curve::points; ++p) {
            for (std::size_t i = 0; i < classes.size(); ++i) {
                table[p] += classes[i].bytes * part_dirtied(i, Curve::work_at(p));
            }
        }
        return Curve{table};
    }
};

/// A move as the operator orders it, with the truth.
struct Case {
    Guest guest;
    PlanQuestion truth;
    double bandwidth = 1e8;
    double first_level_error = 0;  ///< Of the outlook before the start, as a logarithm.
    std::uint64_t seed = 0;
};

struct Moved {
    enum class End { moved, gave_up, timeout, downtime } end = End::timeout;
    std::string because;
    double total_s = 0;
    double downtime_s = 0;
    double lost_s = 0;
    double lowest_share = 1;
    int passes = 0;  ///< Syncs seen.
    std::vector<double> forecasts;
};

/// Plays one move. The outlook that the policy sees learns the guest's level from every pass.
class Move {
public:
    Move(const Case& given, double aggression) : case_(given), aggression_(aggression), random_(given.seed) {
        slices_.assign(slice_count, std::vector<double>(given.guest.classes.size(), 1.0));
        outlook_ = given.truth.outlook;
        outlook_.curve = given.truth.outlook.curve.scaled(std::exp(given.first_level_error));
    }

    Moved run(Policy& policy);

private:
    static constexpr std::size_t slice_count = 64;
    static constexpr int syncs_max = 4000;

    void ask(Policy& policy);
    void send(double seconds);
    void pause(double seconds);
    void sync();
    void learn();
    [[nodiscard]] double left() const;
    [[nodiscard]] double budget(double share) const;
    [[nodiscard]] double stall(double share) const;
    [[nodiscard]] double next_look() const;
    void stop();
    double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
    double normal() { return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(2 * M_PI * uniform()); }

    const Case& case_;
    double aggression_;
    std::mt19937_64 random_;
    Outlook outlook_;
    Moved out_;
    std::vector<std::vector<double>> slices_;  ///< Part of each class that is still to be sent, by place.
    double scanned_ = 0;                       ///< Where the scan stands, in slices.
    double work_ = 0;                          ///< Since the last sync.
    double share_ = 1;
    double spell_ = 0;
    bool allowed_ = false;
    double counts_at_ = 0;  ///< When go takes effect.
    bool over_ = false;
    std::vector<Pass> passes_;
    double log_sum_ = 0;
    int learned_ = 0;
};

inline double Move::left() const {
    double sum = 0;
    for (const auto& slice : slices_) {
        for (std::size_t i = 0; i < slice.size(); ++i) sum += slice[i] * case_.guest.classes[i].bytes / slice_count;
    }
    return sum;
}

inline double Move::stall(double share) const {
    const auto& range = case_.truth.brake;
    for (std::size_t i = 0; i < range.shares.size(); ++i) {
        if (range.shares[i] >= share - 1e-9) return range.stall_s[i];
    }
    return 0;
}

inline double Move::budget(double share) const {
    FixedCosts costs = case_.truth.outlook.costs;
    costs.stop += from_seconds(stall(share));
    const ByteRate rate{static_cast<std::int64_t>(case_.truth.outlook.bandwidth_bytes_per_second.p10)};
    return static_cast<double>(
        pending_budget(case_.truth.max_downtime, case_.truth.reserve, costs, rate, Bytes{200'000}).count);
}

/// Sends for so long, in the order of the scan; the guest works on.
inline void Move::send(double seconds) {
    double bytes = seconds * case_.bandwidth;
    for (std::size_t turns = 0; bytes > 1 && turns <= slice_count; ++turns) {
        auto& slice = slices_[static_cast<std::size_t>(scanned_) % slice_count];
        double here = 0;
        for (std::size_t i = 0; i < slice.size(); ++i) here += slice[i] * case_.guest.classes[i].bytes / slice_count;
        const double part = here <= bytes ? 1.0 : bytes / here;
        for (auto& dirty : slice) dirty *= 1 - part;
        bytes -= here * part;
        if (part >= 1) scanned_ += 1;
    }
    pause(seconds);
}

inline void Move::pause(double seconds) {
    const double rate = std::min(share_, case_.guest.busy);
    out_.total_s += seconds;
    out_.lost_s += (case_.guest.busy - rate) * seconds;
    work_ += rate * seconds;
}

inline void Move::sync() {
    const double phi = case_.guest.round_phi;
    spell_ = phi * spell_ + std::sqrt(1 - phi * phi) * case_.guest.round_sigma * normal();
    for (std::size_t i = 0; i < case_.guest.classes.size(); ++i) {
        const double part = std::min(case_.guest.part_dirtied(i, work_) * std::exp(spell_), 1.0);
        for (auto& slice : slices_) slice[i] = 1 - (1 - slice[i]) * (1 - part);
    }
    out_.passes += 1;
}

/// What a model may learn from one pass: the level, once more, with the round's noise in it.
inline void Move::learn() {
    if (allowed_ || passes_.size() < 2 || work_ <= 0) return;
    const double expected = case_.truth.outlook.curve.bytes_in(work_);
    if (expected <= 0 || left() <= 0) return;
    learned_ += 1;
    log_sum_ += std::log(left() / expected);
    const double prior = case_.truth.outlook.level_sigma;
    const double noise = std::max(outlook_.round_sigma, 0.02);
    const double weight = 1 / (prior * prior);
    const double seen = learned_ / (noise * noise);
    const double level = (weight * case_.first_level_error + log_sum_ / (noise * noise)) / (weight + seen);
    outlook_.curve = case_.truth.outlook.curve.scaled(std::exp(level));
    outlook_.level_sigma = std::sqrt(1 / (weight + seen));
    outlook_.passes_seen = learned_;
}

inline void Move::ask(Policy& policy) {
    passes_.push_back({out_.passes, from_seconds(out_.total_s), Bytes{static_cast<std::int64_t>(left())},
                       from_seconds(work_), Share{share_}});
    learn();
    work_ = 0;
    View view;
    view.elapsed = from_seconds(out_.total_s);
    view.timeout = case_.truth.timeout;
    view.passes = passes_;
    view.memory = case_.truth.outlook.memory;
    if (out_.passes > 1) {
        view.bandwidth = ByteRate{static_cast<std::int64_t>(case_.truth.outlook.bandwidth_bytes_per_second.p10)};
    }
    view.budget = view.braked_budget = Bytes{static_cast<std::int64_t>(budget(share_))};
    view.allowed = allowed_;
    view.max_downtime = case_.truth.max_downtime;
    view.aggression = aggression_;
    view.brake = case_.truth.brake;
    view.share = Share{share_};
    view.outlook = outlook_;
    const auto decision = policy.decide(view);
    out_.because = decision.because;
    out_.forecasts.push_back(decision.total_s ? decision.total_s->p50 : 0);
    if (std::holds_alternative<GiveUp>(decision.action)) {
        out_.end = Moved::End::gave_up;
        over_ = true;
        return;
    }
    if (decision.share) share_ = std::max(decision.share->ratio, case_.truth.brake.shares.front());
    out_.lowest_share = std::min(out_.lowest_share, share_);
    if (std::holds_alternative<AllowSwitchover>(decision.action) && !allowed_) {
        allowed_ = true;
        counts_at_ = out_.total_s + 0.03 + 0.12 * uniform();
    }
}

/// The stop: what was dirtied until the last vCPU stood comes on top.
inline void Move::stop() {
    const auto& costs = case_.truth.outlook.costs;
    const double stand = stall(share_) * uniform();
    const double fixed = to_seconds(expected_costs(costs).total()) * (1.1 - 0.2 * uniform());
    out_.downtime_s = stand + fixed + left() / case_.bandwidth;
    out_.total_s += out_.downtime_s;
    out_.lost_s += out_.downtime_s * case_.guest.busy;
    out_.end = Moved::End::moved;
    if (out_.downtime_s > to_seconds(case_.truth.max_downtime)) out_.end = Moved::End::downtime;
    if (case_.truth.timeout && out_.total_s > to_seconds(*case_.truth.timeout)) out_.end = Moved::End::timeout;
    over_ = true;
}

inline Moved Move::run(Policy& policy) {
    out_.passes = 1;
    work_ = 0;
    ask(policy);
    while (!over_ && out_.passes < syncs_max) {
        // Until little enough is left; after go from the moment it counts on.
        const double limit = allowed_ ? std::max(budget(share_), 0.0) : 0.0;
        double seconds = std::max(left() - limit, 0.0) / case_.bandwidth;
        if (allowed_ && out_.total_s + seconds < counts_at_) {
            seconds = std::min(left() / case_.bandwidth, counts_at_ - out_.total_s);
        }
        // It looks every 50 ms at most, and at once where nothing is left to send.
        if (allowed_ && seconds < left() / case_.bandwidth) seconds += 0.05 * uniform();
        send(std::max(seconds, 1e-3));
        pause(to_seconds(case_.truth.outlook.round_overhead) * (allowed_ ? 0.25 : 1));
        if (case_.truth.timeout && out_.total_s > to_seconds(*case_.truth.timeout)) {
            out_.end = Moved::End::timeout;
            return out_;
        }
        sync();
        const bool counts = allowed_ && out_.total_s >= counts_at_;
        if (left() <= (counts ? budget(share_) : case_.bandwidth * 0.001)) {
            stop();
            break;
        }
        ask(policy);
    }
    return out_;
}

}  // namespace segue::test

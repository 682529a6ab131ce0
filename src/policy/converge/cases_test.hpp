#pragma once
/// \file  For tests: seeded random moves, from plain guests to hopeless ones.

#include "policy/converge/move_test.hpp"

namespace segue::test {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : random_(seed) {}
    double uniform(double low, double high) {
        return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
    }
    double log_uniform(double low, double high) { return std::exp(uniform(std::log(low), std::log(high))); }
    bool one_in(double n) { return uniform(0, n) < 1; }
    double normal() { return std::sqrt(-2 * std::log(1 - uniform(0, 1))) * std::cos(2 * M_PI * uniform(0, 1)); }

private:
    std::mt19937_64 random_;
};

/// Stalls as a kernel at 250 Hz with periods of 10 to 20 ms has them.
inline BrakeRange brake_from(double floor, double max_stall) {
    BrakeRange out;
    out.shares.clear();
    out.stall_s.clear();
    for (int i = 0; i <= 12; ++i) {
        const double share = floor * std::pow(1 / floor, i / 12.0);
        const double stall = i == 12 ? 0 : 0.004 * (1 / share - 1) + 0.010;
        if (i < 12 && stall > max_stall) {
            out.cut_by_stall = true;
            continue;
        }
        out.shares.push_back(i == 12 ? 1.0 : share);
        out.stall_s.push_back(stall);
    }
    return out;
}

inline Guest guest_of(Dice& dice, double memory, double bandwidth) {
    Guest out;
    const double dirt = dice.log_uniform(0.05, 15) * bandwidth;  // Bytes a second, first touches.
    const double hot = dice.log_uniform(0.02, 0.7) * memory;
    out.classes.push_back({hot, dirt / hot, dice.one_in(3)});
    double rest = memory - hot;
    if (dice.one_in(2)) {
        const double warm = rest * dice.uniform(0.1, 0.6);
        out.classes.push_back({warm, dirt * dice.log_uniform(0.01, 0.3) / warm, false});
        rest -= warm;
    }
    if (dice.one_in(3)) {
        const double small = std::min(rest * 0.3, 0.02 * bandwidth);
        out.classes.push_back({small, dice.log_uniform(5, 50), false});
        rest -= small;
    }
    out.classes.push_back({rest, 0, false});
    out.busy = dice.one_in(3) ? dice.uniform(0.2, 1) : 1.0;
    out.round_sigma = dice.uniform(0.02, 0.12);
    out.round_phi = dice.one_in(3) ? dice.uniform(0, 0.6) : 0;
    return out;
}

inline Case case_of(std::uint64_t seed) {
    Dice dice(seed * 7919 + 17);
    Case out;
    out.seed = seed + 1;
    out.bandwidth = dice.log_uniform(50e6, 3e9);
    const double memory = out.bandwidth * dice.log_uniform(2, 60);
    out.guest = guest_of(dice, memory, out.bandwidth);
    auto& truth = out.truth;
    auto& outlook = truth.outlook;
    outlook.curve = out.guest.curve();
    outlook.level_sigma = 0.2;
    outlook.round_sigma = out.guest.round_sigma;
    outlook.round_phi = out.guest.round_phi;
    outlook.busy = Share{out.guest.busy};
    outlook.bandwidth_bytes_per_second = {out.bandwidth * 0.98, out.bandwidth, out.bandwidth * 1.01};
    outlook.bandwidth_known = true;
    outlook.memory = Bytes{static_cast<std::int64_t>(memory)};
    outlook.first_pass = outlook.memory;
    outlook.round_overhead = from_seconds(dice.uniform(0.0, 0.05));
    outlook.costs = prior_fixed_costs;
    truth.max_downtime = from_seconds(dice.log_uniform(0.15, 1.0));
    truth.reserve = std::chrono::milliseconds{30};
    truth.brake = brake_from(dice.log_uniform(0.03, 0.5), to_seconds(truth.max_downtime) / 2);
    if (dice.one_in(2)) truth.timeout = from_seconds(memory / out.bandwidth * dice.uniform(1.2, 5));
    out.first_level_error = 0.2 * dice.normal();
    return out;
}

}  // namespace segue::test

#pragma once
/// \file  Guests with a known curve, and what page sampling and dirty syncs would say of them. For tests.
///
/// None of the families is one of the fit's own parts alone, but for `saturating` and `ramp`. Everything from a seed.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "model/guest_model.hpp"

namespace segue::test {

enum class Family { saturating, ramp, two_class, zipf, three_ramps, log_like };
inline constexpr int families = 6;

/// One part of a curve: `bytes` of pages, all rewritten within about `tau_s` of work.
struct Part {
    double bytes = 0;
    double tau_s = 1;
    bool ramp = false;
};

struct RandomGuest {
    Family family = Family::saturating;
    double memory = 0;
    double filled = 0;     ///< Not zero.
    double bandwidth = 0;  ///< Bytes a second.
    double busy = 1;
    double round_sd = 0;    ///< Of ln(dirtied), round by round.
    double silent = 0;      ///< Part of the dirtying that page sampling does not see.
    std::vector<Part> parts;

    [[nodiscard]] double dirtied(double work_s) const {
        double sum = 0;
        for (const auto& part : parts) {
            const double x = work_s / part.tau_s;
            sum += part.bytes * (part.ramp ? std::min(x, 1.0) : -std::expm1(-x));
        }
        return std::min(sum, memory);
    }
};

class Chance {
public:
    explicit Chance(std::uint64_t seed) : engine_(seed) {}
    double uniform(double low, double high) {
        // The standard's distributions differ between libraries; these figures must not.
        return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
    }
    double log_uniform(double low, double high) { return std::exp(uniform(std::log(low), std::log(high))); }
    double normal() {
        const double r = std::sqrt(-2 * std::log(uniform(1e-12, 1)));
        return r * std::cos(6.283185307179586 * uniform(0, 1));
    }
    std::uint64_t below(std::uint64_t n) { return engine_() % n; }

private:
    std::mt19937_64 engine_;
};

inline RandomGuest random_guest(Chance& chance) {
    RandomGuest g;
    g.family = static_cast<Family>(chance.below(families));
    g.memory = chance.log_uniform(512e6, 64e9);
    g.filled = g.memory * chance.uniform(0.4, 1.0);
    g.bandwidth = g.memory / chance.log_uniform(4, 40);
    g.busy = chance.uniform(0.3, 1.0);
    g.round_sd = chance.uniform(0.01, 0.08);
    g.silent = chance.uniform(0, 0.1);
    const double set = g.memory * chance.log_uniform(0.02, 0.5);
    const double rate = g.bandwidth * chance.log_uniform(0.1, 10);
    const double tau = set / rate;
    switch (g.family) {
        case Family::saturating: g.parts = {{set, tau, false}}; break;
        case Family::ramp: g.parts = {{set, tau, true}}; break;
        case Family::two_class: {
            const double hot = chance.uniform(0.05, 0.4);
            g.parts = {{set * hot, tau * hot, false},
                       {set * (1 - hot), tau * chance.log_uniform(3, 50), false}};
            break;
        }
        case Family::zipf: {
            const double power = chance.uniform(0.6, 1.2);
            double total = 0;
            for (int i = 1; i <= 200; ++i) total += std::pow(i, -power);
            for (int i = 1; i <= 200; ++i) {
                const double writes = rate * std::pow(i, -power) / total;
                g.parts.push_back({set / 200, set / 200 / writes, false});
            }
            break;
        }
        case Family::three_ramps:
            for (int i = 0; i < 3; ++i) {
                g.parts.push_back({set * chance.uniform(0.1, 0.5), tau * chance.log_uniform(0.1, 10), true});
            }
            break;
        case Family::log_like:
            for (int i = 0; i < 40; ++i) g.parts.push_back({set / 40, tau * std::pow(10, -1.5 + 0.075 * i), false});
            break;
    }
    return g;
}

/// What calc-dirty-rate would say: some pages hashed, whole MiB a second.
inline PageSample page_sample(const RandomGuest& g, double interval_s, Chance& chance) {
    PageSample out;
    out.interval = from_seconds(interval_s);
    const double seen = g.dirtied(interval_s * g.busy) * (1 - g.silent);
    out.pages_hashed = static_cast<std::int64_t>(std::clamp(g.memory / 4096 / 16, 8192.0, 65536.0));
    const double q = std::clamp(seen / g.memory, 0.0, 1.0);
    const double n = static_cast<double>(out.pages_hashed);
    const double hits = std::clamp(std::round(n * q + chance.normal() * std::sqrt(n * q * (1 - q))), 0.0, n);
    constexpr double mib = 1024 * 1024;
    const double rate = std::floor(hits / n * g.memory / interval_s / mib) * mib;
    out.dirtied = Bytes{static_cast<std::int64_t>(rate * interval_s)};
    return out;
}

}  // namespace segue::test

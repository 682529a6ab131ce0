#include "model/round_forecast.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace segue {
namespace {

/// More rounds than any move worth waiting for; the residual of a convergent guest falls geometrically.
constexpr int rounds_max = 200;

double curve_value(double working_set, double rate, double seconds) {
    if (working_set <= 0) return 0;
    return working_set * (1 - std::exp(-rate * seconds / working_set));
}

}  // namespace

Bytes DirtyCurve::dirtied_in(Duration guest_work) const {
    return {static_cast<std::int64_t>(curve_value(
        static_cast<double>(working_set.count), static_cast<double>(initial_rate.per_second), to_seconds(guest_work)))};
}

DirtyCurve fit_dirty_curve(const DirtySample& brief, const DirtySample& long_one, Bytes memory) {
    SEGUE_ASSERT(brief.interval.count() > 0 && brief.interval < long_one.interval);
    const double t1 = to_seconds(brief.interval);
    const double t2 = to_seconds(long_one.interval);
    const double d1 = static_cast<double>(std::min(brief.dirtied, memory).count);
    // A curve never falls and never rises faster than it began; samples are noisy and may say so.
    const double d2 = std::clamp(static_cast<double>(std::min(long_one.dirtied, memory).count), d1, d1 * t2 / t1);
    if (d1 <= 0) return {{0}, {0}};
    const double all = static_cast<double>(memory.count);
    if (d2 >= d1 * t2 / t1 * 0.98) return {memory, {static_cast<std::int64_t>(d1 / t1)}};
    // For a given W the first sample fixes r; the second then rises with W: bisect on W.
    double low = d2;
    double high = all;
    for (int i = 0; i < 100; ++i) {
        const double w = (low + high) / 2;
        const double x = 1 - d1 / w;
        const double predicted = x <= 0 ? w : w * (1 - std::pow(x, t2 / t1));
        (predicted < d2 ? low : high) = w;
    }
    const double w = std::min(high, all);
    const double x = std::max(1 - d1 / w, 1e-9);
    return {{static_cast<std::int64_t>(w)}, {static_cast<std::int64_t>(-w * std::log(x) / t1)}};
}

RoundForecast forecast_rounds(const DirtyCurve& curve, Bytes memory, ByteRate bandwidth, Bytes budget,
                              Duration fixed_costs) {
    SEGUE_ASSERT(bandwidth.per_second > 0);
    RoundForecast out;
    Bytes backlog = memory;
    for (out.passes = 1; out.passes <= rounds_max; ++out.passes) {
        const Duration round = backlog / bandwidth;
        out.sent += backlog;
        out.total += round;
        const Bytes next = curve.dirtied_in(round);
        if (next <= budget) {
            out.converges = true;
            out.downtime = fixed_costs + next / bandwidth;
            out.sent += next;
            out.total += out.downtime;
            return out;
        }
        // Standing still: another round would change less than a thousandth.
        if (out.passes > 2 && next.count > backlog.count - backlog.count / 1000) {
            out.floor = next;
            return out;
        }
        backlog = next;
    }
    out.floor = backlog;
    return out;
}

}  // namespace segue

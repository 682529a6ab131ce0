#pragma once
/// \file  The plain round model of pre-copy: a forecast before the start, not calibrated.
///
/// A guest is a saturating dirty curve F(x) = W (1 - exp(-r x / W)), fitted to the distinct bytes seen
/// dirtied over two sampling intervals. Rounds: V_0 = RAM, T_k = V_k / B, V_{k+1} = F(T_k), until V fits
/// the budget (shared research theory.md 1.2). It ignores phases, zero pages and the brake; its error is
/// 20 to 80 % and more, and it is marked as uncalibrated wherever it is shown.
/// Pure. Cost: microseconds.

#include <optional>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

struct DirtySample {
    Duration interval{0};
    Bytes dirtied;  ///< Distinct bytes over the interval.
};

/// The fitted curve. `working_set` is at most the guest's memory.
struct DirtyCurve {
    Bytes working_set;
    ByteRate initial_rate;

    [[nodiscard]] Bytes dirtied_in(Duration guest_work) const;
};

/// \pre `brief.interval < long_one.interval`.
[[nodiscard]] DirtyCurve fit_dirty_curve(const DirtySample& brief, const DirtySample& long_one, Bytes memory);

struct RoundForecast {
    bool converges = false;
    Duration total{0};     ///< Meaningless unless `converges`.
    Duration downtime{0};  ///< Of the switchover: fixed costs and the last round's bytes.
    Bytes sent;
    int passes = 0;
    /// Where the rounds stand still when they do not converge: the backlog that is left at each sync.
    Bytes floor;
};

[[nodiscard]] RoundForecast forecast_rounds(const DirtyCurve& curve, Bytes memory, ByteRate bandwidth, Bytes budget,
                                            Duration fixed_costs);

}  // namespace segue

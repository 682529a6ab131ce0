#pragma once
/// \file  What is believed of a guest and its link at one moment: all that a forecast or a policy needs to know
///        of them. Plain values, made by GuestModel, written into the record of decisions, read back for replay.
///
/// One round of w seconds of work dirties exp(z) * curve(w), z normal with `round_sigma`, correlated `round_phi`
/// from one round to the next; beside it the whole curve is off by exp(n), n normal with `level_sigma`, the same n
/// for all rounds of a move (theory.md 1.3).

#include <algorithm>
#include <array>

#include "model/curve.hpp"
#include "model/fixed_costs.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue {

/// Ten, fifty and ninety per cent of the outcomes lie below.
struct Band {
    double p10 = 0;
    double p50 = 0;
    double p90 = 0;
    friend constexpr bool operator==(const Band&, const Band&) = default;
};

/// How unevenly the vCPUs of a guest run, as multiples of their mean.
struct WorkSpread {
    double most = 1;  ///< Of the one that runs most.
    double rms = 1;   ///< Root of the mean square.
};

struct Outlook {
    Curve curve;
    double level_sigma = 0.3;
    /// Of ln F at each point of the curve's grid: much larger than level_sigma far from what was seen. All 0: not said.
    std::array<double, Curve::points> curve_sigma{};
    double round_sigma = 0.1;
    double round_phi = 0.0;
    /// How much of its time a vCPU runs when nobody brakes it (mean of the vCPUs). A brake above it does nothing.
    Share busy;
    /// Two kinds of vCPUs that have the mean, the most and the mean square of what was seen: this part of them runs
    /// so much, the others alike. 0: all alike. Of 20,000 drawn guests of 2 to 16 vCPUs the work at shares of 2 to 90 %
    /// was told as 0.88 to 1.73 of what it was, with all taken for alike as up to 2.98.
    double busiest_part = 0;
    Share busiest;
    /// The part of the dirtying that a brake does not slow (network-driven: work queues up and is done later).
    double unbraked_ratio = 0.0;
    Band bandwidth_bytes_per_second;
    bool bandwidth_known = false;
    Bytes memory;
    /// What pass 1 has to send: memory without its zero pages, headers counted. Only part of it is sure before.
    Bytes first_pass;
    double first_pass_sigma = 0.0;
    Duration first_pass_beside{0};  ///< Of pass 1, beside its bytes: opening the stream, finding zero pages.
    Duration round_overhead{0};  ///< Of each pass, beside its bytes: dirty sync, QEMU's 100 ms windows.
    FixedCosts costs;            ///< Of the switchover.
    int vcpus = 0;               ///< 0: not known.
    int passes_seen = 0;         ///< Dirty syncs of this move behind `curve`; 0 before the start.
};

/// From the exact sync to the stop of the vCPUs: 0.2 to 2 ms (qemu.md 4.1).
inline constexpr Duration sync_to_stop = std::chrono::milliseconds{2};

/// What the guest dirties between the exact sync and its stop, in vCPU work of 2 ms at most: of many vCPUs some stand,
/// and their mean is less, here at most twice what is usual. The curve is straight below 10 ms of work, and pages that
/// the last round dirtied already are in the exact count: it tells enough. A brake is not counted on.
[[nodiscard]] inline Bytes dirtied_at_stop(const Outlook& outlook) {
    const double alone = outlook.vcpus > 0 ? 1.0 / outlook.vcpus : 1.0;
    const double part = std::clamp(2 * outlook.busy.ratio, alone, 1.0);
    return outlook.curve.dirtied_in(from_seconds(to_seconds(sync_to_stop) * part));
}

inline void set_spread(Outlook& outlook, const WorkSpread& spread) {
    const double busy = outlook.busy.ratio;
    const double most = std::min(spread.most * busy, 1.0);
    const double variance = (spread.rms * spread.rms - 1) * busy * busy;
    const double above = most - busy;
    const bool alike = !(variance > 1e-4 * busy * busy) || !(above > 1e-2 * busy);
    // No more of them than leave the others something.
    outlook.busiest_part = alike ? 0 : std::min(variance / (variance + above * above), busy / most);
    outlook.busiest = alike ? outlook.busy : Share{most};
}

/// Guest work in a second of wall time where each vCPU may run `share` of it.
[[nodiscard]] inline double work_rate_at(double busy, double busiest_part, double busiest, double share) {
    if (!(busiest_part > 0) || !(busiest_part < 1)) return std::min(busy, share);
    const double others = std::max((busy - busiest_part * busiest) / (1 - busiest_part), 0.0);
    return std::min(busiest_part * std::min(share, busiest) + (1 - busiest_part) * std::min(share, others), busy);
}

}  // namespace segue

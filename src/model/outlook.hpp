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
#include "model/work_spread.hpp"
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

struct Outlook {
    Curve curve;
    double level_sigma = 0.3;
    /// Of ln F at each point of the curve's grid: much larger than level_sigma far from what was seen. All 0: not said.
    std::array<double, Curve::points> curve_sigma{};
    double round_sigma = 0.1;
    double round_phi = 0.0;
    /// How much of its time a vCPU runs when nobody brakes it (mean of the vCPUs). A brake above it does nothing.
    Share busy;
    BusiestVcpus busiest;  ///< A brake slows one that is always busy, however idle the others are.
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

}  // namespace segue

#pragma once
/// \file  One case of the study: a guest, a link, bounds, and what a switchover costs there; all from a seed.
///
/// Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/sim/study/guest.hpp"
#include "app/sim/study/trace.hpp"
#include "app/sim/study/wire.hpp"
#include "model/fixed_costs.hpp"
#include "policy/policy.hpp"

namespace segue::study {

struct Bounds {
    double max_downtime_s = 0.3;
    std::optional<double> timeout_s{};
    std::optional<double> max_bandwidth{};  ///< Bytes a second.
    double min_cpu = 0.1;
    double max_stall_s = 0.15;
    double aggression = 0.5;
};

/// Every bound harder to keep by `part`; easier where it is negative.
[[nodiscard]] Bounds tightened(Bounds bounds, double part);

struct Case {
    std::uint64_t seed = 0;
    GuestSpec guest;
    WireSpec wire;
    Bounds bounds;
    FixedCosts costs;            ///< What this guest's switchovers take, give or take a fifth.
    int moves_before = 3;        ///< Earlier moves whose fixed costs are remembered.
    double sync_s = 0.001;       ///< A dirty sync: the guest runs, nothing is sent.
    double resident_excess = 0;  ///< By how much more is resident than is not zero.
    double scan_per_s = 1e10;    ///< Bytes of zero pages that QEMU's one thread finds in a second.
};

[[nodiscard]] Case case_from(std::uint64_t seed, const std::vector<Trace>& traces);

/// The shares that the brake offers under these bounds, with their stalls at a 250 Hz kernel.
[[nodiscard]] BrakeRange brake_for(const Bounds& bounds);
/// The longest standstill of a busy vCPU at this share (DESIGN.md section 5).
[[nodiscard]] double stall_at(double share);

/// The two that every study has: synthetic, made by a walk over pages.
[[nodiscard]] std::vector<Trace> synthetic_traces();

/// "hot-cold 8 GiB on 1 GiB/s (collapse), ..." for people.
[[nodiscard]] std::string describe(const Case& one);

}  // namespace segue::study

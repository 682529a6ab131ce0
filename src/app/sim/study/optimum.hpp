#pragma once
/// \file  The optimum that a study measures by: the dynamic programme of theory.md 3.3 on the true curve, solved anew
///        at every dirty sync, written apart from the converge policy so that neither hides the other's mistakes. And
///        the clairvoyant bound, and what a constant dirty rate would have predicted.
///
/// A round at share s from backlog V takes T = V / B and leaves F(min(s, busy) T). Least lost work first; time is
/// bought only as far as the timeout asks for it.
/// Pure. Cost: a solution about 1 ms.

#include <memory>
#include <optional>
#include <string>

#include "policy/policy.hpp"

namespace segue::study {

struct RoundProblem {
    const Curve* curve = nullptr;
    double bandwidth = 1;
    double busy = 1;
    BusiestVcpus busiest;
    double overhead_s = 0;   ///< Of each pass.
    double go_s = 0.1;       ///< From go until the source may stop.
    double budget = 0;       ///< Pending at the stop, no stall charged.
    double standing_s = 0;   ///< Of the standstill, beside the bytes.
    BrakeRange brake;
    std::optional<double> time_left_s{};
};

struct RoundAnswer {
    bool feasible = false;
    double lost_s = 0;  ///< Guest work, the standstill included.
    double time_s = 0;
    double downtime_s = 0;
    double share = 1;   ///< For the round that begins now.
    bool go = false;    ///< It is the last one.
};

[[nodiscard]] RoundAnswer best_rounds(const RoundProblem& problem, double backlog);

/// Decides by best_rounds() on what the view believes. Gives up when nothing allowed can succeed.
[[nodiscard]] std::unique_ptr<Policy> make_reference_policy();

/// Least guest work lost whatever the order of pages: max over a of F(a) - B a, over B (theory.md 3.2).
[[nodiscard]] double clairvoyant_s(const Curve& curve, double bandwidth);

/// Time to the end if the guest dirtied `rate` bytes a second for ever; absent where it would never end.
[[nodiscard]] std::optional<double> constant_rate_total_s(double first_pass, double rate, double bandwidth,
                                                          double budget, double standing_s);

}  // namespace segue::study

#pragma once
/// \file  Which bound stands in the way of a move, and how far each would have to give, alone.
/// Pure. Cost: under 1 ms.

#include <limits>
#include <string>
#include <vector>

#include "policy/converge/mechanics.hpp"
#include "policy/converge/plan.hpp"

namespace segue::converge {

/// A move as the bounds see it. Before pass 1, `backlog` is 0 and `first_pass` is what it sends.
struct Hurdle {
    Outlook outlook;
    BrakeRange brake;
    double max_downtime_s = 0;
    Budgets budgets;
    double bandwidth = 1;
    double switch_bandwidth = 1;
    double backlog = 0;
    double first_pass = 0;
    double time_left = std::numeric_limits<double>::infinity();
    double elapsed_s = 0;  ///< So that a timeout is told from the move's start.
};

/// All rounds off by exp(sigmas * sigma), the move still ends within its bounds.
[[nodiscard]] bool ends(const Hurdle& hurdle, double sigmas);

/// The same with every point of the curve off by so many of its own doubts, which are large far from what was seen.
[[nodiscard]] Hurdle doubted(const Hurdle& hurdle, double sigmas);

struct Hindrance {
    /// The lowest in rank of the bounds without which it would end; max-downtime where no single one is enough.
    std::string bound;
    /// Each that works alone, on a course that is as rough as one in twenty.
    std::vector<Relaxation> relaxations;
};
/// Cost: up to 1 ms.
[[nodiscard]] Hindrance hindrance_of(const Hurdle& hurdle);

/// The range with `share` below it, its stall as the calibrated ones let expect.
[[nodiscard]] BrakeRange lowered_to(const BrakeRange& range, double share);
/// The share below the range whose stall that is.
[[nodiscard]] double share_of_stall(const BrakeRange& range, double stall_s);
/// Two digits, rounded up: what is told must work.
[[nodiscard]] double told(double value);

/// "downtime >= 740 ms, or min-cpu <= 12 %, or bandwidth >= 310 MiB/s".
[[nodiscard]] std::string in_words(const std::vector<Relaxation>& relaxations);

}  // namespace segue::converge

#pragma once
/// \file  One course of a move from a backlog on, under the policy's own choices and a given luck.
/// Pure. Cost: about 10 us.

#include <array>

#include "policy/converge/steer.hpp"

namespace segue::converge {

/// What chance does in one course; all of it fixed beforehand.
struct Luck {
    static constexpr std::size_t rounds = 24;  ///< Then it repeats.
    double level = 0;                    ///< Logarithm: all rounds.
    std::array<double, rounds> round{};  ///< Standard normals; correlated by the ground's phi.
    double speed = 1;                    ///< The link against what is believed of it.
    double costs = 1;                    ///< The fixed costs against what they usually are.
    double go_s = go_effect_s;           ///< How long it takes until go counts.
};

struct Course {
    bool finished = false;
    double total_s = 0;
    double downtime_s = 0;
    double lost_work_s = 0;
    double sent = 0;
    double lowest_share = 1;
    double stall_s = 0;
    double work_s = 0;    ///< Done.
    double wanted_s = 0;  ///< What it would have done with no move.
    bool for_time = false;
    int rounds = 0;  ///< Looked at, passes at full speed included.
};

/// From `start` to the end; the totals count from it.
[[nodiscard]] Course play(const Steering& steering, const Steering::Priced& priced, const Situation& start,
                          const Luck& luck);

}  // namespace segue::converge

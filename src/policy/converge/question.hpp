#pragma once
/// \file  A PlanQuestion in the terms of the rounds.

#include "policy/converge/plan.hpp"
#include "policy/converge/relax.hpp"

namespace segue::converge {

struct Asked {
    Ground ground;
    double first_pass = 0;
    double first_pass_s = 0;
    double first_pass_beside_s = 0;  ///< Of it: beside the bytes.
    double timeout_s = 0;  ///< Infinity where there is none.
    double slowness = 1;
    double speed_sigma = 0;  ///< Of the logarithm of the link's speed.
};

[[nodiscard]] Asked asked_of(const PlanQuestion& question, std::size_t shares_max);
[[nodiscard]] Hurdle hurdle_of(const PlanQuestion& question);

}  // namespace segue::converge

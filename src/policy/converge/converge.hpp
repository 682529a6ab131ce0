#pragma once
/// \file  The controller: least guest work lost within all bounds.
///
/// A guest that does not converge runs at full speed until its backlog is at its natural level, is then braked once,
/// late and hard, and switches; one lost second of guest work buys the same bytes whenever it is bought
/// (theory.md 3.1, 3.3). Solved anew at every dirty sync as a dynamic programme over backlog and time left;
/// `aggression` is the price of wall time in it. Gives up as soon as no allowed choice can succeed, and says
/// what would have. Pure and deterministic. Cost: under 1 ms a decision.

#include <memory>

#include "policy/policy.hpp"

namespace segue {

[[nodiscard]] std::unique_ptr<Policy> make_converge_policy();

}  // namespace segue

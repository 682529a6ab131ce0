#pragma once
/// \file  What is to come of a move that goes on as the policy has it: from courses with everything usual, and with one
///        thing off at a time.
/// Pure. Cost: nine courses, five where they are long; about 0.1 ms.

#include <optional>

#include "policy/converge/play.hpp"

namespace segue::converge {

struct Foreseen {
    Band total_s;  ///< From now to the end.
    Band downtime_s;
};

/// Before the course begins, and around it.
struct Around {
    double before_s = 0;  ///< Of a pass that is under way.
    double fast = 1;      ///< The link at its best against what is believed.
};

/// Nothing where a usual course does not end.
[[nodiscard]] std::optional<Foreseen> foresee(const Steering& steering, const Steering::Priced& priced,
                                              const Situation& start, const Around& around);

}  // namespace segue::converge

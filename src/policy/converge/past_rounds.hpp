#pragma once
/// \file  What the rounds that are over say against, or for, what the curve promises. Pure.

#include <span>

#include "policy/converge/dp.hpp"
#include "policy/policy.hpp"

namespace segue::converge {

/// Whether the last rounds at the lowest share led nowhere: they left nearly all of what there was, and still far too
/// much. F is concave, so the part of a backlog that such rounds leave only grows: the guest would be held for
/// nothing (one of the study's was for an hour).
[[nodiscard]] bool crawls(std::span<const Pass> passes, const Setting& lowest);

/// How many rounds `crawls` looks at.
inline constexpr std::size_t crawl_rounds = 3;

/// Whether the last pass left clearly less than the one before: at full speed, without a timeout, each such pass is
/// free. Not before the fourth dirty sync, as every guest falls from pass 1 to pass 2.
[[nodiscard]] bool clearly_falls(std::span<const Pass> passes);

}  // namespace segue::converge

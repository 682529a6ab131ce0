#pragma once
/// \file  By how much forecasts are wrong beyond what they know of: links that give way, guests that change, a go that
///        counts late. Their bands are widened by it, so that they cover what they say.
///
/// The factors were measured, not derived: outcomes of 600 cases (`segue-sim study --seed 31` and `32`) against the
/// forecasts' medians, on which nothing else is scored. Pure.

#include "model/outlook.hpp"

namespace segue::converge {

/// Of the total time, before the start. Nobody knows what the link will do: the right tail is the longer one.
[[nodiscard]] Band unforeseen_before(const Band& total_s);
/// During the move. \param left_s  Of the median, what is still to come.
[[nodiscard]] Band unforeseen_underway(const Band& total_s, double left_s);
/// Of the downtime: QEMU stops a free guest with anything between nothing and what it may. A braked one is stopped near
/// the upper end, and is told with the same room below. \param most_s  Never promised beyond.
[[nodiscard]] Band unforeseen_downtime(const Band& downtime_s, double most_s);

}  // namespace segue::converge

#pragma once
/// \file  What the policy expects of a move, for people: the table of `segue plan`, and the one row of it that `segue
///        migrate` shows. Pure; at most 160 columns.

#include <string>

#include "migration/event.hpp"
#include "policy/converge/plan.hpp"

namespace segue {

/// No newline at the end.
[[nodiscard]] std::string render_plan(const Plan& plan, std::string_view vm, const Bounds& bounds);
/// What it would cost, and what that was told from.
[[nodiscard]] std::string render_expected(const PlanRow& row, const ForecastReport& forecast);

}  // namespace segue

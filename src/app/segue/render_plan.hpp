#pragma once
/// \file  The table of `segue plan` for people. Pure; at most 160 columns.

#include <string>

#include "migration/request.hpp"
#include "policy/converge/plan.hpp"

namespace segue {

/// No newline at the end.
[[nodiscard]] std::string render_plan(const Plan& plan, std::string_view vm, const Bounds& bounds);

}  // namespace segue

#pragma once
/// \file  What `segue plan --json` prints: one line of type `plan`, as in docs/json-output.md. Pure.

#include <string>

#include "api/report_json.hpp"
#include "policy/converge/plan.hpp"

namespace segue {

/// One line, without its newline.
[[nodiscard]] std::string plan_json(const Plan& plan, const JsonContext& context);

}  // namespace segue

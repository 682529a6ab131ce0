#pragma once
/// \file  Which policy steers a move, from the words of `--policy`.
///
/// Thread: the loop's. Errors: `invalid` for words that name none, `unavailable` where a process cannot be started;
/// both come before anything is touched.

#include <memory>
#include <string_view>

#include "app/segue/move/policy_process.hpp"
#include "base/result.hpp"
#include "policy/policy.hpp"

namespace segue {

/// "converge", "patient", or "exec:COMMAND", which is started here, with converge as its fallback.
/// \param callbacks  Of a process; not called for the others.
[[nodiscard]] Result<std::unique_ptr<Policy>> choose_policy(std::string_view words, PolicyProcess::Callbacks callbacks);

}  // namespace segue

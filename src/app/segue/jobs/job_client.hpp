#pragma once
/// \file  Asking a running `segue migrate` on its socket. Blocks, at most as long as is said.

#include <string>

#include "api/job_codec.hpp"
#include "base/result.hpp"

namespace segue {

/// One request, one answer. `refused` where nobody listens; `timed_out` where nobody answers (while the guest
/// stands, a move listens to nobody); the codec's errors.
[[nodiscard]] Result<job::Reply> ask_job(const std::string& socket_path, const job::Request& request, Duration at_most);

}  // namespace segue

#pragma once
/// \file  The kernel's chance. Thread: any. Errors: none.

#include <string>

namespace segue {

/// 32 lower-case hex digits: a token, or the id of a move.
[[nodiscard]] std::string draw_hex();

}  // namespace segue

#pragma once
/// \file  Assertions for our own mistakes. They stay on in release: a broken invariant must stop the
///        program while the guardian can still put the guest right, not let it guess on.
///
/// Never for anything that a hypervisor, a network or a person can cause: that is `Result`.

namespace segue {

/// Prints the expression and its place on standard error and aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace segue

#define SEGUE_ASSERT(expression) \
    ((expression) ? static_cast<void>(0) : ::segue::assertion_failed(#expression, __FILE__, __LINE__))

#pragma once
/// \file  Who listens on a Unix socket. Thread: any; it may wait half a second for a busy one.

#include <sys/types.h>

#include <string>

namespace segue {

inline constexpr pid_t listener_unknown = -1;

/// The process that listens on the Unix socket at `path`, or 0; `listener_unknown` where somebody does and cannot be
/// asked who.
[[nodiscard]] pid_t listener_on(const std::string& path);

}  // namespace segue

#pragma once
/// \file  What the guardian needs of Linux: its clock, its standing apart, other processes' pidfds.
///
/// Nothing here allocates. Nothing here can block, but where a bound is given.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "units/duration.hpp"

namespace segue::guard {

/// CLOCK_BOOTTIME: the board's clock. It counts on while the host (or the VM that Segue runs in) sleeps.
[[nodiscard]] Instant now() noexcept;

/// Own session, deaf to the terminal's and the service manager's polite signals, last to be taken when
/// memory runs out.
void stand_apart() noexcept;
/// Closes everything inherited but 2 and `keep`: a monitor or disk held open by us would never end.
void close_all_but(std::span<const int> keep) noexcept;
/// Every page in memory and kept there, the stack to come included.
void lock_memory() noexcept;
/// The lowest real-time priority (above everything ordinary), else nice -20, else as it is.
void raise_priority() noexcept;

/// Waits until `fd` is readable (or hung up). False at the end of `timeout`.
[[nodiscard]] bool wait_readable(int fd, Duration timeout) noexcept;
[[nodiscard]] bool is_dead(int pidfd) noexcept;
/// SIGKILL, then waits. False if it is not dead after `timeout` (or may not be killed).
bool kill_and_wait(int pidfd, Duration timeout) noexcept;

/// Text of bounded length without heap; what does not fit is left out.
class Line {
public:
    Line& operator<<(std::string_view text) noexcept;
    Line& operator<<(std::int64_t number) noexcept;
    [[nodiscard]] std::string_view view() const noexcept { return {text_, length_}; }

private:
    char text_[600] = {};
    std::size_t length_ = 0;
};

/// One line on standard error if it can be taken at once. Never blocks.
void tell(const Line& line) noexcept;

}  // namespace segue::guard

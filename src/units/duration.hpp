#pragma once
/// \file  Time as an argument: durations and instants. No clock in here.

#include <chrono>
#include <compare>
#include <cstdint>

namespace segue {

using Duration = std::chrono::nanoseconds;

/// A point on one host's monotonic clock (in simulation: on the virtual clock). Instants of two
/// hosts must never be compared.
struct Instant {
    Duration since_boot{0};

    friend constexpr auto operator<=>(Instant, Instant) = default;
    friend constexpr Duration operator-(Instant a, Instant b) { return a.since_boot - b.since_boot; }
    friend constexpr Instant operator+(Instant a, Duration d) { return {a.since_boot + d}; }
    friend constexpr Instant operator-(Instant a, Duration d) { return {a.since_boot - d}; }
};

[[nodiscard]] constexpr double to_seconds(Duration d) {
    return static_cast<double>(d.count()) * 1e-9;
}

/// Rounds to the nearest nanosecond. \pre |seconds| < 9e9.
[[nodiscard]] constexpr Duration from_seconds(double seconds) {
    return Duration{static_cast<std::int64_t>(seconds * 1e9 + (seconds < 0 ? -0.5 : 0.5))};
}

}  // namespace segue

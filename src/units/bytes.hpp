#pragma once
/// \file  Amounts and rates of data. A `ByteRate` is always bytes per second; bits exist only at the
///        edges, in units/text.hpp and in the adapters' wire code.

#include <compare>
#include <cstdint>

#include "units/duration.hpp"

namespace segue {

struct Bytes {
    std::int64_t count = 0;

    friend constexpr auto operator<=>(Bytes, Bytes) = default;
    friend constexpr Bytes operator+(Bytes a, Bytes b) { return {a.count + b.count}; }
    friend constexpr Bytes operator-(Bytes a, Bytes b) { return {a.count - b.count}; }
    constexpr Bytes& operator+=(Bytes b) { count += b.count; return *this; }
};

struct ByteRate {
    std::int64_t per_second = 0;

    friend constexpr auto operator<=>(ByteRate, ByteRate) = default;
};

[[nodiscard]] constexpr Bytes mebibytes(std::int64_t n) { return {n * 1024 * 1024}; }
[[nodiscard]] constexpr ByteRate mebibytes_per_second(std::int64_t n) { return {n * 1024 * 1024}; }

/// What `rate` moves in `time`, rounded down.
[[nodiscard]] constexpr Bytes operator*(ByteRate rate, Duration time) {
    return {static_cast<std::int64_t>(static_cast<double>(rate.per_second) * to_seconds(time))};
}

/// How long `amount` takes at `rate`. \pre rate > 0.
[[nodiscard]] constexpr Duration operator/(Bytes amount, ByteRate rate) {
    return from_seconds(static_cast<double>(amount.count) / static_cast<double>(rate.per_second));
}

/// The average rate. \pre time > 0.
[[nodiscard]] constexpr ByteRate operator/(Bytes amount, Duration time) {
    return {static_cast<std::int64_t>(static_cast<double>(amount.count) / to_seconds(time))};
}

[[nodiscard]] constexpr ByteRate scale(ByteRate rate, double factor) {
    return {static_cast<std::int64_t>(static_cast<double>(rate.per_second) * factor)};
}

[[nodiscard]] constexpr Bytes scale(Bytes amount, double factor) {
    return {static_cast<std::int64_t>(static_cast<double>(amount.count) * factor)};
}

}  // namespace segue

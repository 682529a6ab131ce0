#pragma once
/// \file  Chance from a seed. Every part of a simulated world draws from a stream of its own, so that a
///        part that draws more does not change what the others see.
///
/// splitmix64; the same on every compiler. Pure.

#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "units/duration.hpp"

namespace segue::sim {

class Rng {
public:
    explicit Rng(std::uint64_t seed) : state_(seed) {}

    [[nodiscard]] std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31U);
    }
    /// [0, 1).
    [[nodiscard]] double unit() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }
    [[nodiscard]] bool chance(double probability) { return unit() < probability; }
    /// Both ends included. \pre low <= high.
    [[nodiscard]] std::int64_t between(std::int64_t low, std::int64_t high) {
        SEGUE_ASSERT(low <= high);
        return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
    }
    [[nodiscard]] Duration between(Duration low, Duration high) {
        return Duration{between(low.count(), high.count())};
    }
    /// An independent stream; the same label gives the same stream.
    [[nodiscard]] Rng stream(std::string_view label) const {
        std::uint64_t hash = 0xcbf29ce484222325U ^ state_;
        for (const char c : label) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
        Rng derived(hash);
        static_cast<void>(derived.next());
        return derived;
    }

private:
    std::uint64_t state_;
};

}  // namespace segue::sim

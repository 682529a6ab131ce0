#pragma once
/// \file  The clock of another host: an offset and a drift against the world's time, which is the source's.

#include <cstdint>

#include "base/assert.hpp"
#include "units/duration.hpp"

namespace segue::sim {

struct HostClock {
    Duration offset{0};
    std::int64_t ppm = 0;  ///< How much faster it goes; at most 200 in a plan.

    /// What it shows at `world`. \pre Within 10^15 ns of the world's begin.
    [[nodiscard]] Instant at(Instant world) const {
        const std::int64_t ns = world.since_boot.count();
        return {offset + Duration{ns + ns * ppm / million}};
    }
    /// The first instant of the world at which it shows `shown` or more.
    [[nodiscard]] Instant when(Instant shown) const {
        const std::int64_t ns = (shown.since_boot - offset).count();
        std::int64_t world = ns - ns * ppm / million;
        while (at({Duration{world}}) < shown) world += 1000;
        return {Duration{world}};
    }

private:
    static constexpr std::int64_t million = 1'000'000;
};

}  // namespace segue::sim

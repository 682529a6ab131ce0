#pragma once
/// \file  How fast the stream really is: acked bytes over windows in which something always waited.
///
/// Formula (measured, 0.99 to 1.02 of the truth from P10 to P95): change of tcpi_bytes_acked over
/// windows of at least 50 ms with tcpi_notsent_bytes > 0 at both ends. tcpi_delivery_rate is never used:
/// on a paced socket it shows single bursts, 40 to 250 times too high.
/// A step of the path is taken over once three windows in a row lie beyond everything the path did before it by a
/// fifth or more: within 200 ms, while the scatter of single windows, a stall or a zero-page phase moves nothing.
/// Pure. Cost: O(window_count) memory; quantile sorts at most that many values.

#include <cstddef>
#include <deque>
#include <optional>

#include "model/outlook.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

class BandwidthEstimate {
public:
    /// One reading of the stream. \pre `at` and `acked` never decrease.
    void add(Instant at, Bytes acked, bool queue_waits);

    /// The rate that `quantile` (0..1) of the last busy windows stayed below; absent without any.
    [[nodiscard]] std::optional<ByteRate> at_quantile(double quantile) const;
    /// For deciding what a blackout can carry: the tenth percentile.
    [[nodiscard]] std::optional<ByteRate> cautious() const { return at_quantile(0.1); }
    [[nodiscard]] std::optional<ByteRate> median() const { return at_quantile(0.5); }
    /// The tenth, fiftieth and ninetieth percentile, bytes a second, never narrower than a window can be read:
    /// all zero without any.
    [[nodiscard]] Band band() const;
    [[nodiscard]] std::size_t windows() const { return rates_.size(); }

    static constexpr Duration window_min = std::chrono::milliseconds{50};
    static constexpr std::size_t window_count = 20;
    static constexpr std::size_t step_windows = 3;
    static constexpr double step_ratio = 0.2;

private:
    void forget_before_step();

    struct Reading {
        Instant at;
        Bytes acked;
    };
    std::optional<Reading> open_;  ///< Start of the window being filled; absent while nothing waits.
    std::deque<ByteRate> rates_;
};

}  // namespace segue

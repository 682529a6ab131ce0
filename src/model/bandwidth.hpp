#pragma once
/// \file  How fast the stream really is: acked bytes over windows in which something always waited.
///
/// Formula (measured, 0.99 to 1.02 of the truth from P10 to P95): change of tcpi_bytes_acked over
/// windows of at least 50 ms with tcpi_notsent_bytes > 0 at both ends. tcpi_delivery_rate is never used:
/// on a paced socket it shows single bursts, 40 to 250 times too high.
/// Around a dirty sync QEMU writes nothing for 20 to 40 ms and the queue holds 10: of such windows
/// tcpi_busy_time counts instead, and several are pieced together, since the kernel keeps it in ticks
/// of 1 to 10 ms.
/// A step of the path is taken over once four windows in a row lie a tenth or more to one side of what was usual:
/// within 300 ms (a second where every window has a sync in it), while the scatter of single windows or a stall of
/// 100 ms moves nothing.
/// Pure. Cost: O(window_count) memory; quantile sorts at most that many values.

#include <array>
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
    /// \param rested  So long a dirty sync left nothing to send since the reading before, give or take a tick.
    void add(Instant at, Bytes acked, bool queue_waits, Duration rested = Duration{0});

    /// The rate that `quantile` (0..1) of the last busy windows stayed below; absent without any.
    [[nodiscard]] std::optional<ByteRate> at_quantile(double quantile) const;
    /// The tenth percentile of single windows.
    [[nodiscard]] std::optional<ByteRate> cautious() const { return at_quantile(0.1); }
    /// The same of a path that stood still for a moment: without the windows in which nothing got through. Absent
    /// while it stands still, or has done so for most of the newest windows.
    /// \param over  For a blackout so long: a receiver that acknowledges in bursts makes single windows rough (P10 0.87
    ///              of the mean measured while it touched its memory for the first time), which evens out over several.
    ///              Of that nothing counts beyond what the newest two windows gave.
    [[nodiscard]] std::optional<ByteRate> cautious_while_it_flows(Duration over = window_min) const;
    /// Of the newest windows only, so that it lags a changing path by a quarter of a second and not by half of one.
    [[nodiscard]] std::optional<ByteRate> median() const;
    /// The tenth, fiftieth and ninetieth percentile, bytes a second, never narrower than a window can be read:
    /// all zero without any.
    [[nodiscard]] Band band() const;
    /// For so many seconds of sending to come: the mean of about as many past ones. A path that varies comes back to
    /// its mean; the newest windows alone would take a moment of it for the next minutes. Zero without any window.
    [[nodiscard]] double mean_over(double horizon_s) const;
    [[nodiscard]] std::size_t windows() const { return rates_.size(); }

    static constexpr Duration window_min = std::chrono::milliseconds{50};
    static constexpr std::size_t window_count = 20;
    static constexpr std::size_t median_windows = 9;
    static constexpr std::size_t step_windows = 4;
    static constexpr std::size_t evened_windows = 4;
    /// With fewer stretches one behind the other nobody can tell whether they scatter less than single windows.
    static constexpr std::size_t evened_stretches = 3;
    /// Less than this, or than an eighth of the window, is no rest: it may be one tick of the kernel at 100 to 250 Hz.
    static constexpr Duration rest_least = std::chrono::milliseconds{8};
    static constexpr Duration pieced_min = std::chrono::milliseconds{150};
    static constexpr double step_ratio = 0.1;
    /// From such a step on what was before says nothing of the path at all.
    static constexpr double break_ratio = 0.35;

private:
    [[nodiscard]] ByteRate mean_of(std::size_t first, std::size_t count) const;
    [[nodiscard]] ByteRate evened(Duration over) const;
    void take(Bytes acked, Duration length);
    void take_pieced();
    void forget_before_step();
    void remember(double bytes, double seconds);

    struct Reading {
        Instant at;
        Bytes acked;
    };
    std::optional<Reading> open_;  ///< Start of the window being filled; absent while nothing waits.
    /// Of windows with a rest in them, without it.
    struct Pieced {
        Bytes acked;
        Duration busy{0};
        Duration all{0};  ///< The rests counted.
    };
    Pieced pieced_;
    std::optional<ByteRate> whole_;  ///< The median after the last window without a rest.
    std::deque<ByteRate> rates_;
    std::size_t whole_in_a_row_ = 0;  ///< The newest so many were read in time, one behind the other.
    /// Bytes and seconds of all busy windows, fading with so many seconds of sending.
    struct Fading {
        double bytes = 0;
        double seconds = 0;
    };
    static constexpr std::array<double, 6> fade_s = {0.5, 2, 8, 32, 128, 512};
    std::array<Fading, fade_s.size()> long_run_{};
};

}  // namespace segue

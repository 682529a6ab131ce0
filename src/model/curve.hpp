#pragma once
/// \file  The dirty curve F: how many distinct bytes a guest dirties in x seconds of its own work.
///
/// F(0) = 0, F never falls and is concave (theory.md 1.2: any such curve is a mixture of ramps; throttling
/// stretches time and does not scale the curve). Work is the vCPUs' mean run time, not wall time: under a brake
/// of share s a guest that would be busy u of the time does min(s, u) seconds of work a second.
/// A plain value: a table on a fixed logarithmic grid, linear between its points.
/// Pure. Cost: a look-up 5 ns, its inverse, O(log points), 20 ns.

#include <array>
#include <cstddef>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

class Curve {
public:
    static constexpr std::size_t points = 97;
    static constexpr std::size_t points_a_decade = 16;
    static constexpr double first_s = 1e-3;  ///< Work at the first point, seconds.
    static constexpr double last_s = 1e3;    ///< Beyond it F goes on with its last slope.

    /// Seconds of work at a point.
    [[nodiscard]] static double work_at(std::size_t point);

    Curve() = default;  ///< A guest that dirties nothing.
    /// Of any values: what falls is lifted, what bends upwards is flattened (the least concave curve above).
    explicit Curve(const std::array<double, points>& bytes_at);
    /// A table() again, bit for bit: what a record holds. \pre it came from a Curve.
    [[nodiscard]] static Curve recorded(const std::array<double, points>& table);
    /// W (1 - exp(-r x / W)): random writes at rate r on a working set W.
    [[nodiscard]] static Curve saturating(Bytes working_set, ByteRate rate);

    /// F(work). \pre seconds >= 0.
    [[nodiscard]] double bytes_in(double work_s) const;
    [[nodiscard]] Bytes dirtied_in(Duration work) const;
    /// The longest work that dirties at most so many bytes; infinity where F never gets there.
    [[nodiscard]] double work_for(double bytes) const;
    /// Every value times `factor`. \pre factor >= 0.
    [[nodiscard]] Curve scaled(double factor) const;
    /// The same bytes after `times` as much work. \pre times > 0.
    [[nodiscard]] Curve stretched(double times) const;
    [[nodiscard]] const std::array<double, points>& table() const { return bytes_; }

    friend bool operator==(const Curve&, const Curve&) = default;

private:
    std::array<double, points> bytes_{};
};

}  // namespace segue

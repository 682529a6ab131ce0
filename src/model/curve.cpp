#include "model/curve.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/assert.hpp"

namespace segue {
namespace {

constexpr double points_per_decade = 16;

std::array<double, Curve::points> make_grid() {
    std::array<double, Curve::points> out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = Curve::first_s * std::pow(10.0, static_cast<double>(i) / points_per_decade);
    }
    return out;
}

const std::array<double, Curve::points>& grid() {
    static const auto points = make_grid();
    return points;
}

/// The binary exponents from that of first_s to that of last_s.
constexpr int first_exponent = -10;
constexpr std::size_t exponents = 20;

/// Of any positive number that is not tiny.
int exponent_of(double value) {
    constexpr int mantissa_bits = 52;
    constexpr int bias = 1023;
    return static_cast<int>(std::bit_cast<std::uint64_t>(value) >> mantissa_bits) - bias;
}

std::array<std::size_t, exponents> make_starts() {
    std::array<std::size_t, exponents> out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
        const double from = std::ldexp(1.0, first_exponent + static_cast<int>(i));
        out[i] = static_cast<std::size_t>(std::ranges::lower_bound(grid(), from) - grid().begin());
    }
    return out;
}

/// The first point of the grid above `work_s`: a decision looks up ten thousand, and a search by halves took a quarter
/// of its time. \pre first_s < work_s < last_s.
std::size_t first_above(double work_s) {
    static const auto starts = make_starts();
    const auto& x = grid();
    std::size_t at = starts[static_cast<std::size_t>(exponent_of(work_s) - first_exponent)];
    while (at + 1 < Curve::points && x[at] <= work_s) ++at;
    return at;
}

}  // namespace

double Curve::work_at(std::size_t point) {
    SEGUE_ASSERT(point < points);
    return grid()[point];
}

Curve::Curve(const std::array<double, points>& bytes_at) : bytes_(bytes_at) {
    double highest = 0;
    for (auto& value : bytes_) {
        highest = std::max(highest, value);
        value = highest;
    }
    // The upper hull of (0, 0) and the points: whatever lies below a line between two others is lifted onto it.
    const auto& x = grid();
    double from_x = 0;
    double from_y = 0;
    for (std::size_t i = 0; i < points;) {
        std::size_t best = i;
        double steepest = -1;
        for (std::size_t j = i; j < points; ++j) {
            const double slope = (bytes_[j] - from_y) / (x[j] - from_x);
            if (slope >= steepest) {
                steepest = slope;
                best = j;
            }
        }
        for (std::size_t k = i; k < best; ++k) bytes_[k] = from_y + steepest * (x[k] - from_x);
        from_x = x[best];
        from_y = bytes_[best];
        i = best + 1;
    }
}

Curve Curve::recorded(const std::array<double, points>& table) {
    Curve out;
    out.bytes_ = table;
    return out;
}

Curve Curve::saturating(Bytes working_set, ByteRate rate) {
    std::array<double, points> out{};
    const auto w = static_cast<double>(working_set.count);
    const auto r = static_cast<double>(rate.per_second);
    if (w <= 0) return {};
    for (std::size_t i = 0; i < points; ++i) out[i] = w * (1 - std::exp(-r * grid()[i] / w));
    return Curve{out};
}

double Curve::bytes_in(double work_s) const {
    SEGUE_ASSERT(work_s >= 0);
    const auto& x = grid();
    if (work_s <= first_s) return bytes_.front() * work_s / first_s;
    if (work_s >= last_s) {
        const double slope = (bytes_[points - 1] - bytes_[points - 2]) / (x[points - 1] - x[points - 2]);
        return bytes_.back() + slope * (work_s - last_s);
    }
    const auto next = first_above(work_s);
    const double part = (work_s - x[next - 1]) / (x[next] - x[next - 1]);
    return bytes_[next - 1] + part * (bytes_[next] - bytes_[next - 1]);
}

Bytes Curve::dirtied_in(Duration work) const {
    return {static_cast<std::int64_t>(bytes_in(to_seconds(work)))};
}

double Curve::work_for(double bytes) const {
    const auto& x = grid();
    if (bytes < 0) return 0;
    if (bytes < bytes_.front()) return first_s * bytes / bytes_.front();
    if (bytes >= bytes_.back()) {
        const double slope = (bytes_[points - 1] - bytes_[points - 2]) / (x[points - 1] - x[points - 2]);
        if (slope <= 0) return std::numeric_limits<double>::infinity();
        return last_s + (bytes - bytes_.back()) / slope;
    }
    // The first point above; flat stretches are walked to their end, since more work costs nothing there.
    const auto next = static_cast<std::size_t>(std::upper_bound(bytes_.begin(), bytes_.end(), bytes) - bytes_.begin());
    const double part = (bytes - bytes_[next - 1]) / (bytes_[next] - bytes_[next - 1]);
    return x[next - 1] + part * (x[next] - x[next - 1]);
}

Curve Curve::scaled(double factor) const {
    SEGUE_ASSERT(factor >= 0);
    Curve out = *this;
    for (auto& value : out.bytes_) value *= factor;
    return out;
}

Curve Curve::stretched(double times) const {
    SEGUE_ASSERT(times > 0);
    Curve out;
    for (std::size_t i = 0; i < points; ++i) out.bytes_[i] = bytes_in(work_at(i) / times);
    return out;
}

}  // namespace segue

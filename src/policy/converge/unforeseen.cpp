#include "policy/converge/unforeseen.hpp"

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

constexpr double before_down = 0.07;
constexpr double before_up = 0.18;
constexpr double underway_either = 0.20;  ///< Of what is left.
/// A look more or less; and a go that counts late.
constexpr double underway_less_s = 0.05;
constexpr double underway_more_s = 0.15;
constexpr double downtime_down = 0.45;
constexpr double downtime_up = 0.30;

Band widened(const Band& band, double down, double up) {
    return {std::max(0.0, band.p50 - std::hypot(band.p50 - band.p10, down)), band.p50,
            band.p50 + std::hypot(band.p90 - band.p50, up)};
}

}  // namespace

Band unforeseen_before(const Band& total_s) {
    return widened(total_s, before_down * total_s.p50, before_up * total_s.p50);
}

Band unforeseen_underway(const Band& total_s, double left_s) {
    const double left = std::max(left_s, 0.0);
    auto out = widened(total_s, std::hypot(underway_either * left, underway_less_s),
                       std::hypot(underway_either * left, underway_more_s));
    out.p10 = std::max(out.p10, total_s.p50 - left);  // What has passed, has passed.
    return out;
}

Band unforeseen_downtime(const Band& downtime_s, double most_s) {
    auto out = widened(downtime_s, downtime_down * downtime_s.p50, downtime_up * downtime_s.p50);
    out.p90 = std::max(out.p50, std::min(out.p90, most_s));
    return out;
}

}  // namespace segue::converge

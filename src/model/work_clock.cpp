#include "model/work_clock.hpp"

#include <algorithm>
#include <cmath>

namespace segue {
namespace {

/// Unbraked time counts half after so long.
constexpr double busy_half_life_s = 5;
/// Weight of a remembered value, as seconds of measuring.
constexpr double remembered_s = 1;
/// Braked by less than this is not braked: a quota a hair below the whole.
constexpr double whole = 0.995;
/// Unbraked on each side of the tracking's begin: so much before the two are compared, and of it no more than so much.
constexpr double compared_least_s = 0.4;
constexpr double compared_most_s = 5;
/// A vCPU that is hardly ever idle cannot run longer. One that runs very much longer does something else now: what is
/// beyond the most is taken off again.
constexpr double idle_in_part = 0.8;
constexpr double tracking_costs_most = 1.4;

}  // namespace

WorkClock::WorkClock(double remembered_busy) {
    if (!(remembered_busy > 0)) return;
    before_ = {remembered_s, remembered_s * std::min(remembered_busy, 1.0)};
}

void WorkClock::Unbraked::fade(double keep) {
    wall_s *= keep;
    ran_s *= keep;
}

void WorkClock::Unbraked::add(double wall, double ran) {
    wall_s += wall;
    ran_s += std::min(ran, wall);
}

void WorkClock::tracking_begins(Instant at) {
    if (!tracked_since_) tracked_since_ = at;
}

double WorkClock::tracking_cost() const {
    const auto& before = compared_before_;
    const auto& since = compared_since_;
    if (before.wall_s < compared_least_s || since.wall_s < compared_least_s || before.ran_s <= 0) return 1;
    if (since.ran_s > idle_in_part * since.wall_s) return 1;
    const double cost = (since.ran_s / since.wall_s) / (before.ran_s / before.wall_s);
    return std::max(1.0, std::min(cost, 2 * tracking_costs_most - cost));
}

void WorkClock::add(Instant at, Duration worked, Share granted) {
    if (worked.count() < 0) return;
    if (readings_.empty()) {
        readings_.push_back({at, worked});
        granted_before_ = granted;
        return;
    }
    const auto& last = readings_.back();
    if (at <= last.at || worked < last.worked) return;
    // The stretch right after a brake is let go is not learned from: work that queued up is done then.
    if (granted.ratio >= whole && granted_before_.ratio >= whole) {
        busy_measured_ = true;
        const double wall_s = to_seconds(at - last.at);
        const double keep = std::exp2(-wall_s / busy_half_life_s);
        before_.fade(keep);
        since_.fade(keep);
        const bool tracked = tracked_since_ && last.at >= *tracked_since_;
        const double ran_s = to_seconds(worked - last.worked);
        (tracked ? since_ : before_).add(wall_s, ran_s);
        auto& compared = tracked ? compared_since_ : compared_before_;
        if (compared.wall_s < compared_most_s) compared.add(wall_s, ran_s);
    }
    granted_before_ = granted;
    readings_.push_back({at, worked});
    if (readings_.size() <= readings_max) return;
    // Of the older half every second one goes: a pass of minutes is asked for as a whole.
    std::vector<Reading> kept;
    kept.reserve(readings_max);
    for (std::size_t i = 0; i < readings_.size(); ++i) {
        if (i >= readings_max / 2 || i % 2 == 0) kept.push_back(readings_[i]);
    }
    readings_ = std::move(kept);
}

std::optional<double> WorkClock::worked_s(Instant at) const {
    if (readings_.size() < 2) return std::nullopt;
    if (at < readings_.front().at - reach || at > readings_.back().at + reach) return std::nullopt;
    const auto later = std::upper_bound(readings_.begin(), readings_.end(), at,
                                        [](Instant i, const Reading& reading) { return i < reading.at; });
    auto right = std::clamp(later, readings_.begin() + 1, readings_.end() - 1);
    const auto& a = *(right - 1);
    const auto& b = *right;
    const double slope = to_seconds(b.worked - a.worked) / to_seconds(b.at - a.at);
    return to_seconds(a.worked) + slope * to_seconds(at - a.at);
}

std::optional<Duration> WorkClock::between(Instant from, Instant to) const {
    if (to < from) return std::nullopt;
    const auto first = worked_s(from);
    const auto last = worked_s(to);
    if (!first || !last) return std::nullopt;
    return from_seconds(std::clamp(*last - *first, 0.0, to_seconds(to - from)));
}

Share WorkClock::busy() const {
    const double wall_s = before_.wall_s + since_.wall_s;
    if (wall_s <= 0) return all_of_it;
    const double cost = tracking_cost();
    return {std::clamp((cost * before_.ran_s + since_.ran_s) / wall_s, 0.0, 1.0)};
}

std::optional<Share> WorkClock::measured_share(Duration over) const {
    if (readings_.size() < 2) return std::nullopt;
    const auto& last = readings_.back();
    auto first = readings_.end() - 2;
    while (first != readings_.begin() && last.at - first->at < over) --first;
    const double ran = to_seconds(last.worked - first->worked) / to_seconds(last.at - first->at);
    return Share{std::clamp(ran, 0.0, 1.0)};
}

}  // namespace segue

#include "brake/cgroup/quota.hpp"

#include <algorithm>
#include <cmath>

namespace segue {
namespace {

constexpr double period_least_us = 5000;
/// Without a burst: what is lost of a period is small in a long one (18 ms in 20 ms gave 89.94 %).
constexpr double period_without_burst_us = 20'000;
/// A run that begins late in a period, and the host's own lateness.
constexpr Duration stall_slack = std::chrono::milliseconds{10};
constexpr int steps = 13;

}  // namespace

Quota quota_for(Share share, bool burst) {
    const double ratio = std::min(share.ratio + share_margin, 1.0);
    const double least = burst ? period_least_us : period_without_burst_us;
    const double period = std::max(least, std::ceil(static_cast<double>(quota_least_us) / ratio));
    const auto quota = static_cast<std::int64_t>(std::ceil(ratio * period - 1e-6));
    return {std::max(quota, quota_least_us), static_cast<std::int64_t>(period)};
}

Duration stall_forecast(const Quota& quota, Duration run) {
    const Duration between = std::chrono::microseconds{std::max<std::int64_t>(quota.period_us - quota.quota_us, 0)};
    const Duration paid_back = from_seconds(to_seconds(run) * std::max(1 / quota.ratio() - 1, 0.0));
    return std::max(between, paid_back) + stall_slack;
}

std::vector<BrakeStep> brake_steps(Share floor, bool burst, Duration run) {
    std::vector<BrakeStep> list;
    const double least = std::max(floor.ratio, share_margin);
    for (int step = 0; step < steps; ++step) {
        const Share share{least * std::pow(1 / least, static_cast<double>(step) / steps)};
        list.push_back({share, stall_forecast(quota_for(share, burst), run)});
    }
    // To the digit: a floor that was rounded up would not be the one that was promised.
    list.front().share = floor;
    list.push_back({all_of_it, Duration{0}});
    return list;
}

}  // namespace segue

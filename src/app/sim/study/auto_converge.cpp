#include "app/sim/study/auto_converge.hpp"

#include <algorithm>

namespace segue::study {
namespace {

constexpr double period_min_s = 1.0;
constexpr int hits_needed = 2;
constexpr double run_s = 0.010;
constexpr double sync_timer_s = 5.0;

}  // namespace

void AutoConverge::synced(double at_s, double dirtied_bytes, double sent_bytes) {
    dirtied_ += dirtied_bytes;
    sent_ += sent_bytes;
    last_sync_ = at_s;
    if (at_s - judged_at_ <= period_min_s) return;
    if (dirtied_ > sent_ * settings_.threshold / 100 && ++hits_ >= hits_needed) {
        hits_ = 0;
        throttle_ = throttle_ == 0 ? settings_.initial : std::min(throttle_ + settings_.increment, settings_.max);
    }
    judged_at_ = at_s;
    dirtied_ = 0;
    sent_ = 0;
}

double AutoConverge::stall_s() const {
    if (throttle_ == 0) return 0;
    const double p = throttle_ / 100.0;
    return run_s * p / (1 - p);
}

std::optional<double> AutoConverge::sync_due_s() const {
    if (!settings_.sync_timer || throttle_ == 0) return std::nullopt;
    return last_sync_ + sync_timer_s;
}

}  // namespace segue::study

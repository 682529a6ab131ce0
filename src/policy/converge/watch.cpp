#include "policy/converge/watch.hpp"

#include <algorithm>

namespace segue::converge {
namespace {

/// A share that has held for so many times what was expected of it, and so much longer, is lowered.
constexpr double overdue = 2;
constexpr double overdue_s = 0.5;
constexpr double lowered = 0.75;
/// The lowest one that has does not work.
constexpr double failed_times = 10;
constexpr double failed_s = 5;
/// Between these a backlog stands still. One that has doubled had no brake for a while, or is in another phase.
constexpr double falls_by = 0.95;
constexpr double rises_by = 2;
/// So many dirty syncs must have seen it stand, for so much of the time since go: what was long in coming is not
/// given up for a short phase.
constexpr int standing_syncs = 5;
constexpr double standing_part = 0.05;
/// Of a round between two syncs, at most so many times what sending the backlog takes, and so much more, counts.
constexpr double round_times = 2;
constexpr double round_s = 0.5;
/// An image is flushed before go counts.
constexpr double not_looked_at_s = 1;

/// Where such rounds do not end, one of them.
double expected_of(const Ground& ground, const Setting& setting, double backlog) {
    const auto run = run_go(ground, setting, backlog, 1);
    return run.stops ? run.time_s : backlog / ground.bandwidth;
}

}  // namespace

const Setting& setting_of(const Ground& ground, double share) {
    for (std::size_t k = ground.settings.size() - 1; k > 0; --k) {
        if (ground.settings[k].share <= share + same_share) return ground.settings[k];
    }
    return ground.settings.front();
}

void Watch::set(double now_s, double backlog, double expected_s) {
    heeded_at_s_ = now_s;
    backlog_ = backlog;
    set_at_s_ = clock_s_;
    expected_s_ = expected_s;
    stands_syncs_ = 0;
}

void Watch::heed(const Ground& ground, double now_s, double backlog, double share) {
    clock_s_ += std::clamp(now_s - heeded_at_s_, 0.0, round_times * backlog_ / ground.bandwidth + round_s);
    heeded_at_s_ = now_s;
    const auto& held = setting_of(ground, share);
    if (backlog > rises_by * backlog_) expected_s_ = std::max(expected_s_, expected_of(ground, held, backlog));
    const bool fits = backlog <= held.budget;
    if (fits && !fits_) fits_since_s_ = clock_s_;
    fits_ = fits;
    const bool stands = stands_syncs_ > 0 && backlog > falls_by * stands_at_ && backlog < rises_by * stands_at_;
    if (!stands) {
        stands_since_s_ = clock_s_;
        stands_at_ = backlog;
        stands_syncs_ = 0;
    }
    ++stands_syncs_;
    backlog_ = backlog;
}

bool Watch::only_not_looked_at() const {
    return fits_ && clock_s_ - fits_since_s_ < not_looked_at_s;
}

bool Watch::stands(const Ground& ground, double share, double times, double least_s) const {
    // What nobody holds costs the guest nothing.
    if (stands_syncs_ < standing_syncs || ground.settings.front().work_rate >= ground.busy) return false;
    const double stood_s = clock_s_ - stands_since_s_;
    if (stood_s <= std::max(least_s, standing_part * clock_s_)) return false;
    return stood_s > times * expected_of(ground, setting_of(ground, share), stands_at_);
}

double Watch::most_share(const Ground& ground, double share) {
    const bool lowest = share <= ground.settings.front().share + same_share;
    if (lowest || only_not_looked_at()) return most_share_;
    const bool late = held_s() > overdue * expected_s_ + overdue_s;
    if (late || stands(ground, share, overdue, overdue_s)) {
        most_share_ = std::min(most_share_, lowered * std::min(share, ground.busiest_share()));
        set(heeded_at_s_, backlog_, 2 * expected_s_);
    }
    return most_share_;
}

bool Watch::failed(const Ground& ground, double share) const {
    if (only_not_looked_at() || share > ground.settings.front().share + same_share) return false;
    const double least_s = std::max(failed_s, standing_part * clock_s_);
    if (held_s() > std::max(least_s, failed_times * expected_s_)) return true;
    return stands(ground, share, failed_times, failed_s);
}

}  // namespace segue::converge

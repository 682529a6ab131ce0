// How the study's moves stop: what may be pending, Segue's own count, the standstill, the end.
#include <fmt/format.h>

#include <algorithm>

#include "app/sim/study/flight.hpp"
#include "model/count.hpp"

namespace segue::study {
namespace {

constexpr double before_go_s = 0.001;  ///< downtime-limit until go.
/// Answers are slow around a dirty sync, and the proof that the guest ran is as old as they are.
constexpr double proof_age_s = 0.010;

double between(sim::Rng& rng, double low, double high) { return low + (high - low) * rng.unit(); }

}  // namespace

Bytes Flight::budget() const {
    auto costs = setting_.costs;
    costs.stop = std::max(costs.stop, from_seconds(case_.sync_s + proof_age_s));
    return pending_budget(from_seconds(bounds_.max_downtime_s), reserve_, costs,
                          ByteRate{static_cast<std::int64_t>(cautious_rate())}, dirtied_at_stop(known_));
}

/// What may be pending at a stop that QEMU makes: of a braked guest the worst stall is charged.
double Flight::spare(double share) const {
    return static_cast<double>(budget().count) - stall_at(share) * cautious_rate();
}

/// One that is braked is stopped by Segue, the proof that it ran as young as that.
double Flight::braked_budget() const {
    auto costs = setting_.costs;
    costs.stop = braked_stop_charge(costs, setting_.memory);
    return static_cast<double>(pending_budget(from_seconds(bounds_.max_downtime_s), reserve_, costs,
                                              ByteRate{static_cast<std::int64_t>(cautious_rate())},
                                              dirtied_at_stop(known_))
                                   .count);
}

double Flight::threshold() const {
    if (!steered()) return copying_.window_rate() * bounds_.max_downtime_s;
    if (go_at_ && copying_.now_s() >= *go_at_) return allowed_bytes_;
    return copying_.window_rate() * before_go_s;
}

/// The watchdog, and what Segue checks before it sends the word.
bool Flight::must_roll_back(double& stood) {
    if (!steered()) return false;
    const double last = bounds_.max_downtime_s - to_seconds(reserve_);
    const bool late = stood > last || stood + to_seconds(setting_.costs.handover) > bounds_.max_downtime_s;
    if (!late) return false;
    stood = std::min(stood, last) + between(copying_.chance(), 0.001, 0.015);
    return true;
}

/// The last veto of migration/switchover.cpp: the guest goes on, as the switchover would end after the timeout.
bool Flight::too_late(double stood) const {
    if (!steered() || !bounds_.timeout_s) return false;
    const auto& costs = setting_.costs;
    const double needed = stood + copying_.pending_bytes() / cautious_rate() + to_seconds(costs.load + costs.handover);
    return copying_.now_s() + needed > *bounds_.timeout_s;
}

bool Flight::may_count() const {
    return steered() && go_at_ && share_ < 1 && !share_next_ && result_.syncs >= 2;
}

/// Rather too much of what was dirtied since the sync (migration/stopping.cpp).
double Flight::fresh() const {
    return counted_since_sync(known_, copying_.guest().worked() - worked_at_sync_, copying_.now_s() - synced_at_);
}

void Flight::stop_when_it_fits() {
    const double budget = may_count() ? braked_budget() : 0;
    if (budget <= 0 || fresh() > counted_part_max * budget) return;
    if (copying_.pending_bytes() + fresh() > budget) return;
    auto& rng = copying_.chance();
    copying_.wait(between(rng, 0.0002, 0.0006), share_);
    const double began = copying_.now_s();
    // Let go: it runs until QEMU has stopped it.
    copying_.wait(between(rng, 0.0003, 0.002), 1);
    // QEMU's next look is one more dirty sync, which the guest waits for.
    copying_.wait(case_.sync_s, 0);
    stand_from(began);
}

void Flight::switch_over() {
    auto& rng = copying_.chance();
    copying_.wait(between(rng, 0.00005, 0.001), share_);
    double began = copying_.now_s();
    // A vCPU that is being held stops when it may run again.
    const double stall = share_ < 1 ? (steered() ? stall_at(share_) : throttle_.stall_s()) * rng.unit() : 0;
    copying_.wait(stall, 0);
    // Until then an only one was held by its brake; of several the others have been standing.
    if (case_.guest.busy.size() == 1) began = copying_.now_s();
    stand_from(began);
}

void Flight::stand_from(double began) {
    copying_.wait(to_seconds(costs_.stop), 0);
    static_cast<void>(copying_.sync());
    if (too_late(copying_.now_s() - began)) {
        result_.downtime_s = copying_.now_s() - began;
        static_cast<void>(end(End::timed_out));
        return;
    }
    static_cast<void>(copying_.drain());
    double stood = copying_.now_s() - began;
    bool back = must_roll_back(stood);
    if (!back) {
        copying_.wait(to_seconds(costs_.load), 0);
        stood = copying_.now_s() - began;
        back = must_roll_back(stood);
    }
    if (!back) {
        copying_.wait(to_seconds(costs_.handover), 0);
        stood = copying_.now_s() - began;
    }
    result_.downtime_s = stood;
    static_cast<void>(end(back ? End::rolled_back : End::moved));
}

MoveResult Flight::end(End how, std::string because) {
    done_ = true;
    result_.end = how;
    result_.because = std::move(because);
    result_.total_s = copying_.now_s();
    result_.work_taken_s = copying_.guest().worked() - worked_before_;
    result_.lost_s = std::max(0.0, copying_.guest().wanted() - wanted_before_ - result_.work_taken_s);
    result_.sent_bytes = copying_.sent_bytes();
    result_.most_per_s = copying_.most_per_s();
    say(fmt::format("{}: {:.2f} s, stood {:.1f} ms, lost {:.3f} s of work{}{}", to_string(how), result_.total_s,
                    result_.downtime_s * 1e3, result_.lost_s, result_.because.empty() ? "" : "; ", result_.because));
    return result_;
}

}  // namespace segue::study

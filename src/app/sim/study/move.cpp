#include "app/sim/study/move.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/sim/study/flight.hpp"
#include "model/page_sampling.hpp"
#include "policy/converge/mechanics.hpp"

namespace segue::study {
namespace {

constexpr double look_s = 0.05;
constexpr double run_time_read_s = 0.25;
constexpr std::size_t passes_kept = 64;
constexpr double mib = 1024.0 * 1024;
constexpr double probe_noise = 0.01;
constexpr double scan_noise = 0.1;
constexpr double stream_noise = 0.007;
/// Quotas are set this much above the share asked for.
constexpr double quota_above = 0.002;
/// As migration/ has it: how often QEMU is asked.
constexpr double asked_every_s = 0.005;

Instant at(double seconds) { return {from_seconds(seconds)}; }
Bytes bytes(double count) { return {static_cast<std::int64_t>(count)}; }

double between(sim::Rng& rng, double low, double high) { return low + (high - low) * rng.unit(); }

/// From go to the first look that knows of it (measured: 55 to 123 ms in most runs, 100 to 450 ms in others).
double draw_go(sim::Rng& rng) {
    return rng.chance(0.7) ? between(rng, 0.055, 0.123) : between(rng, 0.100, 0.450);
}

double draw_brake(sim::Rng& rng) { return between(rng, 0.002, 0.008) + between(rng, 0.001, 0.020); }

FixedCosts scaled(const FixedCosts& costs, double factor) {
    const auto by = [factor](Duration d) { return from_seconds(to_seconds(d) * factor); };
    return {by(costs.stop), by(costs.load), by(costs.handover)};
}

}  // namespace

MoveResult Flight::run() {
    set_out();
    if (pilot_.on_start) pilot_.on_start({setting_, outlook_of(*planner_), budget(), reserve_});
    planner_.reset();
    if (pilot_.may_refuse) {
        result_.because = pilot_.policy->refuse(view());
        result_.refused = !result_.because.empty();
        if (result_.refused) return end(End::gave_up, result_.because);
    }
    wanted_before_ = copying_.guest().wanted();
    worked_before_ = worked_at_sync_ = copying_.guest().worked();
    listen();
    static_cast<void>(copying_.guest().take_dirty());
    synced(copying_.pending_bytes());
    double look_at = copying_.now_s() + look_s;
    while (!done_) {
        copying_.send_until(until(look_at), share_);
        apply_due();
        if (!done_) stop_when_it_fits();
        if (done_ || (copying_.pending_bytes() > 0 && copying_.now_s() < look_at - 1e-9)) continue;
        look();
        look_at = copying_.now_s() + look_s;
    }
    return result_;
}

void Flight::set_out() {
    auto& rng = copying_.chance();
    std::vector<FixedCosts> history;
    for (int i = 0; i < case_.moves_before; ++i) history.push_back(scaled(case_.costs, between(rng, 0.8, 1.2)));
    costs_ = scaled(case_.costs, between(rng, 0.8, 1.2));
    setting_.costs = charge_for(history);
    reserve_ = rollback_reserve(std::chrono::milliseconds{1}, std::chrono::milliseconds{1}, true, Duration{0});
    setting_.memory = bytes(case_.guest.memory_bytes);
    setting_.resident = bytes(case_.guest.memory_bytes * std::min(1.0, case_.guest.nonzero_ratio *
                                                                           (1 + case_.resident_excess)));
    setting_.scan_per_s = case_.scan_per_s * std::exp(scan_noise * normal(rng));
    // As the brake reads it while the pages are sampled.
    if (!case_.guest.network) setting_.spread = spread_of(case_.guest.busy);
    setting_.probed_per_s = copying_.rate_now() * (1 + probe_noise * normal(rng));
    if (bounds_.max_bandwidth) setting_.cap_per_s = *bounds_.max_bandwidth;
    beholder_ = pilot_.beholder(setting_, copying_.guest(), case_);
    planner_ = pilot_.beholder(setting_, copying_.guest(), case_);
    sample_first();
}

/// As migration/sampling.cpp has it: a move begins after the brief samples, a plan waits for all of them, and the
/// vCPUs' run times are read before and after each. Who reckons with a constant rate takes that of one second, as
/// people do.
void Flight::sample_first() {
    double now_s = 0;
    for (std::size_t i = 0; i < samples_before_start; ++i) now_s -= to_seconds(sample_intervals[i]);
    clock_from_ = copying_.guest().worked();
    const auto clock = [&](Beholder& beholder, const GuestRun& guest) {
        beholder.ran(at(now_s), from_seconds(guest.worked() - clock_from_), all_of_it);
    };
    const auto show = [](Beholder& beholder, const Sampled& one) {
        beholder.sampled(from_seconds(one.interval_s), one.told, one.pages_hashed, from_seconds(one.worked_s));
    };
    for (auto* beholder : {beholder_.get(), planner_.get()}) clock(*beholder, copying_.guest());
    for (; next_sample_ < samples_before_start; ++next_sample_) {
        const auto one = sample(copying_.guest(), to_seconds(sample_intervals[next_sample_]));
        now_s += one.interval_s;
        for (auto* beholder : {beholder_.get(), planner_.get()}) {
            clock(*beholder, copying_.guest());
            show(*beholder, one);
        }
    }
    GuestRun second = copying_.guest();
    result_.rate_sampled = static_cast<double>(sample(second, 1).told.count);
    GuestRun later = copying_.guest();
    const auto look_on = [&](Duration interval) {
        const auto one = sample(later, to_seconds(interval));
        now_s += one.interval_s;
        clock(*planner_, later);
        show(*planner_, one);
    };
    for (std::size_t i = samples_before_start; i < sample_intervals.size(); ++i) look_on(sample_intervals[i]);
    const double rate = std::min(setting_.probed_per_s, setting_.cap_per_s.value_or(setting_.probed_per_s));
    const double pass_1_s = static_cast<double>(planner_->look().first_pass.count) / rate;
    const Duration last = last_look(from_seconds(pass_1_s));
    if (last.count() > 0) look_on(last);
}

/// As QEMU 8.2 and later do it, the guest at full speed.
Flight::Sampled Flight::sample(GuestRun& guest, double interval_s) {
    static_cast<void>(guest.take_dirty());
    const double worked = guest.worked();
    guest.advance(interval_s, 1);
    double pages = 0;
    for (const double dirty : guest.take_dirty()) pages += dirty;
    const std::int64_t samples = pages_hashed(setting_.memory);
    const double part = pages * page_bytes / case_.guest.memory_bytes;
    const double hits = binomial(copying_.chance(), static_cast<double>(samples), part);
    const double seen = hits / static_cast<double>(samples) * case_.guest.memory_bytes;
    const double told = std::floor(seen / interval_s / mib) * mib;  // Whole MiB a second.
    return {interval_s, bytes(told * interval_s), samples, guest.worked() - worked};
}

bool Flight::may_sample() const {
    if (!steered() || !pilot_.samples_beside || beside_ || next_sample_ >= sample_intervals.size()) return false;
    if (result_.syncs != 1 || share_ < 1 || share_next_ || at(copying_.now_s()) < at(0) + sample_settle) return false;
    return pass_outlasts(sample_intervals[next_sample_], bytes(copying_.pending_bytes()), setting_.resident,
                         bytes(copying_.sent_bytes()), ByteRate{static_cast<std::int64_t>(cautious_rate())});
}

/// What the guest will do meanwhile, done in advance on a copy.
void Flight::sample_beside() {
    const double now = copying_.now_s();
    if (may_sample()) {
        GuestRun ahead = copying_.guest();
        const auto one = sample(ahead, to_seconds(sample_intervals[next_sample_]));
        beside_ = {now + one.interval_s, one};
    }
    if (!beside_ || now < beside_->first - 1e-9) return;
    const Sampled one = beside_->second;
    beside_.reset();
    ++next_sample_;
    if (share_least_ < 1 || share_next_) return;
    beholder_->sampled(from_seconds(one.interval_s), one.told, one.pages_hashed, from_seconds(one.worked_s));
    if (result_.syncs == 1) decide(static_cast<double>(passes_.back().backlog.count));
}

void Flight::listen() {
    copying_.on_stream = [this](double now_s, double sent, bool waited) {
        acked_ += std::max(0.0, (sent - sent_seen_) * (1 + stream_noise * normal(copying_.chance())));
        sent_seen_ = sent;
        stream_.add(at(now_s), bytes(acked_), waited);
        seen_.add(at(now_s), bytes(acked_), copying_.pending_bytes() > 0);
        beholder_->stream(at(now_s), bytes(acked_), waited);
    };
}

double Flight::until(double look_at) const {
    double until = look_at;
    if (share_next_) until = std::min(until, share_next_->first);
    if (may_count()) {
        const double too_much = copying_.pending_bytes() + fresh() - braked_budget();
        until = std::min(until, copying_.now_s() + std::max(asked_every_s, too_much / copying_.most_per_s()));
    }
    if (beside_) until = std::min(until, beside_->first);
    if (steered() && bounds_.timeout_s) until = std::min(until, *bounds_.timeout_s);
    if (const auto due = throttle_.sync_due_s(); due && !steered()) until = std::min(until, *due);
    return std::max(until, copying_.now_s() + 1e-6);
}

void Flight::apply_due() {
    const double now = copying_.now_s();
    if (share_next_ && now >= share_next_->first - 1e-9) {
        share_ = share_next_->second;
        share_next_.reset();
    }
    sample_beside();
    if (done_) return;
    result_.lowest_share = std::min(result_.lowest_share, share_);
    const double stall = steered() ? stall_at(share_) : throttle_.stall_s();
    result_.worst_stall_s = std::max(result_.worst_stall_s, share_ < 1 ? stall : 0);
    share_least_ = std::min(share_least_, share_);
    if (now - run_time_at_ >= run_time_read_s) {
        run_time_at_ = now;
        beholder_->ran(at(now), from_seconds(copying_.guest().worked() - clock_from_), Share{share_least_});
    }
    if (steered() && bounds_.timeout_s && now >= *bounds_.timeout_s - 1e-9) {
        static_cast<void>(end(End::timed_out));
    } else if (now >= pilot_.endless_s) {
        static_cast<void>(end(End::endless));
    } else if (const auto due = throttle_.sync_due_s(); due && !steered() && now >= *due) {
        const double left_over = copying_.pending_bytes();
        static_cast<void>(copying_.sync());
        synced(copying_.pending_bytes(), left_over);
    }
}

std::optional<ByteRate> Flight::measured() const {
    const Duration for_bytes = from_seconds(bounds_.max_downtime_s) - reserve_ - setting_.costs.total();
    const auto waiting = stream_.cautious_while_it_flows(for_bytes);
    return waiting ? waiting : seen_.cautious_while_it_flows(for_bytes);
}

double Flight::cautious_rate() const {
    const auto measured = this->measured();
    const double rate = measured && measured->per_second > 0 ? static_cast<double>(measured->per_second)
                                                             : setting_.probed_per_s * 0.95;
    return setting_.cap_per_s ? std::min(rate, *setting_.cap_per_s) : rate;
}

/// Between two iterations: the estimate, then the exact sync.
void Flight::look() {
    const double pending = copying_.pending_bytes();
    const double threshold = this->threshold();
    // With a threshold of zero nothing is ever below it: no sync, and at zero pending the stop.
    if (pending <= 0 && threshold <= 0) return switch_over();
    if (pending >= threshold) return;
    const double found = copying_.sync();
    const double exact = copying_.pending_bytes();
    if (exact < threshold) return switch_over();
    if (!steered()) throttle_.synced(copying_.now_s(), found, copying_.sent_bytes() - sent_at_sync_);
    copying_.wait(case_.sync_s, share_);
    synced(exact, pending);
}

void Flight::synced(double backlog, double left_over) {
    SyncSeen sync;
    sync.at = at(copying_.now_s());
    sync.number = ++result_.syncs;
    sync.backlog = bytes(backlog);
    sync.left_over = bytes(left_over);
    sync.worked = from_seconds(copying_.guest().worked() - worked_at_sync_);
    sync.sent = bytes(copying_.sent_bytes() - sent_at_sync_);
    sync.share = {share_least_};
    beholder_->synced(sync);
    passes_.push_back({sync.number, from_seconds(copying_.now_s()), sync.backlog, sync.worked, sync.share});
    if (passes_.size() > passes_kept) passes_.erase(passes_.begin());
    worked_at_sync_ = copying_.guest().worked();
    synced_at_ = copying_.now_s();
    sent_at_sync_ = copying_.sent_bytes();
    share_least_ = share_;
    if (sync.number == 2) result_.pass_1_s = copying_.now_s();
    if (sync.number == 2 && pilot_.keep_curve) result_.curve_after_1 = curve_ahead(copying_.guest());
    if (!steered()) {
        if (throttle_.share() < share_) set_share(throttle_.share());
        say(fmt::format("sync {}: {:.1f} MiB, throttle {} %", sync.number, backlog / mib, throttle_.throttle()));
        return;
    }
    decide(backlog);
}

View Flight::view() const {
    View view;
    view.elapsed = from_seconds(copying_.now_s());
    if (bounds_.timeout_s) view.timeout = from_seconds(*bounds_.timeout_s);
    view.passes = passes_;
    view.memory = setting_.memory;
    view.bandwidth = measured();
    view.budget = budget();
    view.braked_budget = bytes(braked_budget());
    view.allowed = go_at_.has_value();
    view.max_downtime = from_seconds(bounds_.max_downtime_s);
    view.aggression = bounds_.aggression;
    view.brake = brake_;
    view.share = {asked_share_};
    view.outlook = outlook_of(*beholder_);
    view.reserve = reserve_;
    return view;
}

void Flight::decide(double backlog) {
    const View view = this->view();
    known_ = view.outlook;
    const Decision decision = pilot_.policy->decide(view);
    if (result_.syncs == 2 && decision.total_s) {
        result_.total_after_1 = decision.total_s;
        result_.downtime_after_1 = decision.downtime_s;
    }
    static constexpr const char* words[] = {"carry on", "go", "give up"};
    say(fmt::format("sync {}: {:.1f} MiB, budget {:.1f} MiB, share {:.3f}: {}{}; {}", result_.syncs, backlog / mib,
                    static_cast<double>(view.budget.count) / mib, view.share.ratio, words[decision.action.index()],
                    decision.share ? fmt::format(", share {:.3f}", decision.share->ratio) : "", decision.because));
    obey(decision);
}

void Flight::obey(const Decision& decision) {
    if (std::holds_alternative<GiveUp>(decision.action)) {
        static_cast<void>(end(End::gave_up, decision.because));
        return;
    }
    auto& rng = copying_.chance();
    if (decision.share) set_share(std::max(decision.share->ratio, brake_.shares.front()));
    if (std::holds_alternative<AllowSwitchover>(decision.action) && !go_at_) {
        go_at_ = copying_.now_s() + draw_go(rng);
    }
    const double share = share_next_ ? share_next_->second : share_;
    allowed_bytes_ = std::max(converge::least_told_s * cautious_rate(), spare(share));
}

void Flight::set_share(double share) {
    asked_share_ = share;
    const double granted = std::min(1.0, share + quota_above);
    const double now = share_next_ ? share_next_->second : share_;
    if (granted == now) return;
    share_next_ = {copying_.now_s() + (steered() ? draw_brake(copying_.chance()) : 0.01), granted};
}

std::string_view to_string(End end) noexcept {
    switch (end) {
        case End::moved: return "moved";
        case End::gave_up: return "gave up";
        case End::timed_out: return "timed out";
        case End::rolled_back: return "rolled back";
        case End::endless: return "endless";
    }
    return "?";
}

MoveResult run_move(const Case& one, const Bounds& bounds, const Pilot& pilot) {
    return Flight(one, bounds, pilot).run();
}

}  // namespace segue::study

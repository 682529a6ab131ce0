#include "app/sim/study/move.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/sim/study/copying.hpp"
#include "model/page_sampling.hpp"

namespace segue::study {
namespace {

constexpr double look_s = 0.05;
constexpr double run_time_read_s = 0.25;
constexpr double before_go_s = 0.001;  ///< downtime-limit until go.
constexpr std::size_t passes_kept = 64;
constexpr double mib = 1024.0 * 1024;
constexpr double probe_noise = 0.01;
constexpr double scan_noise = 0.1;
constexpr double stream_noise = 0.007;
/// Quotas are set this much above the share asked for.
constexpr double quota_above = 0.002;
/// Answers are slow around a dirty sync, and the proof that the guest ran is as old as they are.
constexpr double proof_age_s = 0.010;
/// As migration/ has it: how often QEMU is asked, what `stop` is charged, what was dirtied since the sync counted for.
constexpr double asked_every_s = 0.005;
constexpr double told_to_stop_s = 0.010;
constexpr double counted_for = 1.25;
constexpr double least_told_s = 0.002;

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

class Flight {
public:
    Flight(const Case& one, const Bounds& bounds, const Pilot& pilot)
        : case_(one), bounds_(bounds), pilot_(pilot), copying_(one, bounds), brake_(brake_for(bounds)),
          throttle_(pilot.auto_converge) {}

    MoveResult run() {
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

private:
    [[nodiscard]] bool steered() const { return pilot_.policy != nullptr; }
    void say(const std::string& line) const {
        if (pilot_.log) pilot_.log(fmt::format("{:9.3f} {}", copying_.now_s(), line));
    }
    void set_out();
    struct Sampled {
        double interval_s = 0;
        Bytes told;
        std::int64_t pages_hashed = 0;
        double worked_s = 0;
    };
    void sample_first();
    [[nodiscard]] Sampled sample(GuestRun& guest, double interval_s);
    void sample_beside();
    [[nodiscard]] bool may_sample() const;
    void listen();
    [[nodiscard]] double until(double look_at) const;
    void apply_due();
    void look();
    [[nodiscard]] Outlook outlook_of(Beholder& beholder) const {
        Outlook out = beholder.look();
        out.vcpus = static_cast<int>(case_.guest.busy.size());
        return out;
    }
    void synced(double backlog, double left_over = 0);
    [[nodiscard]] View view() const;
    void decide(double backlog);
    void obey(const Decision& decision);
    [[nodiscard]] Bytes budget() const;
    [[nodiscard]] std::optional<ByteRate> measured() const;
    [[nodiscard]] double cautious_rate() const;
    [[nodiscard]] double spare(double share) const;
    [[nodiscard]] double budget_for(double share) const;
    [[nodiscard]] double threshold() const;
    void set_share(double share);
    [[nodiscard]] bool may_count() const;
    [[nodiscard]] double counted() const;
    void stop_when_it_fits();
    void switch_over();
    void stand_from(double began);
    [[nodiscard]] bool must_roll_back(double& stood);
    [[nodiscard]] bool too_late(double stood) const;
    MoveResult end(End how, std::string because = {});

    const Case& case_;
    const Bounds bounds_;
    const Pilot& pilot_;
    Copying copying_;
    const BrakeRange brake_;
    AutoConverge throttle_;
    std::unique_ptr<Beholder> beholder_;
    std::unique_ptr<Beholder> planner_;  ///< Who waits for all samples, as `segue plan` does.
    std::size_t next_sample_ = 0;
    std::optional<std::pair<double, Sampled>> beside_;  ///< When it ends, and what it will say.
    Setting setting_;
    FixedCosts costs_;  ///< As they will be.
    Duration case_stop_{0};  ///< Charged for a stop that Segue makes.
    Duration reserve_{0};
    BandwidthEstimate stream_;
    BandwidthEstimate seen_;  ///< All windows within a pass: a lower bound, as migration/ keeps it.
    double acked_ = 0;
    double sent_seen_ = 0;
    double share_ = 1;
    double asked_share_ = 1;
    double share_least_ = 1;  ///< Since the last sync.
    std::optional<std::pair<double, double>> share_next_;
    std::optional<double> go_at_;
    double allowed_bytes_ = 0;
    std::optional<double> said_go_at_;
    Curve curve_;  ///< As last seen.
    double unbraked_ = 0;
    double synced_at_ = 0;
    std::vector<Pass> passes_;
    double worked_before_ = 0;
    double wanted_before_ = 0;
    double worked_at_sync_ = 0;
    double sent_at_sync_ = 0;
    double run_time_at_ = -1;
    MoveResult result_;
    bool done_ = false;
};

void Flight::set_out() {
    auto& rng = copying_.chance();
    std::vector<FixedCosts> history;
    for (int i = 0; i < case_.moves_before; ++i) history.push_back(scaled(case_.costs, between(rng, 0.8, 1.2)));
    costs_ = scaled(case_.costs, between(rng, 0.8, 1.2));
    setting_.costs = charge_for(history);
    case_stop_ = setting_.costs.stop;
    setting_.costs.stop = std::max(setting_.costs.stop, from_seconds(case_.sync_s + proof_age_s));
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

/// As migration/sampling.cpp has it: a move begins after the brief samples, a plan waits for all of them. Who reckons
/// with a constant rate takes that of one second, as people do.
void Flight::sample_first() {
    const auto show = [](Beholder& beholder, const Sampled& one) {
        beholder.sampled(from_seconds(one.interval_s), one.told, one.pages_hashed, from_seconds(one.worked_s));
    };
    for (; next_sample_ < samples_before_start; ++next_sample_) {
        const auto one = sample(copying_.guest(), to_seconds(sample_intervals[next_sample_]));
        show(*beholder_, one);
        show(*planner_, one);
    }
    GuestRun second = copying_.guest();
    result_.rate_sampled = static_cast<double>(sample(second, 1).told.count);
    GuestRun later = copying_.guest();
    for (std::size_t i = samples_before_start; i < sample_intervals.size(); ++i) {
        show(*planner_, sample(later, to_seconds(sample_intervals[i])));
    }
    const double rate = std::min(setting_.probed_per_s, setting_.cap_per_s.value_or(setting_.probed_per_s));
    const double pass_1_s = static_cast<double>(planner_->look().first_pass.count) / rate;
    const Duration last = last_look(from_seconds(pass_1_s));
    if (last.count() > 0) show(*planner_, sample(later, to_seconds(last)));
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
        const double too_much = counted() - budget_for(share_);
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
        beholder_->ran(at(now), from_seconds(copying_.guest().worked() - worked_before_), Share{share_least_});
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
    const auto waiting = stream_.cautious_while_it_flows();
    return waiting ? waiting : seen_.cautious_while_it_flows();
}

double Flight::cautious_rate() const {
    const auto measured = this->measured();
    const double rate = measured && measured->per_second > 0 ? static_cast<double>(measured->per_second)
                                                             : setting_.probed_per_s * 0.95;
    return setting_.cap_per_s ? std::min(rate, *setting_.cap_per_s) : rate;
}

Bytes Flight::budget() const {
    return pending_budget(from_seconds(bounds_.max_downtime_s), reserve_, setting_.costs,
                          ByteRate{static_cast<std::int64_t>(cautious_rate())}, Bytes{0});
}

/// What may be pending at a stop that QEMU makes: of a braked guest the worst stall is charged.
double Flight::spare(double share) const {
    return static_cast<double>(budget().count) - stall_at(share) * cautious_rate();
}

/// At any stop: one that is braked is stopped by Segue, the proof that it ran as young as that.
double Flight::budget_for(double share) const {
    if (share >= 1) return static_cast<double>(budget().count);
    auto costs = setting_.costs;
    costs.stop = case_stop_ + from_seconds(told_to_stop_s);
    return static_cast<double>(pending_budget(from_seconds(bounds_.max_downtime_s), reserve_, costs,
                                              ByteRate{static_cast<std::int64_t>(cautious_rate())}, Bytes{0})
                                   .count);
}

double Flight::threshold() const {
    if (!steered()) return copying_.window_rate() * bounds_.max_downtime_s;
    if (go_at_ && copying_.now_s() >= *go_at_) return allowed_bytes_;
    return copying_.window_rate() * before_go_s;
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
    view.budget = bytes(budget_for(share_next_ ? share_next_->second : share_));
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
    curve_ = view.outlook.curve;
    unbraked_ = view.outlook.unbraked_ratio;
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
        said_go_at_ = copying_.now_s();
    }
    const double share = share_next_ ? share_next_->second : share_;
    allowed_bytes_ = std::max(least_told_s * cautious_rate(), spare(share));
}

void Flight::set_share(double share) {
    asked_share_ = share;
    const double granted = std::min(1.0, share + quota_above);
    const double now = share_next_ ? share_next_->second : share_;
    if (granted == now) return;
    share_next_ = {copying_.now_s() + (steered() ? draw_brake(copying_.chance()) : 0.01), granted};
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
    return steered() && said_go_at_ && share_ < 1 && !share_next_;
}

/// What is left, and rather too much of what was dirtied since the sync (migration/stopping.cpp).
double Flight::counted() const {
    const double braked = curve_.bytes_in(copying_.guest().worked() - worked_at_sync_);
    const double free = curve_.bytes_in(copying_.now_s() - synced_at_);
    return copying_.pending_bytes() + counted_for * (braked + unbraked_ * std::max(free - braked, 0.0));
}

void Flight::stop_when_it_fits() {
    const double budget = may_count() ? budget_for(share_) : 0;
    if (budget <= 0 || counted() > budget) return;
    auto& rng = copying_.chance();
    copying_.wait(between(rng, 0.0002, 0.0006), share_);
    const double began = copying_.now_s();
    // Let go: it runs until QEMU has stopped it.
    copying_.wait(between(rng, 0.0003, 0.002), 1);
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

}  // namespace

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

#include "model/guest_model.hpp"

#include <algorithm>
#include <cmath>

namespace segue {
namespace {

constexpr double page = 4096;
/// Backlogs closer together than this are not told apart: an idle guest's few pages are no news.
constexpr double noise_bytes = 64 * page;
constexpr std::int64_t pages_hashed_default = 8192;

constexpr double round_sigma_prior = 0.05;
constexpr double round_sigma_least = 0.02;
/// How many rounds the priors of scatter and correlation weigh.
constexpr double scatter_prior_rounds = 4;
constexpr double correlation_prior_rounds = 6;
constexpr std::size_t residuals_max = 64;

/// CUSUM in standard deviations: half of one is let pass a round, three in sum are a change.
constexpr double cusum_slack = 0.5;
constexpr double cusum_limit = 3;
/// A change smaller than this is scatter, however sure it is.
constexpr double change_least = 0.15;
/// Only rounds of similar work as one seen before can tell a changed guest from a curve not yet known there.
constexpr double near_factor = 2;
constexpr std::size_t shifts_max = 16;

/// Of memory that is not zero, where nothing is known of it.
constexpr double filled_prior = 0.6;
constexpr double filled_prior_sigma = 0.4;
constexpr double remembered_first_pass_sigma = 0.1;
constexpr double remembered_curve_sd = 0.25;
/// Half of a quarter of the time to come: a path that drifts is followed, one that varies is averaged.
constexpr double horizon_part = 4;
/// Nearer than that the middle of the newest windows is better: single ones that were held up do not move it.
constexpr double far_ahead_s = 4;
constexpr double remembered_bandwidth_factor = 1.5;
/// Of a dirty sync: measured 0 to 8 ms at 128 MiB (QEMU 10, TCG); its bitmap grows with the memory.
constexpr double round_overhead_max_s = 0.5;
constexpr std::size_t overheads_max = 9;

/// The unbraked ratio is 0 give or take this, before anything was braked.
constexpr double unbraked_prior_sd = 0.3;
constexpr double unbraked_weight_max = 100;
/// Work of a pass of which nothing can be said yet.
constexpr double unknown_next_s = 5;
constexpr std::size_t learned_points = 12;

double as_double(Bytes bytes) {
    return static_cast<double>(bytes.count);
}

double log_ratio(double seen, double expected) {
    return std::log((seen + noise_bytes) / (expected + noise_bytes));
}

/// Mean over works in equal steps of the logarithm.
double mean_sigma(const CurveBelief& belief, double from_s, double to_s) {
    constexpr int steps = 8;
    double sum = 0;
    for (int i = 0; i < steps; ++i) sum += belief.sigma_at(from_s * std::pow(to_s / from_s, i / (steps - 1.0)));
    return sum / steps;
}

}  // namespace

GuestModel::GuestModel(Bytes memory, const GuestMemory& remembered)
    : memory_(memory), remembered_(remembered), clock_(remembered.busy), fit_(memory) {
    for (auto o : remembered.curve) {
        o.evidence = CurveEvidence::remembered;
        o.relative_sd = std::hypot(o.relative_sd, remembered_curve_sd);
        fit_.add(o);
    }
    belief_ = fit_.fit();
    const bool known = remembered.first_pass.count > 0;
    first_pass_ = known ? std::min(remembered.first_pass, most_sent()) : scale(memory, filled_prior);
    first_pass_sigma_ = known ? remembered_first_pass_sigma : filled_prior_sigma;
    const double sigma = remembered.round_sigma > 0 ? remembered.round_sigma : round_sigma_prior;
    steady_sigma_ = round_sigma_ = std::clamp(sigma, round_sigma_least, 1.0);
}

/// Every page carries a header of 8 bytes on the wire.
Bytes GuestModel::most_sent() const {
    return scale(memory_, 1.002);
}

void GuestModel::add_sample(const PageSample& sample) {
    const double seconds = to_seconds(sample.interval);
    if (seconds <= 0 || sample.dirtied.count < 0 || memory_.count <= 0) return;
    CurveObservation o;
    o.evidence = CurveEvidence::sample;
    o.work_s = sample.worked ? std::min(to_seconds(*sample.worked), seconds) : clock_.busy().ratio * seconds;
    o.work_s /= clock_.tracking_cost();
    o.relative_sd = sample.worked || clock_.busy_measured() ? 0.03 : 0.15;
    // What was rounded off is half a unit; of nothing at all rather less, since most quiet guests are quieter.
    const double unit = static_cast<double>(std::max<std::int64_t>(sample.resolution.per_second, 0)) * seconds;
    const bool none = sample.dirtied.count == 0;
    o.bytes = std::min(as_double(sample.dirtied) + unit * (none ? 0.2 : 0.5), as_double(memory_));
    const double n = static_cast<double>(sample.pages_hashed > 0 ? sample.pages_hashed : pages_hashed_default);
    const double q = (o.bytes / as_double(memory_) * n + 0.5) / (n + 1);
    o.absolute_sd = std::hypot(unit * 0.29, as_double(memory_) * std::sqrt(q * (1 - q) / n));
    fit_.add(o);
    belief_ = fit_.fit();
}

void GuestModel::add_run_time(Instant at, Duration worked, Share granted) {
    clock_.add(at, worked, granted);
}

void GuestModel::add_stream(Instant at, Bytes acked, bool queue_waits, Duration rested) {
    bandwidth_.add(at, acked, queue_waits, rested);
}

void GuestModel::expect_bandwidth(ByteRate rate) {
    if (rate.per_second > 0) bandwidth_expected_ = rate;
}

void GuestModel::expect_first_pass(Bytes bytes, double sigma) {
    if (bytes.count <= 0 || passes_seen_ > 0) return;
    first_pass_ = std::min(bytes, most_sent());
    first_pass_sigma_ = std::clamp(sigma, 0.0, 2.0);
}

void GuestModel::add_sync(const DirtySync& sync) {
    if (last_ && (sync.number <= last_->number || sync.at <= last_->at)) return;
    if (sync.backlog.count < 0) return;
    if (sync.number == 1) clock_.tracking_begins(sync.at);
    // Of a sync that was missed nothing is known: the work behind this one cannot be told.
    if (last_ && sync.number == last_->number + 1) {
        const double wall_s = to_seconds(sync.at - last_->at);
        const double free_s = clock_.busy().ratio * wall_s;
        double work_s = std::min(sync.share.ratio * wall_s, free_s);
        if (sync.worked) {
            work_s = std::clamp(to_seconds(*sync.worked), 0.0, wall_s);
        } else if (const auto worked = clock_.between(last_->at, sync.at)) {
            work_s = to_seconds(*worked);
        }
        if (sync.sent.count > 0) {
            if (last_->number <= 1) {
                first_pass_ = std::min(sync.sent, most_sent());
                first_pass_sigma_ = 0;
            }
            // What pass 1 spends on zero pages comes only once.
            if (const auto rate = bandwidth_.median(); last_->number > 1 && rate && rate->per_second > 0) {
                const double over_s = wall_s - to_seconds(sync.sent / *rate);
                overheads_s_.push_back(std::clamp(over_s, 0.0, round_overhead_max_s));
                if (overheads_s_.size() > overheads_max) overheads_s_.erase(overheads_s_.begin());
            }
        }
        // The curve stays one of work as it was before the tracking.
        const double cost = clock_.tracking_cost();
        work_s /= cost;
        ++passes_seen_;
        // What an unbraked guest did not work it did not want to.
        const double free_work_s = sync.share < all_of_it ? std::max(free_s / cost, work_s) : work_s;
        learn_round({work_s, free_work_s, new_dirt(sync, work_s)});
        last_work_s_ = work_s;
    }
    last_ = sync;
}

double GuestModel::new_dirt(const DirtySync& sync, double work_s) const {
    const double left = std::clamp(as_double(sync.remaining_before), 0.0, as_double(sync.backlog));
    const double old_backlog = as_double(last_->backlog);
    if (left <= 0 || old_backlog <= 0) return as_double(sync.backlog);
    const auto& f = belief_.curve;
    // Pass 1 has everything for its backlog; a later one what the pass before it dirtied.
    double on_old = 1;
    if (last_->number > 1 && work_s > 0) {
        const double again = f.bytes_in(last_work_s_) + f.bytes_in(work_s) - f.bytes_in(last_work_s_ + work_s);
        on_old = std::clamp(again / std::max(f.bytes_in(work_s), page), 0.0, 1.0);
    }
    const double visible = 1 - on_old * std::min(left / old_backlog, 1.0);
    return std::min((as_double(sync.backlog) - left) / std::max(visible, 0.1), as_double(sync.backlog));
}

double GuestModel::unbraked_work(const Round& round) const {
    const double sum = unbraked_weight_ + 1 / (unbraked_prior_sd * unbraked_prior_sd);
    const double ratio = unbraked_sum_ / sum;
    // Below twice its own doubt it is taken for what it is of most guests: nothing.
    if (ratio * ratio * sum < 4 || ratio < 0) return round.work_s;
    return round.work_s + std::min(ratio, 1.0) * (round.free_work_s - round.work_s);
}

void GuestModel::learn_unbraked(const Round& round) {
    const double held_s = round.free_work_s - round.work_s;
    if (held_s < 0.2 * round.free_work_s || round.work_s <= 0) return;
    const auto& f = belief_.curve;
    const double here = f.bytes_in(round.work_s);
    if (here < noise_bytes || round.dirtied < noise_bytes) return;
    const double elasticity = std::log(f.bytes_in(round.work_s * 1.1) / here) / std::log(1.1);
    const double as_if_s = f.work_for(round.dirtied);
    // Where more work dirties no more, a brake would not show.
    if (elasticity < 0.2 || !std::isfinite(as_if_s)) return;
    const double sigma = std::hypot(belief_.sigma_at(round.work_s), round_sigma_);
    const double sd = sigma * round.work_s / (elasticity * held_s);
    const double weight = std::min(1 / (sd * sd), unbraked_weight_max);
    unbraked_sum_ += weight * std::clamp((as_if_s - round.work_s) / held_s, -0.5, 1.5);
    unbraked_weight_ += weight;
}

void GuestModel::learn_round(const Round& round) {
    if (round.work_s <= 0) return;
    learn_unbraked(round);
    const double work_s = unbraked_work(round);
    const double expected = belief_.curve.bytes_in(work_s);
    const double level_sigma = belief_.sigma_at(work_s);
    const double off = log_ratio(round.dirtied, expected);
    conformal_.add(lognormal_band(expected + noise_bytes, std::hypot(level_sigma, round_sigma_)),
                   round.dirtied + noise_bytes);
    const bool changed = passes_seen_ > 1 && seen_near(work_s) &&
                         watch_for_change(off / std::hypot(level_sigma, steady_sigma_), off);
    fit_.add({work_s, round.dirtied, steady_sigma_, CurveEvidence::sync, page});
    if (passes_seen_ > 1) {
        residuals_.push_back({off, level_sigma, changed});
        if (residuals_.size() > residuals_max) residuals_.erase(residuals_.begin());
        relearn_scatter();
    }
    belief_ = fit_.fit();
}

bool GuestModel::seen_near(double work_s) const {
    const auto& seen = fit_.observations();
    return std::any_of(seen.begin(), seen.end(), [&](const CurveObservation& o) {
        if (o.evidence == CurveEvidence::sample) return false;
        return o.work_s * near_factor > work_s && o.work_s < work_s * near_factor;
    });
}

bool GuestModel::watch_for_change(double standardised, double plain) {
    cusum_up_ = std::max(0.0, cusum_up_ + standardised - cusum_slack);
    cusum_down_ = std::max(0.0, cusum_down_ - standardised - cusum_slack);
    cusum_up_rounds_ = cusum_up_ > 0 ? cusum_up_rounds_ + 1 : 0;
    cusum_down_rounds_ = cusum_down_ > 0 ? cusum_down_rounds_ + 1 : 0;
    if (std::max(cusum_up_, cusum_down_) < cusum_limit) return false;
    const int rounds = cusum_up_ >= cusum_limit ? cusum_up_rounds_ : cusum_down_rounds_;
    double shift = plain;
    const auto before = std::min(static_cast<std::size_t>(rounds - 1), residuals_.size());
    for (std::size_t i = 0; i < before; ++i) shift += residuals_[residuals_.size() - 1 - i].plain;
    shift /= static_cast<double>(before + 1);
    cusum_up_ = cusum_down_ = 0;
    cusum_up_rounds_ = cusum_down_rounds_ = 0;
    if (std::abs(shift) < change_least) return false;
    fit_.change(std::exp(std::clamp(shift, -6.0, 6.0)), before);
    shifts_.push_back(shift);
    if (shifts_.size() > shifts_max) shifts_.erase(shifts_.begin());
    for (std::size_t i = 0; i < before; ++i) residuals_[residuals_.size() - 1 - i].changed = true;
    return true;
}

void GuestModel::relearn_scatter() {
    const double prior = remembered_.round_sigma > 0 ? remembered_.round_sigma : round_sigma_prior;
    double squares = scatter_prior_rounds * prior * prior;
    double rounds = scatter_prior_rounds;
    double products = 0;
    double powers = 1e-12;
    for (std::size_t i = 0; i < residuals_.size(); ++i) {
        const auto& r = residuals_[i];
        // What a change of phase made is counted below, as changes.
        if (r.changed) continue;
        const double off = std::clamp(r.plain, -3 * prior - change_least, 3 * prior + change_least);
        squares += std::max(off * off - r.level_sigma * r.level_sigma, 0.0);
        rounds += 1;
        powers += off * off;
        if (i > 0 && !residuals_[i - 1].changed) products += off * residuals_[i - 1].plain;
    }
    const double seen = static_cast<double>(residuals_.size());
    round_phi_ = std::clamp(products / powers * seen / (seen + correlation_prior_rounds), 0.0, 0.9);
    double variance = squares / rounds;
    steady_sigma_ = std::clamp(std::sqrt(variance), round_sigma_least, 1.0);
    // A guest that was seen to change and to change back will do so again.
    bool up = false;
    bool down = false;
    double jump = 0;
    for (const double shift : shifts_) {
        (shift > 0 ? up : down) = true;
        jump += shift * shift / static_cast<double>(shifts_.size());
    }
    if (up && down) variance += std::min(static_cast<double>(shifts_.size()) / (seen + 2), 1.0) * jump;
    round_sigma_ = std::clamp(std::sqrt(variance), round_sigma_least, 1.0);
}

Band GuestModel::next_backlog(double work_s) const {
    work_s /= clock_.tracking_cost();
    const double sigma = std::hypot(belief_.sigma_at(work_s), round_sigma_);
    return conformal_.widened(lognormal_band(belief_.curve.bytes_in(work_s), sigma));
}

/// For what is left to send now. Its ends stay where the newest windows put them: those tell what may happen next.
Band GuestModel::bandwidth_ahead() const {
    const auto newest = bandwidth_.band();
    if (newest.p50 <= 0) return newest;
    const double left = passes_seen_ == 0 ? as_double(first_pass_) : as_double(last_->backlog);
    const double ahead_s = left / newest.p50;
    if (ahead_s < far_ahead_s) return newest;
    const double mean = bandwidth_.mean_over(ahead_s / horizon_part);
    return {std::min(newest.p10, mean), mean, std::max(newest.p90, mean)};
}

Outlook GuestModel::outlook() const {
    Outlook out;
    const double cost = clock_.tracking_cost();
    out.curve = cost > 1 ? belief_.curve.stretched(cost) : belief_.curve;
    out.round_sigma = round_sigma_;
    out.round_phi = round_phi_;
    out.busy = clock_.busy();
    out.busiest = busiest_of(out.busy.ratio, spread_);
    const Round unit{0, 1, 0};
    out.unbraked_ratio = unbraked_work(unit);
    if (passes_seen_ == 0 && remembered_.unbraked_ratio > 0) out.unbraked_ratio = remembered_.unbraked_ratio;
    out.memory = memory_;
    out.first_pass = first_pass_;
    out.first_pass_sigma = first_pass_sigma_;
    if (passes_seen_ == 0) out.first_pass_beside = opening_;
    if (passes_seen_ == 0 && zero_scan_.per_second > 0 && first_pass_ < memory_) {
        out.first_pass_beside += (memory_ - first_pass_) / zero_scan_;
    }
    out.costs = costs_;
    out.passes_seen = passes_seen_;
    if (bandwidth_.windows() > 0) {
        out.bandwidth_bytes_per_second = bandwidth_ahead();
        out.bandwidth_known = true;
    } else if (bandwidth_expected_) {
        const auto rate = static_cast<double>(bandwidth_expected_->per_second);
        out.bandwidth_bytes_per_second = {rate * 0.95, rate, rate};
        out.bandwidth_known = true;
    } else if (remembered_.bandwidth_bytes_per_second.p50 > 0) {
        out.bandwidth_bytes_per_second = widen(remembered_.bandwidth_bytes_per_second, remembered_bandwidth_factor);
        out.bandwidth_known = true;
    }
    // The doubt that counts is that of the next round and of the ones it leads to.
    double next_s = last_work_s_;
    if (out.bandwidth_known && out.bandwidth_bytes_per_second.p50 > 0) {
        const double to_send = passes_seen_ == 0 ? as_double(first_pass_) : as_double(last_->backlog);
        next_s = to_send / out.bandwidth_bytes_per_second.p50 * out.busy.ratio / cost;
    }
    if (next_s <= 0) next_s = unknown_next_s;
    next_s = std::clamp(next_s, 0.05, Curve::last_s);
    out.level_sigma = mean_sigma(belief_, next_s / 4, next_s);
    out.curve_sigma = belief_.log_sigma;
    out.round_overhead = sync_time(memory_);
    if (!overheads_s_.empty()) {
        auto sorted = overheads_s_;
        std::sort(sorted.begin(), sorted.end());
        out.round_overhead = from_seconds(sorted[sorted.size() / 2]);
    } else if (remembered_.round_overhead.count() > 0) {
        out.round_overhead = remembered_.round_overhead;
    }
    return out;
}

GuestMemory GuestModel::learned() const {
    GuestMemory out = remembered_;
    double from_s = Curve::last_s;
    double to_s = 0;
    for (const auto& o : fit_.observations()) {
        from_s = std::min(from_s, o.work_s);
        to_s = std::max(to_s, o.work_s);
    }
    if (to_s > 0) out.curve.clear();
    for (std::size_t i = 0; to_s > 0 && i < learned_points; ++i) {
        const double part = static_cast<double>(i) / (learned_points - 1);
        const double work_s = from_s * std::pow(to_s / from_s, part);
        // Twelve points of one curve are not twelve observations.
        const double sd = std::max(belief_.sigma_at(work_s), 0.05) * std::sqrt(learned_points / 4.0);
        out.curve.push_back({work_s, belief_.curve.bytes_in(work_s), sd, CurveEvidence::remembered, 0});
        if (to_s <= from_s) break;
    }
    if (clock_.busy_measured()) out.busy = clock_.busy().ratio / clock_.tracking_cost();
    if (bandwidth_.windows() > 0) out.bandwidth_bytes_per_second = bandwidth_.band();
    if (passes_seen_ > 0) {
        out.round_sigma = steady_sigma_;
        if (first_pass_sigma_ <= 0) out.first_pass = first_pass_;
        if (unbraked_weight_ > 0) out.unbraked_ratio = unbraked_work({0, 1, 0});
    }
    if (!overheads_s_.empty()) out.round_overhead = outlook().round_overhead;
    return out;
}

}  // namespace segue

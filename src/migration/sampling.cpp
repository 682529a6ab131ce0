// Page sampling: before the start as briefly as a first judgement needs, and on beside pass 1, where it costs no time.
// What it shows becomes the forecast, and the reason to refuse or to end what cannot succeed.
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "migration/migration.hpp"
#include "migration/preflight.hpp"
#include "model/page_sampling.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// The shortest is the one that shows what a blackout's worth of work dirties, which decides how hard a brake must be;
/// the longer ones show what passes dirty.
constexpr std::array sample_intervals = {Duration{milliseconds{100}}, Duration{seconds{1}}, Duration{seconds{3}}};
/// A move begins after so many, whose 1.1 s show whether it is hopeless; `segue plan` waits for all.
constexpr std::size_t samples_before_start = 2;
constexpr Duration sample_max = seconds{5};
constexpr Duration clock_max = milliseconds{500};
/// Until a first rate of the link is known; and so much sooner than pass 1 a sample beside it must end, since comparing
/// its pages costs 0.1 s of a CPU.
constexpr Duration settle = milliseconds{300};

}  // namespace

void Migration::sample_or_start() {
    if (!request_.forecast) return start_guard();
    enter(MigrationStage::sampling);
    sampling_.next = src_->brief_samples ? 0 : 1;
    // A QEMU that samples by whole seconds has no shorter second one.
    const bool all = request_.dry_run || !src_->brief_samples;
    sampling_.before_start = all ? sample_intervals.size() : samples_before_start;
    sample_next();
}

void Migration::sample_next() {
    // How much of the interval the vCPUs ran: what a guest dirties belongs to its work, not to the wall's time.
    if (!brake_.steps.empty()) submit(BrakeCommand{BrakeRead{}}, clock_max, &Migration::on_sample_clock);
    const Duration interval = sample_intervals[sampling_.next];
    submit(SrcCommand{SrcSampleDirtying{interval, src_->memory}}, interval + sample_max, &Migration::on_sample);
}

void Migration::on_sample_clock(const Result<AnswerValue>& answer) {
    const auto* sample = answer_as<BrakeSample>(answer);
    if (!sample || stage_ != MigrationStage::sampling) return;
    sampling_.clock = *sample;
    model_->add_run_time(sample->at, sample->worked, all_of_it);
}

void Migration::on_sample(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::sampling) return;
    const auto* rate = answer_as<ByteRate>(answer);
    if (!rate) {
        decided("no forecast", answer ? "the source gave no dirty rate" : to_string(answer.error()));
        return start_guard();
    }
    sampling_.rate = *rate;
    if (!sampling_.clock) return sampled(std::nullopt);
    submit(BrakeCommand{BrakeRead{}}, clock_max, &Migration::on_sample_clocked);
}

void Migration::on_sample_clocked(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::sampling) return;
    const auto before = std::exchange(sampling_.clock, std::nullopt);
    on_sample_clock(answer);
    sampled(before && sampling_.clock ? std::optional(work_between(*before, *sampling_.clock)) : std::nullopt);
}

/// Of the sample's interval; its answer comes a little later.
Duration Migration::work_between(const BrakeSample& from, const BrakeSample& to) const {
    const double wall_s = to_seconds(to.at - from.at);
    const double part = wall_s > 0 ? std::clamp(to_seconds(to.worked - from.worked) / wall_s, 0.0, 1.0) : 1.0;
    return from_seconds(part * to_seconds(sample_intervals[sampling_.next]));
}

void Migration::sampled(std::optional<Duration> worked) {
    learn_sample(worked);
    if (sampling_.next < sampling_.before_start) return sample_next();
    forecast();
    const std::string objection = policy_->refuse(view());
    if (!objection.empty() && !request_.dry_run) {
        return refuse({{objection, "segue plan shows what each choice would cost; --no-forecast tries all the same"}});
    }
    start_guard();
}

void Migration::learn_sample(std::optional<Duration> worked) {
    const Duration interval = sample_intervals[sampling_.next++];
    const Bytes dirtied = sampling_.rate * interval;
    samples_.push_back({interval, dirtied});
    PageSample sample{interval, dirtied, pages_hashed(src_->memory)};
    sample.worked = worked;
    model_->add_sample(sample);
    if (samples_.size() < 2) return;
    curve_ = fit_dirty_curve(samples_[samples_.size() - 2], samples_.back(), src_->memory);
}

void Migration::forecast() {
    const auto& bounds = request_.bounds;
    const bool underway = stage_ == MigrationStage::copying;
    ForecastReport out;
    out.underway = underway;
    out.samples = samples_;
    out.curve = *curve_;
    const auto measured = underway ? rate_of_pass() : std::nullopt;
    out.bandwidth_known = bounds.max_bandwidth || bounds.switchover_bandwidth || measured;
    if (!underway) reserve_ = rollback_reserve({}, {}, true, request_.experience.rollback_worst);
    if (out.bandwidth_known) {
        if (measured) {
            out.bandwidth = *measured;
        } else {
            out.bandwidth = bounds.max_bandwidth ? pacing_for(*bounds.max_bandwidth, {}) : *bounds.switchover_bandwidth;
            model_->expect_bandwidth(out.bandwidth);
        }
        const ByteRate blackout = bounds.switchover_bandwidth ? *bounds.switchover_bandwidth : out.bandwidth;
        const FixedCosts costs = switchover_costs(request_);
        out.budget = pending_budget(bounds.max_downtime, reserve_, costs, blackout, {});
        out.rounds = forecast_rounds(*curve_, src_->memory, out.bandwidth, out.budget, costs.total());
    }
    const View shown = view();
    out.outlook = shown.outlook;
    out.brake = shown.brake;
    out.reserve = shown.reserve;
    report(std::move(out));
}

std::optional<ByteRate> Migration::rate_of_pass() const {
    const auto busy = bandwidth_.median();
    return busy ? busy : seen_.median();
}

/// A sample that ends before pass 1 does tells at no cost what else would be known only by its end.
void Migration::sample_beside_pass() {
    if (!request_.forecast || sampling_.beside || sampling_.next >= sample_intervals.size()) return;
    if (passes_.size() != 1 || share_ < all_of_it || elapsed() < passes_.front().began + settle) return;
    const auto rate = rate_of_pass();
    if (!rate || rate->per_second <= 0 || !stream_) return;
    const Bytes seen = src_->content ? *src_->content : src_->resident;
    const Bytes content = seen.count > 0 ? std::min(seen, src_->memory) : src_->memory;
    const Bytes left = std::min(progress_.remaining, std::max(content - stream_->acked, Bytes{0}));
    const Duration interval = sample_intervals[sampling_.next];
    if (left / *rate < interval + settle) return;
    sampling_.beside = true;
    sampling_.clock = worked_;
    submit(SrcCommand{SrcSampleDirtying{interval, src_->memory}}, interval + sample_max,
           &Migration::on_sample_beside_pass);
}

void Migration::on_sample_beside_pass(const Result<AnswerValue>& answer) {
    sampling_.beside = false;
    const auto* rate = answer_as<ByteRate>(answer);
    // A brake that was set meanwhile belongs to a part of the interval only.
    const bool braked = share_ < all_of_it || pass_share_ < all_of_it;
    if (!rate || braked || stage_ != MigrationStage::copying || stopping_allowed_) {
        sampling_.next = sample_intervals.size();
        return;
    }
    sampling_.rate = *rate;
    const bool clocked = sampling_.clock && worked_ && worked_->at > sampling_.clock->at;
    learn_sample(clocked ? std::optional(work_between(*sampling_.clock, *worked_)) : std::nullopt);
    if (passes_.size() != 1) return;
    forecast();
    ask_policy();
}

}  // namespace segue

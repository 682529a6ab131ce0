// Page sampling: before the start as briefly as a first judgement needs, and on beside pass 1, where it costs no time.
// What it shows becomes the forecast, and the reason to refuse or to end what cannot succeed.
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "migration/migration.hpp"
#include "migration/preflight.hpp"
#include "model/page_sampling.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr Duration sample_max = std::chrono::seconds{5};
/// The last look of a plan that was ended is still being measured, and nothing can end it sooner.
constexpr Duration others_sample_max = std::chrono::seconds{35};
constexpr Duration clock_max = std::chrono::milliseconds{500};
}  // namespace

void Migration::sample_or_start() {
    if (!request_.forecast) return start_guard();
    enter(MigrationStage::sampling);
    const bool brief = src_->brief_samples;
    const auto intervals = brief ? std::span<const Duration>(sample_intervals) : whole_second_intervals;
    sampling_.intervals.assign(intervals.begin(), intervals.end());
    sampling_.before_start = request_.dry_run || !brief ? sampling_.intervals.size() : samples_before_start;
    sample_next();
}

void Migration::sample_next() {
    // How much of the interval the vCPUs ran: what a guest dirties belongs to its work, not to the wall's time.
    if (vcpus_watched_) submit(BrakeCommand{BrakeRead{}}, clock_max, &Migration::on_sample_clock);
    const Duration interval = sampling_.intervals[sampling_.next];
    const Duration most = request_.dry_run && sampling_.next == 0 ? others_sample_max : sample_max;
    submit(SrcCommand{SrcSampleDirtying{interval, src_->memory}}, interval + most, &Migration::on_sample);
}

void Migration::on_sample_clock(const Result<AnswerValue>& answer) {
    const auto* sample = answer_as<BrakeSample>(answer);
    if (!sample || stage_ != MigrationStage::sampling) return;
    sampling_.clock = *sample;
    learn_work(*sample, all_of_it);
}

void Migration::on_sample(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::sampling) return;
    const auto* rate = answer_as<ByteRate>(answer);
    if (!rate) {
        decided("no forecast", answer ? "the source gave no dirty rate" : to_string(answer.error()));
        sampling_.next = sampling_.intervals.size();
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
    return from_seconds(part * to_seconds(sampling_.intervals[sampling_.next]));
}

void Migration::sampled(std::optional<Duration> worked) {
    learn_sample(worked);
    if (sampling_.next >= sampling_.before_start && request_.dry_run) look_longer();
    if (sampling_.next < sampling_.before_start) return sample_next();
    forecast();
    const std::string objection = policy_->refuse(view());
    if (!objection.empty() && !request_.dry_run) {
        return refuse({{objection, "segue plan shows what each choice would cost; --no-forecast tries all the same"}});
    }
    start_guard();
}

/// A plan of a long move is worth a longer wait, once.
void Migration::look_longer() {
    if (std::exchange(sampling_.looked_longer, true)) return;
    const Outlook outlook = model_->outlook();
    auto rate = expected_rate();
    if (!rate && outlook.bandwidth_known) {
        rate = ByteRate{static_cast<std::int64_t>(outlook.bandwidth_bytes_per_second.p50)};
    }
    if (!rate || rate->per_second <= 0) return;
    const Duration pass = outlook.first_pass / *rate;
    const Duration last = last_look(pass);
    if (last.count() == 0) return;
    sampling_.intervals.push_back(last);
    sampling_.before_start = sampling_.intervals.size();
    report(DecisionReport{elapsed(), fmt::format("sampling for {} more", to_text(last)),
                          fmt::format("pass 1 would take about {}", to_text(pass))});
}

void Migration::learn_sample(std::optional<Duration> worked) {
    const Duration interval = sampling_.intervals[sampling_.next++];
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
    const auto expected = expected_rate();
    const auto measured = underway ? rate_of_pass() : std::nullopt;
    out.bandwidth_known = expected || measured;
    if (!underway) reserve_ = rollback_reserve({}, {}, true, request_.experience.rollback_worst);
    if (out.bandwidth_known) {
        out.bandwidth = measured ? *measured : *expected;
        if (!underway) model_->expect_bandwidth(out.bandwidth);
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

/// What the operator says of the link.
std::optional<ByteRate> Migration::expected_rate() const {
    const auto& bounds = request_.bounds;
    return bounds.max_bandwidth ? pacing_for(*bounds.max_bandwidth, {}) : bounds.switchover_bandwidth;
}

/// Nothing where nothing gets through just then.
std::optional<ByteRate> Migration::rate_of_pass() const {
    const auto busy = bandwidth_.median();
    const auto rate = busy && busy->per_second > 0 ? busy : seen_.median();
    return rate && rate->per_second > 0 ? rate : std::nullopt;
}

/// A sample that ends before pass 1 does tells at no cost what else would be known only by its end.
void Migration::sample_beside_pass() {
    if (!request_.forecast || sampling_.beside || sampling_.next >= sampling_.intervals.size()) return;
    if (passes_.size() != 1 || share_ < all_of_it || elapsed() < passes_.front().began + sample_settle) return;
    const auto rate = rate_of_pass();
    if (!rate || !stream_) return;
    const Bytes seen = src_->content ? *src_->content : src_->resident;
    const Bytes content = seen.count > 0 ? std::min(seen, src_->memory) : src_->memory;
    const Duration interval = sampling_.intervals[sampling_.next];
    if (!pass_outlasts(interval, progress_.remaining, content, stream_->acked, *rate)) return;
    sampling_.beside = true;
    sampling_.braked = false;
    sampling_.clock = worked_;
    submit(SrcCommand{SrcSampleDirtying{interval, src_->memory}}, interval + sample_max,
           &Migration::on_sample_beside_pass);
}

void Migration::on_sample_beside_pass(const Result<AnswerValue>& answer) {
    sampling_.beside = false;
    const auto* rate = answer_as<ByteRate>(answer);
    // A brake that was set meanwhile belongs to a part of the interval only.
    if (!rate || sampling_.braked || stage_ != MigrationStage::copying || stopping_allowed_) {
        sampling_.next = sampling_.intervals.size();
        return;
    }
    sampling_.rate = *rate;
    const bool clocked = sampling_.clock && worked_ && worked_->at > sampling_.clock->at;
    learn_sample(clocked ? std::optional(work_between(*sampling_.clock, *worked_)) : std::nullopt);
    if (passes_.size() != 1 || !curve_) return;
    forecast();
    ask_policy();
}

}  // namespace segue

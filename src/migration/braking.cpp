// The brake: taken hold of before anything else is changed, set as the policy says and never below the floor,
// let go at the stop and first of all in every rollback.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "migration/migration.hpp"
#include "units/share_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

/// Mean of the vCPUs' run times: a tick of the kernel is a tenth of it at most.
constexpr Duration spread_least = std::chrono::milliseconds{40};
/// Calibration takes 150 ms at most.
constexpr Duration open_max = std::chrono::seconds{3};
constexpr Duration set_max = std::chrono::milliseconds{500};
constexpr Duration watch_every = std::chrono::milliseconds{20};
/// In a row, after go.
constexpr int slow_rounds_max = 3;
/// Longer than a lost segment's retransmission, which comes after 200 ms.
constexpr Duration silence_max = std::chrono::milliseconds{300};

}  // namespace

/// Before the forecast, which must know how far the guest may be braked.
void Migration::look_at_brake() {
    submit(BrakeCommand{BrakeOpen{src_->pid, src_->vcpu_threads, request_.bounds.min_cpu, true}}, open_max,
           &Migration::on_brake_looked);
}

void Migration::on_brake_looked(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::inspecting) return;
    if (const auto* ready = answer_as<BrakeReady>(answer)) {
        brake_ = *ready;
        vcpus_watched_ = true;
        return sample_or_start();
    }
    if (auto finding = no_brake(answer)) return refuse({std::move(*finding)});
    watch_vcpus();
}

/// Without a brake too the guest's work is what its pages are dirtied by: an idle one would be taken for busy.
void Migration::watch_vcpus() {
    if (src_->vcpu_threads.empty() || request_.non_live) return sample_or_start();
    submit(BrakeCommand{BrakeWatch{src_->pid, src_->vcpu_threads}}, set_max, &Migration::on_vcpus_watched);
}

void Migration::on_vcpus_watched(const Result<AnswerValue>& answer) {
    vcpus_watched_ = answer.has_value();
    if (stage_ == MigrationStage::inspecting) sample_or_start();
}

/// It goes on without one, unless it was asked for by name.
std::optional<Finding> Migration::no_brake(const Result<AnswerValue>& answer) {
    const std::string why = answer ? "the brake gave no answer" : to_string(answer.error());
    if (request_.brake_required) {
        return Finding{"the guest's vCPUs cannot be braked by cgroups: " + why,
                       "leave --brake out to move without one, or give --brake auto-converge"};
    }
    request_.brake = BrakeKind::none;
    decided("no brake", why);
    return std::nullopt;
}

void Migration::open_brake() {
    brake_asked_ = true;
    submit(BrakeCommand{BrakeOpen{src_->pid, src_->vcpu_threads, request_.bounds.min_cpu}}, open_max,
           &Migration::on_brake_ready);
}

void Migration::on_brake_ready(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::guarding) return;
    if (const auto* ready = answer_as<BrakeReady>(answer)) {
        brake_ = *ready;
        brake_open_ = true;
        tell(GuardCommand{GuardTakeBrake{}});
    } else {
        brake_ = {};
        vcpus_watched_ = false;  // What could not be opened forgets what it counted.
        if (auto finding = no_brake(answer)) return refuse({std::move(*finding)});
        submit(BrakeCommand{BrakeWatch{src_->pid, src_->vcpu_threads}}, set_max, &Migration::on_vcpus_watched);
    }
    began_ = now_;
    prepare();
}

void Migration::read_brake() {
    // What QEMU's own throttle takes would be taken for idleness.
    if (!vcpus_watched_ || brake_in_flight_ || request_.brake == BrakeKind::auto_converge) return;
    // Only a braked guest is stopped by what it has just worked.
    if (!brake_open_ && now_ < next_watch_) return;
    next_watch_ = now_ + watch_every;
    brake_in_flight_ = true;
    submit(BrakeCommand{BrakeRead{}}, set_max, &Migration::on_brake_sample);
}

void Migration::on_brake_sample(const Result<AnswerValue>& answer) {
    brake_in_flight_ = false;
    const auto* sample = answer_as<BrakeSample>(answer);
    if (!sample || stage_ != MigrationStage::copying) return;
    worked_ = *sample;
    learn_work(*sample, std::exchange(share_least_, share_));
}

void Migration::learn_work(const BrakeSample& sample, Share granted) {
    model_->add_run_time(sample.at, sample.worked, granted);
    // What was counted under the brake, and before there is enough, does not tell how the vCPUs differ.
    if (summary_.lowest_share < all_of_it || sample.worked < spread_least) return;
    const double mean = to_seconds(sample.worked);
    model_->add_spread({to_seconds(sample.worked_most) / mean, to_seconds(sample.worked_rms) / mean});
}

/// What may be granted: never less than the floor, and nothing that stalls longer than the bound.
BrakeRange Migration::brake_range() const {
    if (brake_.steps.empty()) return {};
    BrakeRange range{{}, {}};
    range.floor = request_.bounds.min_cpu.ratio;
    range.available = true;
    for (const BrakeStep& step : brake_.steps) {
        if (step.share < request_.bounds.min_cpu || step.share >= all_of_it) continue;
        if (step.stall_worst > request_.bounds.longest_stall()) {
            range.cut_by_stall = true;
            continue;
        }
        range.shares.push_back(step.share.ratio);
        range.stall_s.push_back(to_seconds(step.stall_worst));
    }
    range.shares.push_back(1.0);
    range.stall_s.push_back(0.0);
    return range;
}

/// What the brake may add to the time that QEMU needs to stop the guest.
Duration Migration::stall_charge() const {
    if (share_ == all_of_it || brake_.steps.empty()) return Duration{0};
    // Between two steps it stands as long as at the lower one.
    Duration stall = brake_.steps.front().stall_worst;
    for (const BrakeStep& step : brake_.steps) {
        if (step.share <= share_) stall = step.stall_worst;
    }
    return stall;
}

void Migration::grant(Share share) {
    if (!brake_open_ || stage_ != MigrationStage::copying || stopped_by_us_) return;
    const BrakeRange range = brake_range();
    share.ratio = std::clamp(share.ratio, range.shares.front(), 1.0);
    // Told once more: the guardian may have let go meanwhile. What is as it should be is not written again.
    if (share == share_ && share < all_of_it && grants_in_flight_ == 0) {
        ++grants_in_flight_;
        submit(BrakeCommand{BrakeSet{share}}, set_max, &Migration::on_granted_again);
    }
    if (share == share_) return;
    decided(share < share_ ? "brake" : "let go", fmt::format("each vCPU may run {} of the time", to_text(share)));
    share_ = share;
    sampling_.braked = sampling_.braked || share < all_of_it;
    share_least_ = std::min(share_least_, share);
    pass_share_ = std::min(pass_share_, share);
    summary_.lowest_share = std::min(summary_.lowest_share, share);
    refresh_budget();
    ++grants_in_flight_;
    submit(BrakeCommand{BrakeSet{share}}, set_max, &Migration::on_granted);
}

/// While nothing gets through a brake costs work and buys nothing, and nothing else may end it before the timeout.
void Migration::heed_silence(const StreamSample& sample) {
    const bool waits = sample.unacked.count + sample.not_sent.count > 0;
    if (!waits || sample.acked > flowed_) {
        if (round_due_ && now_ - flowed_at_ >= silence_max) *round_due_ = *round_due_ + (now_ - flowed_at_);
        flowed_ = sample.acked;
        flowed_at_ = now_;
        if (const auto again = std::exchange(share_before_silence_, std::nullopt)) grant(*again);
        return;
    }
    if (share_ == all_of_it || now_ - flowed_at_ < silence_max) return;
    const Share before = share_;
    decided("nothing gets through", "the guest runs free until something does");
    run_free();
    share_before_silence_ = before;
}

/// The policy is asked at dirty syncs only, and held until the next one a guest could be for minutes.
void Migration::heed_slow_round() {
    if (share_ == all_of_it || !round_due_ || now_ < *round_due_) return;
    if (go_wanted_ && ++slow_rounds_ >= slow_rounds_max) {
        return undo(Outcome::downtime_exceeded,
                    fmt::format("{} rounds under the brake took more than three times as long as they should: the link "
                                "is not what it was measured to be; try again with --max-bandwidth",
                                slow_rounds_max));
    }
    decided("the link has become slow",
            "this round takes far longer than its backlog should: the guest runs free until the next dirty sync");
    run_free();
}

/// Not by a decision: the round that is under way tells nothing of what the brake does.
void Migration::run_free() {
    grant(all_of_it);
    let_go_in_pass_ = true;
}

void Migration::on_granted_again(const Result<AnswerValue>& answer) {
    // It is there already, most likely: an answer that is late says nothing else.
    if (!answer && outcome_unknown(answer.error().kind)) {
        --grants_in_flight_;
        return;
    }
    on_granted(answer);
}

void Migration::on_granted(const Result<AnswerValue>& answer) {
    --grants_in_flight_;
    if (answer || stage_ != MigrationStage::copying) return;
    undo(Outcome::failed, "the brake could not be set: " + to_string(answer.error()));
}

/// Its failure is met by taking the brake away while closing, and by the guardian's own lifting.
void Migration::let_go() {
    if (!brake_open_ || share_ == all_of_it) return;
    share_ = all_of_it;
    ++grants_in_flight_;
    submit(BrakeCommand{BrakeSet{all_of_it}}, set_max, &Migration::on_granted);
}

}  // namespace segue

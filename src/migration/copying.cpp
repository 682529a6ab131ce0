// Pre-copy: watch the passes, learn the bandwidth, say go when the policy thinks so.
#include <fmt/format.h>

#include <algorithm>

#include "guard/board.hpp"
#include "migration/migration.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

/// How stale the proof that the guest runs may become before go, and after it.
constexpr Duration progress_every = std::chrono::milliseconds{20};
constexpr Duration progress_every_switching = std::chrono::milliseconds{5};
constexpr Duration progress_max = std::chrono::seconds{10};
constexpr Duration stream_every = std::chrono::milliseconds{50};
constexpr Duration stream_max = std::chrono::seconds{1};
constexpr Duration report_every = std::chrono::milliseconds{250};
constexpr Duration change_max = std::chrono::seconds{5};
constexpr Duration flush_max = std::chrono::seconds{60};
/// What may be pending while the bandwidth is not known (DESIGN.md section 4 point 5).
constexpr Bytes blind_budget = mebibytes(1);
/// From the exact sync to the stop of the vCPUs: 0.2 to 2 ms (qemu.md 4.1).
constexpr Duration sync_to_stop = std::chrono::milliseconds{2};
constexpr std::size_t passes_kept = 64;

}  // namespace

void Migration::start_copying() {
    enter(MigrationStage::copying);
    ran_at_ = now_;
    next_progress_ = next_stream_ = now_;
    next_report_ = now_ + report_every;
    note({.stage = guard::Stage::copying,
          .pass = 0,
          .ran_at = now_,
          .budget = request_.bounds.max_downtime - reserve_,
          .source_runs = false});
    migrate_sent_ = true;
    submit(SrcCommand{SrcStart{}}, change_max, &Migration::on_started);
}

void Migration::on_started(const Result<AnswerValue>& answer) {
    if (stage_ > MigrationStage::loaded || answer) return;
    undo(Outcome::failed, "the source did not start the migration: " + to_string(answer.error()));
}

void Migration::poll() {
    if (!progress_in_flight_ && now_ >= next_progress_) {
        progress_in_flight_ = true;
        progress_asked_at_ = now_;
        submit(SrcCommand{SrcReadProgress{}}, progress_max, &Migration::on_progress);
    }
    if (!stream_in_flight_ && now_ >= next_stream_) {
        stream_in_flight_ = true;
        submit(StreamCommand{StreamRead{}}, stream_max, &Migration::on_stream);
    }
    if (now_ >= next_report_) {
        next_report_ = now_ + report_every;
        report_progress();
    }
}

void Migration::on_progress(const Result<AnswerValue>& answer) {
    progress_in_flight_ = false;
    next_progress_ = now_ + (stopping_allowed_ ? progress_every_switching : progress_every);
    const auto* progress = answer_as<SrcProgress>(answer);
    if (!progress || stage_ != MigrationStage::copying) return;
    const bool synced = progress->dirty_syncs > progress_.dirty_syncs;
    progress_ = *progress;
    if (progress->status == MigrationStatus::active && !stopped_by_us_) {
        // QEMU holds its main loop from before the stop until pre-switchover is set: an answer `active`
        // means that the guest ran after the question was asked.
        ran_at_ = progress_asked_at_;
        note({.stage = {}, .pass = static_cast<std::uint32_t>(progress->dirty_syncs), .ran_at = ran_at_, .budget = {}});
    }
    on_src_status(progress->status);
    if (synced && stage_ == MigrationStage::copying) on_pass(progress->remaining, progress->dirty_syncs);
}

void Migration::on_stream(const Result<AnswerValue>& answer) {
    stream_in_flight_ = false;
    next_stream_ = now_ + stream_every;
    const auto* sample = answer_as<StreamSample>(answer);
    if (!sample) return;
    stream_ = *sample;
    // Pages wait behind the queue as long as a pass is under way.
    bandwidth_.add(sample->at, sample->acked, sample->not_sent.count > 0);
    if (stage_ == MigrationStage::copying && !passes_.empty()) refresh_budget();
}

void Migration::on_pass(Bytes backlog, std::int64_t number) {
    passes_.push_back({number, elapsed(), backlog});
    if (passes_.size() > passes_kept) passes_.erase(passes_.begin());
    refresh_budget();
    ask_policy();
}

std::optional<ByteRate> Migration::blackout_bandwidth() const {
    const auto segment = stream_ ? stream_->segment : Bytes{0};
    // The user's word decides (seed 004); it counts frames, like every rate of ours.
    if (request_.bounds.switchover_bandwidth) return pacing_for(*request_.bounds.switchover_bandwidth, segment);
    auto measured = bandwidth_.cautious();
    if (measured && request_.bounds.max_bandwidth) {
        measured = std::min(*measured, pacing_for(*request_.bounds.max_bandwidth, segment));
    }
    return measured;
}

void Migration::refresh_budget() {
    const auto bandwidth = blackout_bandwidth();
    Bytes budget = blind_budget;
    if (bandwidth && bandwidth->per_second > 0) {
        Bytes tail{0};
        if (curve_) tail = curve_->dirtied_in(sync_to_stop);
        budget = pending_budget(request_.bounds.max_downtime, reserve_, costs_, *bandwidth, tail);
    }
    const bool moved_much = std::abs(budget.count - budget_.count) * 20 > budget_.count;
    if (!moved_much) return;
    budget_ = budget;
    if (stopping_allowed_ && !allow_in_flight_ && !stopped_by_us_) send_allowance();
}

void Migration::ask_policy() {
    View view;
    view.elapsed = elapsed();
    view.timeout = request_.bounds.timeout;
    view.passes = passes_;
    view.memory = src_->memory;
    view.bandwidth = blackout_bandwidth();
    view.budget = budget_;
    view.allowed = stopping_allowed_;
    const Decision decision = policy_->decide(view);
    if (std::holds_alternative<GiveUp>(decision.action)) return undo(Outcome::timeout, decision.because);
    if (std::holds_alternative<AllowSwitchover>(decision.action) && budget_.count > 0) {
        return allow_switchover(decision.because);
    }
    if (!decision.because.empty()) decided("carry on", decision.because);
}

void Migration::allow_switchover(const std::string& because) {
    if (stopping_allowed_ || allow_in_flight_) return;
    decided("go", because);
    if (src_->images.empty()) return send_allowance();
    // What the host still holds of the images is written back now, so that the flush at the stop is short.
    allow_in_flight_ = true;
    submit(FlushImages{src_->images}, flush_max, &Migration::on_flushed_before_go);
}

void Migration::on_flushed_before_go(const Result<AnswerValue>& answer) {
    allow_in_flight_ = false;
    if (stage_ != MigrationStage::copying) return;
    const auto* flushed = answer_as<Flushed>(answer);
    const Duration took = flushed ? flushed->took : flush_max;
    // The first flush may have written back much; only the one after it shows what the stop would pay.
    if (took > costs_.stop && flushes_++ < 4) {
        allow_in_flight_ = true;
        submit(FlushImages{src_->images}, flush_max, &Migration::on_flushed_before_go);
        return;
    }
    flushes_ = 2;
    if (took + costs_.load + costs_.handover + reserve_ >= request_.bounds.max_downtime) {
        return undo(
            Outcome::downtime_exceeded,
            fmt::format("writing back its disk images takes {}, which --max-downtime {} does not leave room for",
                        to_text(took), to_text(request_.bounds.max_downtime)));
    }
    costs_.stop = std::max(costs_.stop, took);
    refresh_budget();
    send_allowance();
}

void Migration::send_allowance() {
    const auto bandwidth = blackout_bandwidth();
    const auto highest = bandwidth_.at_quantile(1.0);
    const ByteRate now_at = bandwidth ? *bandwidth : highest.value_or(ByteRate{0});
    // Where QEMU must guess, its guess is kept below what the stream can carry by its own limiter.
    const ByteRate cap = request_.bounds.max_bandwidth.value_or(scale(highest.value_or(now_at), 1.25));
    if (!stopping_allowed_) note({.stage = guard::Stage::switching, .pass = {}, .ran_at = {}, .budget = {}});
    stopping_allowed_ = true;
    allow_in_flight_ = true;
    submit(SrcCommand{SrcAllowSwitchover{budget_, now_at, cap}}, change_max, &Migration::on_allowed);
}

void Migration::on_allowed(const Result<AnswerValue>& answer) {
    allow_in_flight_ = false;
    if (answer || stage_ != MigrationStage::copying) return;
    if (outcome_unknown(answer.error().kind)) return;  // It stops or it does not; both are watched for.
    undo(Outcome::failed, "the source did not take the switchover settings: " + to_string(answer.error()));
}

Duration Migration::blackout_forecast(Bytes pending) const {
    const auto bandwidth = blackout_bandwidth();
    Bytes all = pending;
    if (stream_) all += stream_->unacked + stream_->not_sent;
    const Duration bytes = bandwidth && bandwidth->per_second > 0 ? all / *bandwidth : Duration{0};
    return bytes + costs_.load + costs_.handover;
}

void Migration::report_progress() {
    ProgressReport out;
    out.elapsed = elapsed();
    out.pass = progress_.dirty_syncs;
    out.left = progress_.remaining;
    if (stream_) out.sent = stream_->acked;
    out.out = bandwidth_.median();
    if (passes_.size() >= 2) {
        const auto& last = passes_.back();
        const Duration length = last.began - passes_[passes_.size() - 2].began;
        if (length.count() > 0) out.dirtying = last.backlog / length;
    }
    if (blackout_bandwidth()) out.blackout_now = costs_.stop + blackout_forecast(progress_.remaining);
    out.max_downtime = request_.bounds.max_downtime;
    out.stage = to_string(stage_);
    report(out);
}

// ---- notices of the source and the destination -------------------------------------------------------

void Migration::on_src_status(MigrationStatus status) {
    migration_ended_ = migration_ended_ || ended_without_move(status);
    if (stage_ < MigrationStage::copying || stage_ > MigrationStage::loaded) return;
    switch (status) {
        case MigrationStatus::pre_switchover:
            if (stage_ == MigrationStage::copying) on_held();
            break;
        case MigrationStatus::completed:
            if (stage_ != MigrationStage::loaded) on_completed();
            break;
        case MigrationStatus::failed:
        case MigrationStatus::cancelled:
            undo(Outcome::failed, progress_.error.empty()
                                      ? "the source's QEMU ended the migration"
                                      : "the source's QEMU ended the migration: " + progress_.error);
            break;
        case MigrationStatus::none:
        case MigrationStatus::setup:
        case MigrationStatus::active:
        case MigrationStatus::device:
        case MigrationStatus::cancelling:
        case MigrationStatus::other: break;
    }
}

void Migration::on_src_stopped() {
    if (!migrate_sent_) return;
    stopped_by_us_ = true;
    source_running_ = false;
}

void Migration::on_src_resumed() {
    source_running_ = true;
    if (!migrate_sent_) return;
    if (stage_ == MigrationStage::undoing) return source_runs();
    if (stage_ >= MigrationStage::copying && stage_ <= MigrationStage::loaded && stopped_by_us_) {
        // It runs again without our doing: QEMU failed the migration, or the guardian rolled back.
        undo(Outcome::failed, "the source resumed the guest by itself");
    }
}

void Migration::on_src_lost(const Error& error) {
    source_lost_ = true;
    if (stage_ == MigrationStage::guarding || stage_ == MigrationStage::preparing ||
        (stage_ >= MigrationStage::copying && stage_ <= MigrationStage::continued)) {
        undo(Outcome::failed, "the source's monitor was lost: " + to_string(error));
    }
}

void Migration::on_src_died() {
    source_lost_ = true;
    source_dead_ = true;
    if (stage_ == MigrationStage::closing && summary_.guest_on == GuestOn::source) {
        // Rolled back, and then gone while things were put back.
        summary_.outcome = Outcome::guest_crashed;
        summary_.guest_on = GuestOn::nowhere;
        undo_why_ += "; then the source's QEMU ended";
        crashed_ = true;
        return;
    }
    // From `loaded` on the destination holds a whole copy: it is run, not thrown away.
    if (stage_ >= MigrationStage::loaded && stage_ != MigrationStage::undoing) return;
    if (stage_ == MigrationStage::finished) return;
    undo_outcome_ = Outcome::guest_crashed;
    undo_why_ = "the source's QEMU ended while it owned the guest";
    summary_.outcome = Outcome::guest_crashed;
    summary_.guest_on = GuestOn::nowhere;
    if (stage_ < MigrationStage::guarding) {
        summary_.error = undo_why_ + "; the guest runs nowhere: start it again";
        return finish();
    }
    crashed_ = true;
    close();
}

void Migration::on_dst_resumed() {
    if (stage_ == MigrationStage::handing_over) on_moved();
}

void Migration::on_dst_lost(const Error& error) {
    if (stage_ == MigrationStage::handing_over) return word_lost("its monitor was lost: " + to_string(error));
    if (stage_ >= MigrationStage::guarding && stage_ < MigrationStage::handing_over) {
        undo(Outcome::failed, "the destination's monitor was lost: " + to_string(error));
    }
}

void Migration::on_dst_died() {
    dst_dead_ = true;
    if (stage_ == MigrationStage::handing_over) return word_lost("its QEMU ended");
    if (stage_ >= MigrationStage::guarding && stage_ < MigrationStage::handing_over) {
        undo(Outcome::failed, "the destination's QEMU ended");
    }
}

}  // namespace segue

// Pre-copy: watch the passes, learn the bandwidth, say go when the policy thinks so.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "guard/board.hpp"
#include "migration/migration.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

/// How stale the proof that the guest runs may become before go.
constexpr Duration progress_every = std::chrono::milliseconds{20};
constexpr Duration progress_max = std::chrono::seconds{10};
constexpr Duration stream_every = std::chrono::milliseconds{50};
constexpr Duration stream_max = std::chrono::seconds{1};
constexpr Duration report_every = std::chrono::milliseconds{250};
constexpr Duration change_max = std::chrono::seconds{5};
/// Its disks are drained and flushed, which nothing can interrupt.
constexpr Duration stop_max = std::chrono::seconds{30};
constexpr std::size_t passes_kept = 64;
constexpr std::size_t windows_known = 11;
/// Of what the operator said of the link.
constexpr double clearly_less = 0.7;
constexpr Duration queues_remembered = std::chrono::seconds{1};
/// A round under the brake that lasts so many times what its backlog should take, and so much more, is not waited for.
constexpr int overdue_times = 3;
constexpr Duration overdue_least = std::chrono::seconds{1};

}  // namespace

void Migration::start_copying() {
    enter(MigrationStage::copying);
    // The source answered its last preparing step, and nothing could have stopped the guest before that.
    ran_at_ = prepare_asked_at_;
    flowed_at_ = now_;
    next_progress_ = next_stream_ = next_flush_ = now_;
    next_report_ = now_ + report_every;
    if (request_.non_live) return stop_source();
    note({.stage = guard::Stage::copying,
          .pass = 0,
          .ran_at = ran_at_,
          .budget = request_.bounds.max_downtime - reserve_});
    migrate_sent_ = true;
    submit(SrcCommand{SrcStart{}}, change_max, &Migration::on_started);
}

/// Not live: the guest stands from here on, and whoever ends the move before the word continues it. The guardian's
/// deadline is the timeout.
void Migration::stop_source() {
    auto& bounds = request_.bounds;
    if (bounds.timeout && elapsed() + reserve_ >= *bounds.timeout) {
        return undo(Outcome::timeout, "preparing took all of --timeout");
    }
    ran_at_ = now_;
    // Until `migrate` is sent the counters are those of an earlier migration.
    next_progress_ = now_ + stop_max + change_max;
    if (bounds.timeout) bounds.max_downtime = *bounds.timeout - elapsed();
    note({.stage = guard::Stage::copying, .pass = 0, .ran_at = ran_at_, .budget = bounds.max_downtime - reserve_});
    migrate_sent_ = true;  // From now on an undo must see that the source runs.
    stop_sent_ = true;
    decided("stop", "the move is not live: the guest stands until all is copied");
    submit(SrcCommand{SrcStop{}}, stop_max, &Migration::on_source_stopped);
}

void Migration::on_source_stopped(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::copying) return;
    if (!answer) return undo(Outcome::failed, "the source did not stop the guest: " + to_string(answer.error()));
    stopped_by_us_ = true;
    source_running_ = false;
    next_progress_ = now_;
    submit(SrcCommand{SrcStart{}}, change_max, &Migration::on_started);
}

void Migration::on_started(const Result<AnswerValue>& answer) {
    if (stage_ > MigrationStage::loaded) return;
    if (!answer) return undo(Outcome::failed, "the source did not start the migration: " + to_string(answer.error()));
    if (stage_ == MigrationStage::copying) submit(SrcCommand{SrcInspect{}}, progress_max, &Migration::on_looked_again);
}

/// From here on QEMU plugs nothing more. What was plugged since the first look is not held by the brake, and the
/// destination, made alike to what was seen then, could not load it: better known now than in the blackout.
void Migration::on_looked_again(const Result<AnswerValue>& answer) {
    const auto* facts = answer_as<GuestFacts>(answer);
    if (!facts || stage_ != MigrationStage::copying || stopped_by_us_) return;
    const bool same_vcpus = facts->vcpus == src_->vcpus && facts->vcpu_threads == src_->vcpu_threads;
    if (same_vcpus && facts->devices == src_->devices) return;
    undo(Outcome::failed, fmt::format("{} plugged or unplugged on the source while the move was being prepared: plug "
                                      "the same on both sides, then try again",
                                      same_vcpus ? "a device was" : "a vCPU was"));
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
    keep_images_flushed();
    if (!request_.non_live) sample_beside_pass();
    if (now_ >= next_report_) {
        next_report_ = now_ + report_every;
        report_progress();
    }
}

void Migration::on_progress(const Result<AnswerValue>& answer) {
    progress_in_flight_ = false;
    next_progress_ = now_ + (stopping_allowed_ ? progress_every_switching : progress_every);
    read_brake();
    const auto* progress = answer_as<SrcProgress>(answer);
    if (!progress || stage_ != MigrationStage::copying) return;
    const bool synced = progress->dirty_syncs > progress_.dirty_syncs;
    const Bytes remaining_before = progress_.remaining;
    progress_ = *progress;
    // What was asked after `stop` proves nothing.
    const bool before_stop = !stopping_braked() || progress_asked_at_ < stop_sent_at_;
    if (progress->status == MigrationStatus::active && !stopped_by_us_ && before_stop) {
        // QEMU holds its main loop from the moment every vCPU stands until pre-switchover is set: an answer `active`
        // means that one of them had not been stopped when the question was asked.
        ran_at_ = progress_asked_at_;
        note_answer_time(now_ - progress_asked_at_);
        note({.pass = static_cast<std::uint32_t>(progress->dirty_syncs), .ran_at = ran_at_});
    }
    on_src_status(progress->status);
    if (stage_ != MigrationStage::copying) return;
    if (stopping_braked()) return heed_what_is_left();
    if (synced) on_pass(progress->remaining, progress->dirty_syncs, remaining_before);
    if (stage_ == MigrationStage::copying) stop_when_it_fits();
}

void Migration::on_stream(const Result<AnswerValue>& answer) {
    stream_in_flight_ = false;
    next_stream_ = now_ + stream_every;
    const auto* sample = answer_as<StreamSample>(answer);
    if (!sample) return;
    // Only around a dirty sync: on a busy host QEMU leaves the queue empty too, and would in the blackout.
    Duration rested{0};
    if (stream_ && pass_heard_at_ + stream_every >= stream_->at) {
        rested = std::max<Duration>((sample->at - stream_->at) - (sample->busy - stream_->busy), Duration{0});
    }
    stream_ = *sample;
    queues_.push_back({now_, sample->unacked + sample->not_sent});
    while (now_ - queues_.front().at > queues_remembered) queues_.pop_front();
    // Pages wait behind the queue as long as a pass is under way.
    bandwidth_.add(sample->at, sample->acked, sample->not_sent.count > 0, rested);
    model_->add_stream(sample->at, sample->acked, sample->not_sent.count > 0, rested);
    // Where QEMU, not the path, is what limits (no cap, a very fast link), nothing ever waits: what got
    // through while there was something to send is then a lower bound.
    seen_.add(sample->at, sample->acked, progress_.remaining.count > 0);
    expect_what_is_seen();
    if (const auto rate = rate_of_pass()) fastest_ = std::max(fastest_, *rate);
    if (stage_ == MigrationStage::copying && !request_.non_live) {
        if (!round_due_ && windows() >= windows_known) expect_round(progress_.remaining);
        heed_silence(*sample);
        heed_slow_round();
        if (stage_ == MigrationStage::copying && !passes_.empty()) refresh_budget();
    }
}

std::size_t Migration::windows() const { return bandwidth_.windows() > 0 ? bandwidth_.windows() : seen_.windows(); }

/// By the link as it is; of pass 1 as soon as that is known.
void Migration::expect_round(Bytes left) {
    if (passes_.empty()) return;
    if (const auto rate = rate_of_pass()) round_due_ = now_ + overdue_times * (left / *rate) + overdue_least;
}

/// A cap above what QEMU can send at all is not what the link will carry.
void Migration::expect_what_is_seen() {
    if (bandwidth_.windows() > 0 || seen_.windows() < windows_known) return;
    const auto said = expected_rate();
    if (!said) return;
    // Between zero pages, or of a guest that writes little, not much is to be seen: the most counts.
    seen_most_ = std::max(seen_most_, *seen_.at_quantile(0.9));
    const bool less = seen_most_.per_second > 0 && seen_most_ < scale(*said, clearly_less);
    model_->expect_bandwidth(less ? seen_most_ : *said);
}

void Migration::on_pass(Bytes backlog, std::int64_t number, Bytes remaining_before) {
    Pass pass{number, elapsed(), backlog};
    if (worked_ && worked_at_sync_) pass.worked = worked_->worked - worked_at_sync_->worked;
    worked_at_sync_ = worked_;
    pass.share = std::exchange(pass_share_, share_);
    if (std::exchange(let_go_in_pass_, false)) {
        pass.share = all_of_it;
    } else if (pass.share < all_of_it) {
        slow_rounds_ = 0;
    }
    passes_.push_back(pass);
    if (passes_.size() > passes_kept) passes_.erase(passes_.begin());
    const Bytes acked = stream_ ? stream_->acked : Bytes{0};
    model_->add_sync({number, now_, backlog, remaining_before, std::nullopt, pass.share, acked - acked_at_sync_});
    acked_at_sync_ = acked;
    round_due_.reset();
    expect_round(backlog);
    if (request_.non_live) return;  // A guest that stands dirties nothing: QEMU stops at the end by itself.
    refresh_budget();
    // Go counts when the images are written back: until then what fits cannot stop, and there is nothing to decide.
    if (go_wanted_ && !stopping_allowed_) return await_images();
    ask_policy();
}

Outlook Migration::outlook() const {
    Outlook outlook = model_->outlook();
    outlook.vcpus = src_ ? src_->vcpus : 0;
    return outlook;
}

View Migration::view() const {
    View view;
    view.elapsed = elapsed();
    view.timeout = request_.bounds.timeout;
    view.passes = passes_;
    view.memory = src_->memory;
    view.bandwidth = blackout_bandwidth();
    view.budget = budgets_.free;
    view.braked_budget = budgets_.braked;
    view.allowed = go_wanted_;
    view.max_downtime = request_.bounds.max_downtime;
    view.reserve = reserve_;
    view.switchover_bandwidth = request_.bounds.switchover_bandwidth;
    view.aggression = request_.aggression;
    view.brake = brake_range();
    view.share = share_;
    view.outlook = outlook();
    return view;
}

void Migration::ask_policy() {
    const View shown = view();
    const Decision decision = policy_->decide(shown);
    report(PolicyReport{shown, decision, std::string(policy_->name())});
    obey(decision);
}

void Migration::obey(const Decision& decision) {
    if (const auto* end = std::get_if<GiveUp>(&decision.action)) {
        return undo(end->bound == "timeout" ? Outcome::timeout : Outcome::downtime_exceeded, decision.because);
    }
    if (decision.share) {
        share_before_silence_.reset();  // Decided anew, full speed included.
        grant(*decision.share);
    }
    const Bytes budget = share_ < all_of_it ? budgets_.braked : budgets_.free;
    if (std::holds_alternative<AllowSwitchover>(decision.action) && budget.count > 0) {
        return allow_switchover(decision.because);
    }
    if (!decision.because.empty()) decided("carry on", decision.because);
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
    // One slow window at the start of a stream would promise days: told once a tenth of them could be left out.
    const bool said = request_.bounds.switchover_bandwidth.has_value();
    blackout_known_ = blackout_known_ || said || windows() >= windows_known;
    if (blackout_known_ && blackout_bandwidth()) {
        out.blackout_now = stop_charge() + blackout_forecast(progress_.remaining);
    }
    out.max_downtime = request_.bounds.max_downtime;
    out.share = share_;
    out.stage = to_string(stage_);
    report(out);
}

}  // namespace segue

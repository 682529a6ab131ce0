// The plumbing of the state machine: effects out, answers and notices in, one timer.
#include "migration/migration.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "guard/rules.hpp"
#include "migration/preflight.hpp"

namespace segue {
namespace {

/// A wake-up that only means "nothing is due".
constexpr Duration far_away = std::chrono::hours{24};
/// Segue acts itself this long after the guardian should have: two watchdogs, one verdict.
constexpr Duration guardian_grace = std::chrono::milliseconds{5};
/// Often enough that the guardian, which waits undo_wait for a sign of life, never misses two.
constexpr Duration undo_beat_every = std::chrono::milliseconds{10};
constexpr Duration word_answer_max = std::chrono::seconds{1};

}  // namespace

Migration::Migration(Request request, std::unique_ptr<Policy> policy)
    : request_(std::move(request)), policy_(std::move(policy)) {
    SEGUE_ASSERT(policy_ != nullptr);
    if (request_.non_live) make_non_live(request_);
}

Effects Migration::start(Instant now) {
    now_ = now;
    began_ = now;
    ran_at_ = now;
    wake_at_ = now + far_away;
    enter(MigrationStage::inspecting);
    submit(SrcCommand{SrcInspect{}}, std::chrono::seconds{10}, &Migration::on_src_facts);
    submit(DstCommand{DstInspect{}}, std::chrono::seconds{10}, &Migration::on_dst_facts);
    return std::exchange(effects_, {});
}

Effects Migration::step(const Event& event, Instant now) {
    SEGUE_ASSERT(now >= now_);
    now_ = now;
    if (finished()) return {};
    std::visit([this](const auto& e) { on(e); }, event);
    if (stage_ == MigrationStage::copying) poll();

    wake_at_ = now_ + far_away;
    const auto wake = [this](Instant at) { wake_at_ = std::min(wake_at_, std::max(at, now_)); };
    switch (stage_) {
        case MigrationStage::copying:
            if (!progress_in_flight_) wake(next_progress_);
            if (!stream_in_flight_) wake(next_stream_);
            wake(next_report_);
            if (surely_standing()) wake(ran_at_ + request_.bounds.max_downtime - reserve_ + guardian_grace);
            if (request_.bounds.timeout) wake(began_ + *request_.bounds.timeout - reserve_);
            break;
        case MigrationStage::held:
        case MigrationStage::continued:
        case MigrationStage::loaded:
            if (stage_ == MigrationStage::continued && !stream_in_flight_) wake(next_stream_);
            wake(ran_at_ + request_.bounds.max_downtime - reserve_ + guardian_grace);
            break;
        case MigrationStage::handing_over: wake(word_sent_at_ + word_answer_max); break;
        case MigrationStage::undoing: wake(std::min(undo_next_, undo_beat_)); break;
        case MigrationStage::inspecting:
        case MigrationStage::sampling:
        case MigrationStage::guarding:
        case MigrationStage::preparing:
        case MigrationStage::closing:
        case MigrationStage::finished: break;
    }
    return std::exchange(effects_, {});
}

Duration Migration::elapsed() const {
    return now_ - began_;
}

/// How a move ends whose guest stood for too long.
Outcome Migration::late() const {
    return request_.non_live ? Outcome::timeout : Outcome::downtime_exceeded;
}

void Migration::submit(Command command, Duration timeout, OnAnswer handler) {
    const CommandId id{next_id_++};
    pending_.emplace(id, handler);
    effects_.emplace_back(Submit{id, std::move(command), timeout});
}

void Migration::tell(Command command) {
    effects_.emplace_back(Submit{CommandId{next_id_++}, std::move(command), Duration{0}});
}

void Migration::enter(MigrationStage stage) {
    stage_ = stage;
    report(StageReport{elapsed(), to_string(stage)});
}

void Migration::decided(std::string what, std::string because) {
    report(DecisionReport{elapsed(), std::move(what), std::move(because)});
}

void Migration::on(const Answer& answer) {
    const auto found = pending_.find(answer.id);
    SEGUE_ASSERT(found != pending_.end());  // Every command is answered exactly once (port rule 2).
    const OnAnswer handler = found->second;
    pending_.erase(found);
    (this->*handler)(answer.value);
}

void Migration::on(const GuestNotice& notice) {
    struct Visitor {
        Migration& m;
        void operator()(const SrcStatusChanged& n) { m.on_src_status(n.status); }
        void operator()(const SrcPassBegan&) { m.next_progress_ = m.pass_heard_at_ = m.now_; }
        void operator()(const SrcStopped&) { m.on_src_stopped(); }
        void operator()(const SrcResumed&) { m.on_src_resumed(); }
        void operator()(const SrcLost& n) { m.on_src_lost(n.error); }
        void operator()(const SrcDied&) { m.on_src_died(); }
        void operator()(const DstResumed&) { m.on_dst_resumed(); }
        void operator()(const DstLost& n) { m.on_dst_lost(n.error); }
        void operator()(const DstDied&) { m.on_dst_died(); }
    };
    std::visit(Visitor{*this}, notice);
}

void Migration::on(const GuardNotice& notice) {
    const bool before_word = stage_ >= MigrationStage::guarding && stage_ < MigrationStage::handing_over;
    if (std::holds_alternative<GuardDied>(notice)) {
        if (before_word)
            undo(Outcome::failed, "the guardian process ended, and without it the guest would not be safe");
        return;
    }
    const auto* rolled_back = std::get_if<GuardRolledBack>(&notice);
    if (rolled_back && rolled_back->source_runs) source_running_ = true;
    // Without a monitor nobody can tell whether it stood meanwhile: what is told is the upper bound.
    if (rolled_back && source_lost_) stopped_by_us_ = true;
    if (before_word) {
        undo(late(), "the switchover did not end in time, so the guardian rolled it back");
    } else if (stage_ == MigrationStage::undoing && source_running_ && rolled_back) {
        source_runs();
    } else if (stage_ == MigrationStage::undoing && !rolled_back && migrate_sent_ && !source_lost_) {
        // It has no monitor and its deadline is here: the first push was lost, or its answer is. Pushing twice does no
        // harm, and the guest must not stand until the answer is overdue.
        make_source_run();
    }
}

void Migration::on(const Tick&) {
    const bool overdue = now_ >= ran_at_ + request_.bounds.max_downtime - reserve_ + guardian_grace;
    switch (stage_) {
        case MigrationStage::copying:
            if (request_.bounds.timeout && elapsed() >= *request_.bounds.timeout - reserve_) {
                undo(Outcome::timeout, request_.non_live ? "not everything was copied within --timeout"
                                                         : "the guest still dirtied memory faster than what is left "
                                                           "could shrink");
            } else if (surely_standing() && overdue) {
                undo(late(), "the switchover did not end in time");
            }
            break;
        case MigrationStage::held:
        case MigrationStage::continued:
        case MigrationStage::loaded:
            if (overdue) {
                undo(late(), "the switchover did not end in time");
            } else if (stage_ == MigrationStage::continued && !stream_in_flight_ && now_ >= next_stream_) {
                read_blackout_stream();
            }
            break;
        case MigrationStage::handing_over:
            if (now_ >= word_sent_at_ + word_answer_max) word_lost("its answer did not come");
            break;
        case MigrationStage::undoing:
            if (migrate_sent_ && now_ >= undo_beat_) {
                undo_beat_ = now_ + undo_beat_every;
                note({.undoing_at = now_});
            }
            if (now_ >= undo_next_) undo_again();
            break;
        case MigrationStage::inspecting:
        case MigrationStage::sampling:
        case MigrationStage::guarding:
        case MigrationStage::preparing:
        case MigrationStage::closing:
        case MigrationStage::finished: break;
    }
}

void Migration::on(const CancelRequested&) {
    switch (stage_) {
        case MigrationStage::inspecting:
        case MigrationStage::sampling:
            summary_.outcome = Outcome::cancelled;
            summary_.error = "cancelled before anything was changed; the guest runs on the source";
            finish();
            break;
        case MigrationStage::guarding:
        case MigrationStage::preparing:
        case MigrationStage::copying:
        case MigrationStage::held:
        case MigrationStage::continued:
        case MigrationStage::loaded: undo(Outcome::cancelled, "cancelled"); break;
        case MigrationStage::handing_over:
        case MigrationStage::undoing:
        case MigrationStage::closing:
        case MigrationStage::finished: break;  // Too late, or being undone already.
    }
}

void Migration::refuse(std::vector<Finding> findings) {
    SEGUE_ASSERT(!findings.empty());
    summary_.outcome = Outcome::refused;
    summary_.findings = std::move(findings);
    for (const auto& finding : summary_.findings) {
        summary_.error += (summary_.error.empty() ? "" : "; ") + finding.what + " (" + finding.remedy + ")";
    }
    if (guard_started_) tell(GuardCommand{GuardRelease{}});
    finish();
}

void Migration::finish() {
    summary_.total = elapsed();
    summary_.passes = progress_.dirty_syncs;
    summary_.bandwidth = bandwidth_.median();
    summary_.reserve = reserve_;
    if (stream_) summary_.sent = stream_->acked;
    if (model_ && !passes_.empty()) summary_.guest = model_->learned();
    enter(MigrationStage::finished);
    effects_.emplace_back(Finish{summary_});
}

}  // namespace segue

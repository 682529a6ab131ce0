// The blackout: the last check at pre-switchover, the bytes, the word. Every stage is written to the board
// before the step that it stands for, so that the guardian never knows less than what may have happened.
#include <fmt/format.h>

#include <algorithm>

#include "base/assert.hpp"
#include "migration/migration.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

/// An answer at pre-switchover comes within 1 ms; later than this it decides nothing any more.
constexpr Duration held_answer_max = std::chrono::milliseconds{500};
/// migrate-continue may be answered only after the whole stream was written.
constexpr Duration continue_answer_max = std::chrono::minutes{10};
constexpr Duration blackout_stream_every = std::chrono::milliseconds{5};
/// The watchdog is faster.
constexpr Duration journal_answer_max = std::chrono::seconds{30};
/// The watchdogs come first.
constexpr Duration silence_grace = std::chrono::seconds{1};
/// Of a move that is not live: TCP would not give up for a quarter of an hour.
constexpr Duration silence_max = std::chrono::minutes{2};
constexpr Duration word_answer_max = std::chrono::seconds{1};
constexpr int word_reads_max = 5;
/// What may be pending at the stop while the bandwidth is not known (DESIGN.md section 4 point 5).
constexpr Bytes blind_pending = mebibytes(1);

}  // namespace

void Migration::on_held() {
    enter(MigrationStage::held);
    held_at_ = now_;
    stopped_by_us_ = true;
    source_running_ = false;
    note({.stage = guard::Stage::held});
    let_go();
    journal(StepKind::held);
    submit(StreamCommand{StreamRead{}}, held_answer_max, &Migration::on_held_stream);
    submit(SrcCommand{SrcReadProgress{}}, held_answer_max, &Migration::on_held_progress);
}

void Migration::on_held_stream(const Result<AnswerValue>& answer) {
    if (const auto* sample = answer_as<StreamSample>(answer)) stream_ = *sample;
}

void Migration::on_held_progress(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::held) return;
    const auto* progress = answer_as<SrcProgress>(answer);
    if (!progress) {
        return undo(Outcome::failed, answer
                                         ? "what is left could not be read at the stop"
                                         : "what is left could not be read at the stop: " + to_string(answer.error()));
    }
    progress_ = *progress;
    summary_.pending_at_stop = progress->remaining;
    if (!request_.non_live) summary_.budget = stopping_allowed_ ? allowed_budget_ : budgets_.free;
    if (stopping_braked()) summary_.budget = budgets_.braked;
    last_check();
}

/// The last veto: from here on only the watchdog can end it. What is known now is exact but for what was
/// dirtied between the sync and the stop.
void Migration::last_check() {
    const Bytes pending = progress_.remaining;
    if (!request_.non_live && !blackout_bandwidth() && pending > blind_pending) {
        return undo(Outcome::downtime_exceeded,
                    fmt::format("the guest stopped with {} left before the bandwidth was known", to_text(pending)));
    }
    if (const auto why = stands_too_long(pending)) return undo(late(), *why);
    const Duration needed = now_ - ran_at_ + blackout_forecast(pending);
    if (request_.bounds.timeout && elapsed() + needed > *request_.bounds.timeout) {
        return undo(Outcome::timeout, "the switchover would have ended after --timeout");
    }
    enter(MigrationStage::continued);
    note({.stage = guard::Stage::continued});
    // Should we and the guardian die while the link is black, QEMU would wait for TCP's quarter of an hour, its main
    // loop held. So the kernel fails its write, and QEMU itself continues the guest: it never said `completed`.
    const Duration silence = request_.bounds.max_downtime + silence_grace;
    tell(StreamCommand{StreamLimitSilence{request_.non_live ? std::min(silence, silence_max) : silence}});
    pace_for_blackout();
    submit(SrcCommand{SrcContinue{}}, continue_answer_max, &Migration::on_continue_answer);
    journal(StepKind::continued);
    journal_word();  // The disk works while the last bytes are on their way.
    next_stream_ = now_ + blackout_stream_every;
    stream_in_flight_ = false;
}

/// The word must be out before the watchdog's deadline; handing over may use what is kept for rolling back.
std::optional<std::string> Migration::stands_too_long(Bytes pending) const {
    const Duration limit = request_.bounds.max_downtime - reserve_;
    const Duration needed = now_ - ran_at_ + blackout_forecast(pending);
    if (needed - costs_.handover <= limit && needed <= request_.bounds.max_downtime) return std::nullopt;
    return fmt::format("with {} left the guest would have stood for {}", to_text(pending), to_text(needed));
}

/// A blackout that was promised more than the copying has it from the stop on.
void Migration::pace_for_blackout() {
    const auto& bounds = request_.bounds;
    if (bounds.switchover_bandwidth && bounds.max_bandwidth && *bounds.switchover_bandwidth > *bounds.max_bandwidth) {
        tell(StreamCommand{StreamPace{bounds.switchover_bandwidth}});
    }
}

void Migration::on_continue_answer(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::continued || answer || outcome_unknown(answer.error().kind)) return;
    undo(Outcome::failed, "the source did not continue: " + to_string(answer.error()));
}

void Migration::read_blackout_stream() {
    stream_in_flight_ = true;
    submit(StreamCommand{StreamRead{}}, held_answer_max, &Migration::on_blackout_stream);
}

void Migration::on_blackout_stream(const Result<AnswerValue>& answer) {
    stream_in_flight_ = false;
    next_stream_ = now_ + blackout_stream_every;
    const auto* sample = answer_as<StreamSample>(answer);
    if (!sample) return;
    if (!stream_ || sample->acked > stream_->acked) drained_at_ = sample->at;
    stream_ = *sample;
}

void Migration::on_completed() {
    SEGUE_ASSERT(stage_ == MigrationStage::copying || stage_ == MigrationStage::held ||
                 stage_ == MigrationStage::continued);
    if (!held_at_) held_at_ = now_;
    stopped_by_us_ = true;
    source_running_ = false;
    completed_at_ = now_;
    enter(MigrationStage::loaded);
    note({.stage = guard::Stage::loaded});
    journal_word();
    if (word_record_ == WordRecord::durable) claim_word();
}

void Migration::journal_word() {
    if (word_record_ != WordRecord::none) return;
    word_record_ = WordRecord::asked;
    submit(JournalStep{StepKind::word_may_be_sent, Durability::durable}, journal_answer_max,
           &Migration::on_word_journaled);
}

void Migration::on_word_journaled(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::continued && stage_ != MigrationStage::loaded) return;
    if (!answer) return undo(Outcome::failed, "the journal could not be written: " + to_string(answer.error()));
    word_record_ = WordRecord::durable;
    if (stage_ == MigrationStage::loaded) claim_word();
}

void Migration::claim_word() {
    const Duration needed = now_ - ran_at_ + costs_.handover;
    if (needed > request_.bounds.max_downtime) {
        return undo(late(), fmt::format("handing over would have ended after {}", to_text(needed)));
    }
    submit(GuardCommand{GuardClaimWord{}}, held_answer_max, &Migration::on_word_claim);
}

void Migration::on_word_claim(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::loaded) return;
    const auto* claim = answer_as<GuardClaim>(answer);
    if (!claim || !claim->ours) {
        return undo(late(), "the switchover did not end in time, so the guardian rolled it back");
    }
    enter(MigrationStage::handing_over);
    word_sent_at_ = now_;
    submit(DstCommand{DstRun{}}, word_answer_max, &Migration::on_word_answer);
}

void Migration::on_word_answer(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::handing_over) return;
    if (answer) return;  // RESUME is the proof; it is on its way, or on_word_truth asks for it.
    // Refused or lost: read the truth, then decide.
    submit(DstCommand{DstReadRunState{}}, word_answer_max, &Migration::on_word_truth);
    word_sent_at_ = now_;
    word_error_ = to_string(answer.error());
}

void Migration::on_word_truth(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::handing_over) return;
    const auto* state = answer_as<RunState>(answer);
    if (state && *state == RunState::running) return on_moved();
    if (state)
        return take_back_refused_word(word_error_.empty() ? "the destination did not run the guest" : word_error_);
    word_lost(to_string(answer.error()));
}

void Migration::word_lost(const std::string& why) {
    if (!dst_dead_ && ++word_reads_ <= word_reads_max) {
        word_sent_at_ = now_;
        submit(DstCommand{DstReadRunState{}}, word_answer_max, &Migration::on_word_truth);
        return;
    }
    summary_.outcome = Outcome::unknown;
    summary_.guest_on = GuestOn::unknown;
    summary_.guest_stopped = true;
    summary_.downtime = now_ - ran_at_;
    summary_.error = fmt::format(
        "the destination was told to run the guest and then {}; whether it ran is not known, so neither side was "
        "started on a guess. Next: segue recover, which asks both sides",
        why);
    summary_.unfinished = true;
    tell(GuardCommand{GuardRelease{}});
    finish();
}

/// `cont` was refused and the destination is not running: it is ended first, and only seen dead does the
/// source run again. The one case in which a said word is taken back.
void Migration::take_back_refused_word(const std::string& why) {
    word_refused_ = true;
    journal(StepKind::word_answered_refused, {{"why", why}});
    undo(Outcome::failed, "the destination refused to run the guest: " + why);
}

void Migration::on_moved() {
    journal(StepKind::word_answered_running);
    source_running_ = false;
    summary_.outcome = Outcome::moved;
    summary_.guest_on = GuestOn::destination;
    summary_.guest_stopped = true;
    summary_.downtime = now_ - ran_at_;
    const Instant held = *held_at_;
    const Instant completed = *completed_at_;
    const Instant drained = std::clamp(drained_at_.value_or(completed), held, completed);
    // Stopped by us, the bytes were on their way before pre-switchover.
    const Instant stood = std::clamp(stood_at_.value_or(held), ran_at_, held);
    summary_.parts = {stood - ran_at_, drained - stood, completed - drained, now_ - completed};
    summary_.learned = FixedCosts{summary_.parts.stop, summary_.parts.load, summary_.parts.handover};
    if (summary_.downtime > request_.bounds.max_downtime) {
        summary_.error = fmt::format(
            "the guest moved, but it stood for {}, over {} {}: the hand-over took {}", to_text(summary_.downtime),
            request_.non_live ? "--timeout less what preparing took," : "--max-downtime",
            to_text(request_.bounds.max_downtime), to_text(summary_.parts.handover));
    }
    close();
}

}  // namespace segue

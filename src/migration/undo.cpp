// Rolling back: the word will never be sent, the source is made to run, everything is put back.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/assert.hpp"
#include "migration/migration.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr Duration undo_answer_max = std::chrono::milliseconds{500};
constexpr Duration undo_retry = std::chrono::milliseconds{5};
/// For a move that is not live, whose deadline may be far: past this the guardian sees to the guest.
constexpr Duration undo_alone_max = std::chrono::milliseconds{500};
/// After this long without a running guest a person must look (the guardian has long tried as well).
constexpr Duration undo_max = std::chrono::seconds{30};
constexpr std::string_view no_way_remedy =
    "check --data-address: an address of the destination's host that this host reaches by TCP, with its ports open";
constexpr Duration closing_answer_max = std::chrono::seconds{15};
/// Longer than whoever performs it lets it run.
constexpr Duration on_success_max = std::chrono::seconds{90};

/// In the order in which they are taken.
enum ClosingStep : std::size_t {
    record_moved,
    end_destination,
    put_destination_back,
    run_on_success,
    end_source,
    take_brake_away,
    announce,
    await_forgotten,
    put_source_back,
    closing_steps,
};

/// What is told of one that failed.
constexpr std::array<std::string_view, closing_steps> left_undone_words = {
    "the journal could not be written",
    "the destination's QEMU could not be seen to end",
    "the destination's settings could not be put back",
    "--on-success did not succeed",
    "the source's QEMU, whose copy is stale now, could not be seen to end",
    "the brake could not be taken away",
    "the switches could not be told that the guest is still here",
    "the source's migration was not seen to be cleaned up",
    "the source's settings could not be put back",
};

}  // namespace

void Migration::undo(Outcome outcome, const std::string& why) {
    if (stage_ == MigrationStage::undoing || stage_ == MigrationStage::closing || finished()) return;
    SEGUE_ASSERT(stage_ != MigrationStage::handing_over || word_refused_);
    undo_from_ = stage_;
    undo_outcome_ = outcome;
    undo_why_ = why;
    undo_began_ = now_;
    undo_next_ = now_ + undo_answer_max;
    undo_beat_ = now_;
    decided("roll back", why);
    let_go();
    enter(MigrationStage::undoing);
    // This machine alone sends the word, and from here on it does not.
    if (src_changed_ || dst_changed_) journal(StepKind::undoing, {{"why", why}});
    if (!migrate_sent_) return source_runs();
    if (word_refused_) return make_source_run();
    submit(GuardCommand{GuardClaimRollback{}}, undo_answer_max, &Migration::on_rollback_claim);
}

void Migration::on_rollback_claim(const Result<AnswerValue>& answer) {
    const auto* claim = answer_as<GuardClaim>(answer);
    SEGUE_ASSERT(claim != nullptr);
    if (claim->guardian_first && (stage_ == MigrationStage::undoing || stage_ == MigrationStage::closing)) {
        // Its cut or yank reached us as a failure of QEMU's, or as RESUME, before its own word did.
        undo_outcome_ = late();
        undo_why_ = "the switchover did not end in time, so the guardian rolled it back";
        if (summary_.outcome == Outcome::failed) summary_.outcome = undo_outcome_;
    }
    if (stage_ != MigrationStage::undoing) return;
    if (!claim->ours) {
        // The word was claimed and never sent: this machine is its only sender and is not handing over. The
        // guardian has left, so nobody but us can bring the guest back; the destination goes first.
        word_refused_ = true;
        undo_from_ = MigrationStage::loaded;
        return make_source_run();
    }
    // Not `source_runs`, even if no STOP was seen: only a proof after the claim may put the guardian to rest.
    GuardNote undoing{.stage = guard::Stage::undoing};
    if (stop_sent_) {
        const Duration until = now_ - ran_at_ + (source_lost_ ? Duration{1} : undo_alone_max);
        undoing.budget = std::min(until, request_.bounds.max_downtime - reserve_);
    }
    note(undoing);
    make_source_run();
}

/// The first push, by where the move was. What it did is then read, never assumed.
void Migration::make_source_run() {
    if (source_lost_) {
        // No monitor: cutting the stream ends what can be ended from here; the guardian does the rest.
        tell(StreamCommand{StreamCut{}});
        return undo_again_soon();
    }
    undo_waiting_ = true;
    switch (undo_from_) {
        case MigrationStage::continued:
            tell(StreamCommand{StreamCut{}});
            submit(SrcCommand{SrcYank{}}, undo_answer_max, &Migration::on_undo_nudge);
            return;
        case MigrationStage::loaded:
            if (word_refused_) {
                // A word was claimed, perhaps said: here only the destination's death makes it safe.
                submit(DstCommand{DstKill{}}, undo_answer_max, &Migration::on_undo_killed);
            } else {
                // The word will never be sent: that makes it safe, and with late-block-activate the paused
                // destination holds no locks. Where it does all the same, on_undo_state ends it first.
                run_tried_ = true;
                submit(SrcCommand{SrcRun{}}, undo_answer_max, &Migration::on_undo_nudge);
            }
            return;
        case MigrationStage::handing_over:
            submit(DstCommand{DstKill{}}, undo_answer_max, &Migration::on_undo_killed);
            return;
        case MigrationStage::copying:
        case MigrationStage::held: submit(SrcCommand{SrcCancel{}}, undo_answer_max, &Migration::on_undo_nudge); return;
        case MigrationStage::inspecting:
        case MigrationStage::sampling:
        case MigrationStage::guarding:
        case MigrationStage::preparing:
        case MigrationStage::undoing:
        case MigrationStage::closing:
        case MigrationStage::finished: SEGUE_ASSERT(false);
    }
}

void Migration::on_undo_nudge(const Result<AnswerValue>&) {
    if (stage_ != MigrationStage::undoing) return;
    submit(SrcCommand{SrcReadRunState{}}, undo_answer_max, &Migration::on_undo_state);
}

void Migration::on_undo_killed(const Result<AnswerValue>& answer) {
    if (answer) dst_dead_ = true;
    if (stage_ != MigrationStage::undoing) return;
    if (!answer && word_refused_) return undo_again_soon();  // Not seen dead, and it may have been told to run.
    // Otherwise the verdict, not its death, makes this safe; only its locks could be in the way, for a lease.
    submit(SrcCommand{SrcRun{}}, undo_answer_max, &Migration::on_undo_nudge);
}

void Migration::on_undo_state(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::undoing) return;
    const auto* state = answer_as<RunState>(answer);
    if (!state) return undo_again_soon();
    stop_answered_ = true;  // This was asked behind it.
    switch (*state) {
        case RunState::running:
            // It may run only because it has not been stopped yet: the migration must have ended too.
            submit(SrcCommand{SrcReadProgress{}}, undo_answer_max, &Migration::on_undo_progress);
            return;
        case RunState::postmigrate:
            if (!dst_dead_ && !word_refused_ && !std::exchange(run_tried_, true)) {
                // It completed before our cut reached it: as at `loaded`. A destination that does not answer must
                // not keep the guest standing.
                submit(SrcCommand{SrcRun{}}, undo_answer_max, &Migration::on_undo_run);
            } else if (!dst_dead_) {
                submit(DstCommand{DstKill{}}, undo_answer_max, &Migration::on_undo_killed);
            } else {
                submit(SrcCommand{SrcRun{}}, undo_answer_max, &Migration::on_undo_run);
            }
            return;
        case RunState::finish_migrate:
            if (!dst_dead_ && migration_ended_) {
                // It failed and did not resume: its disks may still be locked by the destination.
                submit(DstCommand{DstKill{}}, undo_answer_max, &Migration::on_undo_killed);
            } else if (migration_ended_) {
                submit(SrcCommand{SrcRun{}}, undo_answer_max, &Migration::on_undo_run);
            } else {
                submit(SrcCommand{SrcCancel{}}, undo_answer_max, &Migration::on_undo_run);
            }
            return;
        case RunState::paused:
            if (stop_sent_) {
                submit(SrcCommand{SrcReadProgress{}}, undo_answer_max, &Migration::on_undo_stopped);
                return;
            }
            if (migration_ended_) {
                paused_by_somebody_ = true;
                return source_runs();
            }
            submit(SrcCommand{SrcCancel{}}, undo_answer_max, &Migration::on_undo_run);
            return;
        case RunState::inmigrate:
        case RunState::other: return undo_again_soon();
    }
}

void Migration::on_undo_run(const Result<AnswerValue>&) {
    if (stage_ == MigrationStage::undoing) undo_again_soon();
}

/// It stands by our own `stop`: continued once no migration is under way that could stop it again.
void Migration::on_undo_stopped(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::undoing) return;
    const auto* progress = answer_as<SrcProgress>(answer);
    if (!progress) return undo_again_soon();
    switch (progress->status) {
        case MigrationStatus::none:
        case MigrationStatus::completed:
        case MigrationStatus::failed:
        case MigrationStatus::cancelled:
            submit(SrcCommand{SrcRun{}}, undo_answer_max, &Migration::on_undo_run);
            return;
        case MigrationStatus::setup:
        case MigrationStatus::active:
        case MigrationStatus::pre_switchover:
            submit(SrcCommand{SrcCancel{}}, undo_answer_max, &Migration::on_undo_run);
            return;
        case MigrationStatus::device:
        case MigrationStatus::cancelling:
        case MigrationStatus::other: return undo_again_soon();
    }
}

void Migration::on_undo_progress(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::undoing) return;
    const auto* progress = answer_as<SrcProgress>(answer);
    if (!progress) return undo_again_soon();
    if (progress->status == MigrationStatus::none || ended_without_move(progress->status) ||
        progress->status == MigrationStatus::completed) {
        return source_runs();
    }
    if (progress->status == MigrationStatus::active || progress->status == MigrationStatus::setup) {
        submit(SrcCommand{SrcCancel{}}, undo_answer_max, &Migration::on_undo_run);
        return;
    }
    undo_again_soon();
}

void Migration::undo_again_soon() {
    undo_waiting_ = false;
    undo_next_ = now_ + undo_retry;
}

/// The timer of `undoing`: either a pause is over, or an answer is overdue (its own deadline answers it).
void Migration::undo_again() {
    if (now_ - undo_began_ > undo_max) return give_up_undoing();
    undo_next_ = now_ + undo_answer_max;
    if (undo_waiting_) return;
    if (source_lost_) {
        undo_next_ = now_ + undo_retry;
        return;  // Only the guardian can tell; GuardRolledBack ends this.
    }
    undo_waiting_ = true;
    submit(SrcCommand{SrcReadRunState{}}, undo_answer_max, &Migration::on_undo_state);
}

void Migration::give_up_undoing() {
    summary_.outcome = Outcome::unknown;
    summary_.guest_on = GuestOn::unknown;
    summary_.guest_stopped = stopped_by_us_;
    summary_.downtime = stopped_by_us_ ? now_ - ran_at_ : Duration{0};
    summary_.error = fmt::format(
        "{}; rolling back did not bring the guest up on the source within {}. The destination was never started. Next: "
        "segue recover, which tries again",
        undo_why_, to_text(undo_max));
    summary_.unfinished = true;
    finish();
}

void Migration::source_runs() {
    if (stage_ != MigrationStage::undoing) return;
    // Whoever saw it run: our own question, asked behind the `stop`, is what counts.
    if (stop_may_come()) return;
    source_running_ = true;
    summary_.outcome = undo_outcome_;
    summary_.guest_on = GuestOn::source;
    summary_.guest_stopped = stopped_by_us_;
    if (stopped_by_us_) {
        summary_.downtime = now_ - ran_at_;
        summary_.rollback = now_ - undo_began_;
        // The guardian begins before we hear of it: at its deadline. (Not counted where the stop itself was
        // late: that is a flush, not a rollback.)
        const Instant deadline = ran_at_ + request_.bounds.max_downtime - reserve_;
        if (held_at_ && *held_at_ < deadline && now_ > deadline) {
            summary_.rollback = std::max(summary_.rollback, now_ - deadline);
        }
    }
    if (src_changed_ || dst_changed_) journal(StepKind::rolled_back);
    if (migrate_sent_) note({.source_runs = true});
    close();
}

// ---- closing: the guest runs, things are put back ------------------------------------------------------

void Migration::close() {
    enter(MigrationStage::closing);
    closing_step_ = 0;
    next_closing_step();
}

/// The same list for every end; steps that do not apply are passed over. Only then may the guardian leave.
void Migration::next_closing_step() {
    const bool moved = summary_.outcome == Outcome::moved;
    const auto ask = [this](Command command) {
        submit(std::move(command), closing_answer_max, &Migration::on_closing_step);
    };
    for (;; ++closing_step_) {
        switch (closing_step_) {
            case record_moved:
                if (!moved) continue;
                submit(JournalStep{StepKind::moved, Durability::durable}, closing_answer_max,
                       &Migration::on_closing_step);
                return;
            case end_destination:
                if (moved || dst_dead_ || !dst_listens_) continue;
                tell(StreamCommand{StreamCut{}});
                return ask(DstCommand{DstKill{}});  // Its one migrate-incoming is used up.
            case put_destination_back:
                if (dst_dead_ || !dst_changed_ || (!moved && dst_listens_)) continue;
                return ask(DstCommand{DstPutBack{}});
            case run_on_success:
                // What would start the source's QEMU again is dealt with before that ends. Else recover runs it.
                if (!moved || !moved_recorded_ || request_.on_success.empty()) continue;
                submit(RunOnSuccess{request_.on_success, src_->pid}, on_success_max, &Migration::on_closing_step);
                return;
            case end_source:
                if (!moved || source_dead_ || !moved_recorded_ || on_success_failed_) continue;
                return ask(SrcCommand{SrcEnd{}});  // Its copy is stale from now on.
            case take_brake_away:
                if (!brake_asked_) continue;
                return ask(BrakeCommand{BrakeClose{}});
            case announce:
                if (moved || !stopped_by_us_ || source_lost_) continue;
                return ask(SrcCommand{SrcAnnounce{}});
            case await_forgotten:
                if (moved || !migrate_sent_ || source_lost_) continue;
                return ask(SrcCommand{SrcAwaitForgotten{}});
            case put_source_back:
                if (moved || !src_changed_ || source_lost_) continue;
                return ask(SrcCommand{SrcPutBack{}});
            default: break;
        }
        break;
    }
    // With the source's monitor lost only the guardian can put its settings back: not released, it does so
    // as soon as this process ends.
    const bool guardian_must_put_back = source_lost_ && !source_dead_ && !moved && src_changed_;
    // After a claimed word it has left, even if that word was refused.
    const bool guardian_is_there = !word_refused_;
    if (guardian_must_put_back && guardian_is_there) {
        left_undone_.emplace_back("the guardian puts the source's settings back");
    } else if (guardian_must_put_back) {
        left_undone_.emplace_back(
            "the source's settings could not be put back, its monitor is lost: segue recover does it");
        summary_.unfinished = true;
    }
    if (guard_started_ && !guardian_must_put_back) tell(GuardCommand{GuardRelease{}});
    // Only what is as it was has been refused.
    if (summary_.outcome == Outcome::refused && !left_undone_.empty()) summary_.outcome = Outcome::failed;
    if (summary_.outcome == Outcome::refused) summary_.findings = {{undo_why_, std::string(no_way_remedy)}};
    if (!moved && !crashed_) summary_.error = undo_sentence();
    if (crashed_)
        summary_.error = undo_why_ + "; the guest runs nowhere, and no stale copy was started: start it again";
    for (const auto& left : left_undone_) summary_.error += (summary_.error.empty() ? "" : "; ") + left;
    finish();
}

void Migration::on_closing_step(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::closing) return;
    if (!answer) {
        on_success_failed_ = on_success_failed_ || closing_step_ == run_on_success;
        const bool unfinished = closing_step_ == record_moved || closing_step_ == end_source || on_success_failed_;
        if (unfinished) summary_.unfinished = true;
        left_undone_.push_back(fmt::format("{}: {}", left_undone_words[closing_step_], to_string(answer.error())));
        if (closing_step_ == record_moved) {
            left_undone_.emplace_back(
                "so the source's QEMU, whose copy is stale now, was left standing: segue recover ends it");
        } else if (closing_step_ == run_on_success) {
            left_undone_.emplace_back(
                "the guest moved all the same. The source's QEMU, whose copy is stale now, was left standing: see that "
                "nothing would start it again, then segue recover, which runs the command once more and ends it");
        }
    } else if (closing_step_ == record_moved) {
        moved_recorded_ = true;
    } else if (closing_step_ == run_on_success) {
        journal(StepKind::on_success_ran);
    } else if (closing_step_ == end_destination) {
        dst_dead_ = true;
    }
    ++closing_step_;
    next_closing_step();
}

/// What happened, where the guest runs now, what to do next.
std::string Migration::undo_sentence() const {
    // Its one migrate-incoming is used up; one that never listened still waits.
    const std::string again = dst_listens_ ? "start the destination's QEMU afresh; " : "";
    std::string text = undo_why_;
    text += paused_by_somebody_ ? "; the guest is on the source, where somebody else paused it"
                                : "; the guest runs on the source";
    if (stopped_by_us_) {
        text += " (it stood for " + to_text(summary_.downtime);
        if (!request_.non_live) text += ", limit " + to_text(request_.bounds.max_downtime);
        if (!request_.non_live && summary_.downtime > request_.bounds.max_downtime) {
            const bool held_in_time = held_at_ && *held_at_ < ran_at_ + request_.bounds.max_downtime - reserve_;
            text += held_in_time ? ": over the limit, since this host was late to roll it back, which the next move "
                                   "of this guest reckons with"
                                 : ": over the limit, and what took so long is the stop itself, which nothing can "
                                   "interrupt";
        }
        text += ")";
    }
    if (dst_listens_) {
        text += dst_dead_
                    ? ", the destination's QEMU is gone"
                    : ", the destination could not be reached: what waits there ends by itself when its lease ends";
    }
    text += ". Next: ";
    switch (summary_.outcome) {
        case Outcome::downtime_exceeded:
            return text + again + "try when the link is quiet, or allow more with --max-downtime or --max-bandwidth";
        case Outcome::refused: return text + std::string(no_way_remedy);
        case Outcome::timeout:
            return text + again + (request_.non_live ? "allow more --timeout or --max-bandwidth"
                                                     : "allow more --timeout, --max-downtime or --max-bandwidth");
        case Outcome::failed:
        case Outcome::cancelled:
        case Outcome::moved:
        case Outcome::guest_crashed:
        case Outcome::unknown:
        case Outcome::planned: break;
    }
    return text + again + "try again";
}

}  // namespace segue

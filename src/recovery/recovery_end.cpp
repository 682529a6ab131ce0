// The ends, and what they say to the operator: what happened, where the guest is, what to do next.
#include <fmt/format.h>

#include "recovery/recovery.hpp"

namespace segue {
namespace {

constexpr Duration end_max = std::chrono::seconds{15};
/// Longer than the shell lets it run.
constexpr Duration on_success_max = std::chrono::seconds{90};

}  // namespace

std::string Recovery::job_words() const { return fmt::format("job {}", static_cast<std::int64_t>(what_.record.job)); }

std::string Recovery::recover_words() const {
    return fmt::format("segue recover {}", static_cast<std::int64_t>(what_.record.job));
}

std::string Recovery::fence_words() const {
    const NewMove& move = what_.record.move;
    return fmt::format("{} --fenced {} --confirm {}", recover_words(), move.dst.host, move.vm);
}

std::string Recovery::destination_words() const {
    const NewMove& move = what_.record.move;
    return move.transport.empty() ? move.dst.monitor : move.transport;
}

void Recovery::finish() {
    finished_ = true;
    timers_.clear();
    summary_.total = now_ - began_;
    enter("finished");
    effects_.emplace_back(Finish{summary_});
}

// ---- Moved -----------------------------------------------------------------------------------------

void Recovery::moved() {
    decided_ = true;
    enter("closing");
    if (was(StepKind::moved)) return run_on_success();
    record(StepKind::moved, &Recovery::run_on_success);
}

/// Also where the source's QEMU is gone: whoever started it may do it again. It may have been run already.
void Recovery::run_on_success() {
    const auto command = detail_text(what_.record.steps.front().detail, "on_success");
    if (!command || was(StepKind::on_success_ran)) return end_source();
    submit(RunOnSuccess{*command}, on_success_max, &Recovery::on_success_ended);
}

void Recovery::on_success_ended(const Result<AnswerValue>& answer) {
    if (answer) return record(StepKind::on_success_ran, &Recovery::end_source);
    summary_.unfinished = true;
    left_undone_.push_back("--on-success did not succeed: " + to_string(answer.error()) +
                           "; the source's QEMU, whose copy is stale now, was left as it is: see that nothing would "
                           "start it again, then " + recover_words());
    finish_moved();
}

/// Its copy is stale. One that is not ours, or that cannot be seen, is left.
void Recovery::end_source() {
    if (source_gone()) return finish_moved();
    if (not_ours_) {
        left_undone_.push_back("another QEMU listens at the source's monitor and was left alone");
        return finish_moved();
    }
    if (source_here()) return submit(SrcCommand{SrcEnd{}}, end_max, &Recovery::on_source_ended);
    summary_.unfinished = true;
    left_undone_.push_back("the source's QEMU, whose copy is stale now, could not be ended: " + what_.source_trouble +
                           "; run " + recover_words() + " again");
    finish_moved();
}

void Recovery::on_source_ended(const Result<AnswerValue>& answer) {
    if (!answer && !source_gone()) {
        summary_.unfinished = true;
        left_undone_.push_back("the source's QEMU, whose copy is stale now, could not be seen to end: " +
                               to_string(answer.error()) + "; run " + recover_words() + " again");
    }
    finish_moved();
}

void Recovery::finish_moved() {
    summary_.outcome = Outcome::moved;
    summary_.guest_on = GuestOn::destination;
    if (dst_ended_since_) left_undone_.push_back("the guest's QEMU on the destination has ended since");
    for (const auto& left : left_undone_) summary_.error += (summary_.error.empty() ? "" : "; ") + left;
    finish();
}

// ---- Not moved -------------------------------------------------------------------------------------

void Recovery::finish_rolled_back() {
    if (dst_ == Destination::asked) return later(push_pause, &Recovery::finish_rolled_back);
    summary_.outcome = Outcome::failed;
    summary_.guest_on = GuestOn::source;
    std::string& text = summary_.error;
    if (row_ == RecoveryRow::nothing_changed) {
        text = "the move had ended before anything was changed; the guest is on the source, untouched";
    } else {
        text = "the move was undone; the guest ";
        text += stays_stopped_ ? "is on the source, where something else than this move stopped it"
                               : "runs on the source";
    }
    if (row_ == RecoveryRow::fenced) {
        text += ", the destination is fenced: before its host comes back, see that it starts no guest by itself";
    } else if (dst_gone_) {
        text += ", the destination's QEMU is gone";
    } else if (!dst_trouble_.empty()) {
        text += ", the destination could not be asked (" + dst_trouble_ + "): ";
        text += what_.remote ? "what waits there ends by itself when its lease ends" : "end its QEMU if it waits there";
    }
    for (const auto& left : left_undone_) text += "; " + left;
    text += ". Next: start the destination's QEMU afresh; try again";
    finish();
}

void Recovery::finish_crashed(const std::string& why) {
    summary_.outcome = Outcome::guest_crashed;
    summary_.guest_on = GuestOn::nowhere;
    summary_.error = why + "; the guest runs nowhere, and no stale copy was started: start it again";
    finish();
}

void Recovery::finish_unknown(GuestOn guest, const std::string& why, const std::string& next) {
    summary_.outcome = Outcome::unknown;
    summary_.guest_on = guest;
    summary_.unfinished = true;
    summary_.error = why + ". Next: " + next;
    finish();
}

void Recovery::refuse(const std::string& why) {
    summary_.outcome = Outcome::refused;
    summary_.guest_on = GuestOn::unknown;
    summary_.unfinished = true;
    summary_.findings = {{why, recover_words() + " alone reads what it says"}};
    summary_.error = summary_.findings[0].what + " (" + summary_.findings[0].remedy + ")";
    finish();
}

/// Whoever it was works on now; two would push against each other.
void Recovery::taken_over(const Error& error) {
    finish_unknown(GuestOn::unknown, "the journal does not take the next step, so nothing more was done: " +
                                         to_string(error),
                   "leave it to the other process; once that is gone, " + recover_words());
}

}  // namespace segue

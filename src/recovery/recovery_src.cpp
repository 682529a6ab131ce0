// Making the source run, once no word counts: push, read what that did, push again.
#include <fmt/format.h>

#include <utility>

#include "base/assert.hpp"
#include "recovery/recovery.hpp"

namespace segue {
namespace {

constexpr Duration answer_max = std::chrono::seconds{2};
constexpr Duration push_max = std::chrono::seconds{30};
/// How long a source that only has to be continued waits for word that the destination is gone: its image
/// locks, and a last contradiction, would show there.
constexpr Duration destination_patience = std::chrono::seconds{5};
constexpr Duration put_back_max = std::chrono::seconds{15};

}  // namespace

void Recovery::roll_back() {
    decided_ = true;
    if (dst_ == Destination::unasked && row_ != RecoveryRow::fenced) ask_destination(Purpose::clear);
    if (finished_) return;
    if (source_gone()) return source_ended();
    if (!source_here() || not_ours_) {
        if (dst_ == Destination::asked) return later(push_pause, &Recovery::roll_back);
        const std::string why =
            not_ours_ ? "another QEMU listens at the source's monitor, " + what_.record.move.src.monitor
                      : "the source's QEMU does not answer: " + what_.source_trouble;
        return finish_unknown(GuestOn::unknown, why + "; no word counts any more, so the guest is the source's",
                              "see that its monitor is free, then " + recover_words());
    }
    enter("undoing");
    push_began_ = now_;
    record(StepKind::undoing, &Recovery::push);
}

void Recovery::push() {
    if (source_gone()) return source_ended();
    if (now_ - push_began_ > push_max) {
        return finish_unknown(GuestOn::unknown,
                              fmt::format("the guest was not brought up on the source within {} s; the destination "
                                          "will not run it",
                                          push_max / std::chrono::seconds{1}),
                              "look at the source's QEMU (query-status), then " + recover_words());
    }
    if (!source_here()) return push_again();
    submit(SrcCommand{SrcReadRunState{}}, answer_max, &Recovery::on_push_state);
}

void Recovery::on_push_state(const Result<AnswerValue>& answer) {
    const auto* state = answer_as<RunState>(answer);
    if (state == nullptr) return push_again();
    src_->run_state = *state;
    stood_ = stood_ || *state == RunState::postmigrate || *state == RunState::finish_migrate || paused_by_us();
    submit(SrcCommand{SrcReadProgress{}}, answer_max, &Recovery::on_push_progress);
}

void Recovery::on_push_progress(const Result<AnswerValue>& answer) {
    const auto* progress = answer_as<SrcProgress>(answer);
    if (progress == nullptr) return push_again();
    switch (progress->status) {
        case MigrationStatus::setup:
        case MigrationStatus::active:
        case MigrationStatus::pre_switchover:
            return submit(SrcCommand{SrcCancel{}}, answer_max, &Recovery::on_pushed);
        case MigrationStatus::device: return submit(SrcCommand{SrcYank{}}, answer_max, &Recovery::on_pushed);
        case MigrationStatus::none:
        case MigrationStatus::completed:
        case MigrationStatus::failed:
        case MigrationStatus::cancelled: return push_ended(progress->status);
        case MigrationStatus::cancelling:
        case MigrationStatus::other: return push_again();
    }
}

/// What it did is read, never assumed.
void Recovery::on_pushed(const Result<AnswerValue>&) { push_again(); }

/// By the `stop` of a move that is not live or has a brake. Once that was undone, a guest that is paused is so by
/// somebody else.
bool Recovery::paused_by_us() const {
    return src_->run_state == RunState::paused && was(StepKind::stop_may_be_sent) && row_ != RecoveryRow::rolled_back;
}

void Recovery::push_ended(MigrationStatus status) {
    switch (src_->run_state) {
        case RunState::running: return source_stays();
        case RunState::postmigrate:
        case RunState::finish_migrate: break;
        case RunState::paused:
            if (paused_by_us()) break;
            [[fallthrough]];
        case RunState::other:
            // A migration leaves none of these behind: somebody paused it, or the guest itself stopped.
            stays_stopped_ = true;
            return source_stays();
        case RunState::inmigrate: not_ours_ = true; return roll_back();
    }
    if (status == MigrationStatus::none && !paused_by_us()) return push_again();
    if (dst_ == Destination::asked && now_ - push_began_ < destination_patience) return push_again();
    // The one place where a source is continued.
    SEGUE_ASSERT(row_ != RecoveryRow::word && row_ != RecoveryRow::moved && row_ != RecoveryRow::nothing_changed);
    submit(SrcCommand{SrcRun{}}, answer_max, &Recovery::on_pushed);
}

void Recovery::source_stays() {
    enter("closing");
    record(StepKind::rolled_back, &Recovery::put_back);
}

void Recovery::put_back() { next_put_back(); }

void Recovery::next_put_back() {
    const auto ask = [this](SrcCommand command) {
        submit(std::move(command), put_back_max, &Recovery::on_put_back);
    };
    for (;; ++put_back_step_) {
        if (!source_here()) break;
        switch (put_back_step_) {
            case 0:
                if (stays_stopped_ || !(stood_ || was(StepKind::held) || was(StepKind::continued))) continue;
                return ask(SrcAnnounce{});
            case 1: return ask(SrcAwaitForgotten{});
            case 2:
                if (!was(StepKind::preparing)) continue;
                if (auto script = put_back_script()) return ask(SrcPutBack{std::move(*script)});
                left_undone_.emplace_back("what the source's settings were is not in the journal: they were left");
                continue;
            default: break;
        }
        break;
    }
    if (source_gone()) return source_ended();
    finish_rolled_back();
}

void Recovery::on_put_back(const Result<AnswerValue>& answer) {
    static constexpr std::string_view what[] = {"the switches could not be told that the guest is still here",
                                                "the source's migration was not seen to be cleaned up",
                                                "the source's settings could not be put back"};
    if (!answer) left_undone_.push_back(fmt::format("{}: {}", what[put_back_step_], to_string(answer.error())));
    ++put_back_step_;
    next_put_back();
}

/// As the guardian would have used it.
std::optional<std::string> Recovery::put_back_script() const {
    for (const MoveStep& step : what_.record.steps) {
        if (step.kind != StepKind::preparing) continue;
        if (auto script = detail_text(step.detail, "put_back")) return script;
    }
    return std::nullopt;
}

}  // namespace segue

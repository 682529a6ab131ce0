// The plumbing, and what is to be done by what the source's journal and the source itself say.
#include "recovery/recovery.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace segue {
namespace {

constexpr Duration far_away = std::chrono::hours{24};
/// A guest that stands must not wait longer for a disk that does.
constexpr Duration journal_max = std::chrono::seconds{10};
constexpr Duration inspect_max = std::chrono::seconds{10};

bool has(const std::vector<MoveStep>& steps, StepKind kind) {
    return std::ranges::find(steps, kind, &MoveStep::kind) != steps.end();
}

/// From these on it can never come to `completed`, before which no word is said.
bool never_completed(MigrationStatus status) {
    switch (status) {
        case MigrationStatus::setup:
        case MigrationStatus::active:
        case MigrationStatus::pre_switchover:
        case MigrationStatus::device:
        case MigrationStatus::failed:
        case MigrationStatus::cancelling:
        case MigrationStatus::cancelled: return true;
        case MigrationStatus::none:
        case MigrationStatus::completed:
        case MigrationStatus::other: return false;
    }
    return false;
}

}  // namespace

RecoveryRow row_of(const std::vector<MoveStep>& steps) {
    const auto was = [&](StepKind kind) { return has(steps, kind); };
    if (was(StepKind::word_answered_running) || was(StepKind::moved)) return RecoveryRow::moved;
    if (was(StepKind::rolled_back)) return RecoveryRow::rolled_back;
    if (was(StepKind::destination_fenced)) return RecoveryRow::fenced;
    if (was(StepKind::undoing) || was(StepKind::word_answered_refused)) return RecoveryRow::rolling_back;
    if (was(StepKind::word_may_be_sent)) return RecoveryRow::word;
    const bool changed = was(StepKind::preparing) || was(StepKind::stop_may_be_sent) ||
                         was(StepKind::migrate_may_be_sent) || was(StepKind::held) || was(StepKind::continued);
    return changed ? RecoveryRow::source_owns : RecoveryRow::nothing_changed;
}

Recovery::Recovery(RecoveryCase what) : what_(std::move(what)), row_(row_of(what_.record.steps)) {}

bool Recovery::was(StepKind kind) const { return has(what_.record.steps, kind); }

Effects Recovery::start(Instant now) {
    now_ = now;
    began_ = now;
    wake_at_ = now + far_away;
    enter("inspecting");
    if (source_here()) {
        submit(SrcCommand{SrcInspect{}}, inspect_max, &Recovery::on_src_facts);
    } else {
        decide();
    }
    return std::exchange(effects_, {});
}

Effects Recovery::step(const Event& event, Instant now) {
    SEGUE_ASSERT(now >= now_);
    now_ = now;
    if (finished_) return {};
    std::visit([this](const auto& e) { on(e); }, event);
    wake_at_ = now_ + far_away;
    if (!timers_.empty()) wake_at_ = std::max(timers_.begin()->first, now_);
    return std::exchange(effects_, {});
}

void Recovery::submit(Command command, Duration timeout, OnAnswer handler) {
    const CommandId id{next_id_++};
    pending_.emplace(id, handler);
    effects_.emplace_back(Submit{id, std::move(command), timeout});
}

void Recovery::later(Duration pause, Then then) { timers_.emplace(now_ + pause, then); }

void Recovery::enter(std::string_view stage) { effects_.emplace_back(Report{StageReport{now_ - began_, stage}}); }

void Recovery::decided(std::string what, std::string because) {
    effects_.emplace_back(Report{DecisionReport{now_ - began_, std::move(what), std::move(because)}});
}

void Recovery::record(StepKind step, Then then) {
    decided_ = true;
    recording_.emplace(CommandId{next_id_}, std::pair{step, then});
    submit(JournalStep{step, Durability::durable, {{"by", "recover"}}}, journal_max, &Recovery::on_recorded);
}

void Recovery::on(const Answer& answer) {
    const auto found = pending_.find(answer.id);
    SEGUE_ASSERT(found != pending_.end());  // Every command is answered exactly once (port rule 2).
    const OnAnswer handler = found->second;
    pending_.erase(found);
    if (handler != &Recovery::on_recorded) return (this->*handler)(answer.value);
    const auto [step, then] = recording_.extract(answer.id).mapped();
    if (answer.value) return (this->*then)();
    const Error& error = answer.value.error();
    if (error.kind == ErrorKind::conflict) return taken_over(error);
    journal_trouble_ = to_string(error);
    // Without these nothing may follow; the others say what a monitor, or the destination, says as well.
    if (step == StepKind::destination_fenced) {
        return finish_unknown(GuestOn::unknown, "the journal could not be written: " + journal_trouble_,
                              "make room on its disk, then the same command again");
    }
    if (step == StepKind::moved) {
        left_undone_.push_back("the journal could not be written (" + journal_trouble_ +
                               "), so the source's QEMU, whose copy is stale now, was left standing: run " +
                               recover_words() + " again");
        summary_.unfinished = true;
        return finish_moved();
    }
    (this->*then)();
}

/// Never called: `on` handles what was recorded, with its step.
void Recovery::on_recorded(const Result<AnswerValue>&) { SEGUE_ASSERT(false); }

void Recovery::on(const GuestNotice& notice) {
    if (std::holds_alternative<SrcDied>(notice)) {
        what_.source = RecoveryCase::Source::gone;
    } else if (const auto* lost = std::get_if<SrcLost>(&notice); lost != nullptr && source_here()) {
        what_.source = RecoveryCase::Source::silent;
        what_.source_trouble = to_string(lost->error);
    }
}

void Recovery::on(const Tick&) {
    while (!finished_ && !timers_.empty() && timers_.begin()->first <= now_) {
        const Then then = timers_.begin()->second;
        timers_.erase(timers_.begin());
        (this->*then)();
    }
}

void Recovery::on(const CancelRequested&) {
    if (decided_) return;
    summary_.outcome = Outcome::cancelled;
    summary_.guest_on = GuestOn::unknown;
    summary_.unfinished = true;
    summary_.error = "cancelled before anything was decided; " + job_words() + " stays unfinished. Next: " +
                     recover_words();
    finish();
}

// ---- What is to be done ----------------------------------------------------------------------------

void Recovery::on_src_facts(const Result<AnswerValue>& answer) {
    if (const auto* facts = answer_as<GuestFacts>(answer)) {
        src_ = *facts;
        look_at_source();
    } else if (source_here()) {
        what_.source = RecoveryCase::Source::silent;
        what_.source_trouble = answer ? "it did not say what it is" : to_string(answer.error());
    }
    decide();
}

/// The socket may be another QEMU's by now: of another guest, or of the same one, started afresh.
void Recovery::look_at_source() {
    const std::string& uuid = what_.record.move.guest.uuid;
    const bool other_guest = !uuid.empty() && !src_->uuid.empty() && uuid != src_->uuid;
    const bool migrated = was(StepKind::held) || was(StepKind::continued) || was(StepKind::word_may_be_sent);
    const bool afresh = migrated && src_->migration == MigrationStatus::none && src_->run_state != RunState::running;
    not_ours_ = other_guest || afresh || src_->run_state == RunState::inmigrate;
    stood_ = src_->run_state == RunState::postmigrate || src_->run_state == RunState::finish_migrate;
}

void Recovery::decide() {
    switch (row_) {
        case RecoveryRow::nothing_changed:
            // A destination on this host was only read; one behind `segue receive` may have been started.
            decided_ = true;
            if (what_.remote) ask_destination(Purpose::clear);
            return source_gone() ? source_ended() : finish_rolled_back();
        case RecoveryRow::source_owns:
        case RecoveryRow::rolling_back:
        case RecoveryRow::rolled_back:
        case RecoveryRow::fenced: return roll_back();
        case RecoveryRow::word: return decide_word();
        case RecoveryRow::moved: return decide_moved();
    }
}

void Recovery::decide_word() {
    if (source_here() && src_ && !not_ours_) {
        if (src_->run_state == RunState::running) {
            decided("roll back", "the guest runs on the source, where nobody continues it once a word counts");
            row_ = RecoveryRow::rolling_back;
            return roll_back();
        }
        if (never_completed(src_->migration)) {
            decided("roll back", "the source never came to the end of the stream, before which no word is said");
            row_ = RecoveryRow::rolling_back;
            return roll_back();
        }
    }
    ask_destination(Purpose::word);
}

void Recovery::decide_moved() {
    if (source_here() && src_ && !not_ours_ && src_->run_state == RunState::running) {
        return finish_unknown(GuestOn::unknown,
                              "the destination ran the guest, and now its stale copy runs on the source too: somebody "
                              "continued it there",
                              "stop the source's QEMU at once, look at what both wrote to their disks, then " +
                                  recover_words());
    }
    ask_destination(Purpose::look);
}

void Recovery::source_ended() {
    decided_ = true;
    if (dst_ == Destination::unasked && row_ != RecoveryRow::fenced) ask_destination(Purpose::clear);
    if (dst_ == Destination::asked) return later(push_pause, &Recovery::source_ended);
    finish_crashed(row_ == RecoveryRow::rolled_back
                       ? "the guest was back on the source, and its QEMU there has ended since"
                       : "the source's QEMU ended while it owned the guest");
}

}  // namespace segue

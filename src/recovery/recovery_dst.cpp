// The destination: its truth, what follows from it, and ending what never owned the guest.
#include <fmt/format.h>

#include "base/assert.hpp"
#include "recovery/recovery.hpp"

namespace segue {
namespace {

/// ssh gives up on a dead host after 15 s, a greeting after 60 s.
constexpr Duration word_truth_max = std::chrono::seconds{75};
/// Where it decides nothing.
constexpr Duration clear_truth_max = std::chrono::seconds{20};
constexpr Duration kill_max = std::chrono::seconds{15};
constexpr Duration finish_max = std::chrono::seconds{20};
constexpr Duration look_max = std::chrono::seconds{2};
/// From the death of a segue to the RESUME that its guardian causes it takes milliseconds.
constexpr Duration guardian_patience = std::chrono::seconds{3};
constexpr Duration read_pause = std::chrono::milliseconds{200};
/// A word or an abort is decided within 2 s; past this somebody must look.
constexpr int reads_max = 100;
/// 2 s of lease, and as long as a guardian may need to kill.
constexpr Duration lease_over = std::chrono::seconds{3};

}  // namespace

void Recovery::ask_destination(Purpose purpose) {
    SEGUE_ASSERT(dst_ == Destination::unasked);
    purpose_ = purpose;
    dst_ = Destination::asked;
    read_truth();
}

void Recovery::read_truth() {
    const Duration patience = purpose_ == Purpose::word ? word_truth_max : clear_truth_max;
    submit(DstCommand{DstReadTruth{}}, patience, &Recovery::on_truth);
}

void Recovery::read_again(const std::string& why) {
    if (++reads_ > reads_max) return no_destination(why);
    later(read_pause, &Recovery::read_truth);
}

void Recovery::on_truth(const Result<AnswerValue>& answer) {
    const auto* truth = answer_as<DstTruth>(answer);
    if (truth == nullptr) return no_destination(answer ? "it does not say what became of the move"
                                                       : to_string(answer.error()));
    if (what_.remote) return judge_far(*truth);
    judge_near(*truth);
}

/// Behind `segue receive`, whose journal is the truth.
void Recovery::judge_far(const DstTruth& truth) {
    const bool bound = truth.accepted && !truth.barred;
    if (truth.undecided) return read_again("it does not come to a decision");
    if (truth.forgotten && row_ != RecoveryRow::nothing_changed) {
        return no_destination("it has no record of this move: its journal was lost, or is in another place");
    }
    switch (purpose_) {
        case Purpose::look:
            if (!bound) return destination_has_it();
            dst_ended_since_ = !truth.alive;
            return destination_settled(false, "");
        case Purpose::clear: return bound ? destination_has_it() : end_destination();
        case Purpose::word:
            if (what_.fenced) {
                return refuse("--fenced " + what_.record.move.dst.host + ": it answers, so it is not powered off");
            }
            if (!bound) return end_destination();
            if (!truth.alive) return destination_lost_it();
            if (truth.run_state == RunState::running) return owned_there();
            return finish_there();
    }
}

/// On this host, where only QEMU was asked.
void Recovery::judge_near(const DstTruth& truth) {
    if (truth.alive) return submit(DstCommand{DstInspect{}}, kill_max, &Recovery::on_near_facts);
    dst_gone_ = true;
    dst_ended_since_ = true;
    if (purpose_ != Purpose::word) return destination_settled(true, "");
    if (source_gone()) return finish_crashed("the QEMUs of both sides have ended");
    // Killed before it was told, or after it ran: nothing is left that could say which.
    no_destination("its QEMU is gone, and whether the guest ran there is not known");
}

void Recovery::on_near_facts(const Result<AnswerValue>& answer) {
    const auto* facts = answer_as<GuestFacts>(answer);
    if (facts == nullptr) return no_destination(answer ? "it does not say what it is" : to_string(answer.error()));
    const std::string& uuid = what_.record.move.guest.uuid;
    // The socket is another guest's by now: then ours is gone, and that one is nobody's to touch.
    if (!uuid.empty() && !facts->uuid.empty() && uuid != facts->uuid) return judge_near(DstTruth{});
    const bool runs = facts->run_state == RunState::running;
    switch (purpose_) {
        case Purpose::look: return destination_settled(false, "");
        case Purpose::clear: return runs ? destination_has_it() : end_destination();
        case Purpose::word:
            if (what_.fenced) {
                return refuse("--fenced " + what_.record.move.dst.host + ": the destination's QEMU answers");
            }
            return runs ? owned_there() : end_destination();
    }
}

/// It cannot be asked, or does not know.
void Recovery::no_destination(const std::string& why) {
    if (purpose_ != Purpose::word) return destination_settled(false, why);
    dst_trouble_ = why;
    // A QEMU of this host that lives is not fenced by words.
    if (what_.fenced && (what_.remote || dst_gone_)) return fence();
    // A source that never came to `completed` was dealt with before; here only the destination knows.
    last_look();
}

/// The guardian may be bringing the source back just now, and ends a destination of this host before that.
void Recovery::last_look() {
    if (!source_here() || not_ours_) return nobody_knows();
    submit(SrcCommand{SrcReadRunState{}}, look_max, &Recovery::on_last_look);
}

void Recovery::on_last_look(const Result<AnswerValue>& answer) {
    const auto* state = answer_as<RunState>(answer);
    if (state != nullptr && *state == RunState::running) {
        decided("roll back", "the guest runs on the source by now, where nobody continues it once a word counts");
        row_ = RecoveryRow::rolling_back;
        dst_ = Destination::settled;
        return roll_back();
    }
    if (dst_gone_ && now_ < began_ + guardian_patience) return later(read_pause, &Recovery::last_look);
    nobody_knows();
}

void Recovery::nobody_knows() {
    const std::string what = "the destination (" + destination_words() +
                             ") may have been told to run the guest, and " + dst_trouble_ + "; nothing was started";
    if (dst_gone_) {
        return finish_unknown(GuestOn::nowhere, what,
                              "if you know that it did not run there, " + fence_words() +
                                  "; else end the source's QEMU, whose copy is stale, and start the guest again");
    }
    if (!what_.remote) {
        return finish_unknown(GuestOn::unknown, what, "free its monitor, or end that QEMU if its guest stands, then " +
                                                          recover_words());
    }
    finish_unknown(GuestOn::unknown, what,
                   recover_words() + " again when it answers; or, once that host is surely powered off, " +
                       fence_words());
}

void Recovery::destination_settled(bool gone, const std::string& why) {
    dst_ = Destination::settled;
    dst_gone_ = dst_gone_ || gone;
    dst_trouble_ = why;
    if (purpose_ == Purpose::look) moved();
}

/// A contradiction to what this host's journal says: nobody starts anything more.
void Recovery::destination_has_it() {
    dst_ = Destination::settled;
    const bool here = source_here() && src_ && src_->run_state == RunState::running;
    const bool ran = purpose_ == Purpose::look;
    const std::string_view there = ran ? "that it never accepted the guest" : "that the guest is its own";
    const std::string_view journal = ran ? "that the guest ran there" : "that no word counts";
    finish_unknown(GuestOn::unknown,
                   fmt::format("the destination ({}) says {}, and this host's journal {}{}", destination_words(), there,
                               journal, here ? "; the guest runs on the source" : ""),
                   "ask both monitors (query-status), stop all but one copy, then " + recover_words());
}

// ---- Ending what never owned the guest -------------------------------------------------------------

void Recovery::end_destination() {
    decided_ = true;
    submit(DstCommand{DstKill{}}, kill_max, &Recovery::on_ended);
}

void Recovery::on_ended(const Result<AnswerValue>& answer) {
    if (answer) {
        destination_settled(true, "");
        if (purpose_ == Purpose::word) word_will_not_count("the destination was ended before it accepted a word");
        return;
    }
    // A word that was accepted meanwhile, or a tombstone that could not be written: it must be asked again.
    if (answer.error().kind == ErrorKind::refused) return read_again(to_string(answer.error()));
    no_destination(to_string(answer.error()));
}

void Recovery::word_will_not_count(const std::string& why) {
    decided("roll back", why);
    row_ = RecoveryRow::rolling_back;
    record(StepKind::word_answered_refused, &Recovery::roll_back);
}

// ---- A word that was accepted ----------------------------------------------------------------------

/// An accepted word binds: the guest is continued there, whoever asks.
void Recovery::finish_there() {
    decided_ = true;
    decided("finish", "the destination accepted the word and has not run the guest yet");
    enter("handing-over");
    submit(DstCommand{DstRun{}}, finish_max, &Recovery::on_finished_there);
}

void Recovery::on_finished_there(const Result<AnswerValue>& answer) {
    if (answer) return owned_there();
    read_again(to_string(answer.error()));
}

void Recovery::owned_there() {
    decided("finish", "the guest runs on the destination");
    row_ = RecoveryRow::moved;
    dst_ = Destination::settled;
    record(StepKind::word_answered_running, &Recovery::moved);
}

void Recovery::destination_lost_it() {
    dst_ = Destination::settled;
    finish_crashed("the destination (" + destination_words() +
                   ") accepted the guest, and its QEMU there ended; the source's copy is stale and was left standing");
}

// ---- The operator's word ---------------------------------------------------------------------------

void Recovery::fence() {
    if (source_gone()) {
        dst_ = Destination::settled;
        return finish_crashed("the source's QEMU ended, and the destination is fenced");
    }
    if (!source_here() || not_ours_) {
        return finish_unknown(GuestOn::unknown,
                              "the source's QEMU cannot be continued: " +
                                  (not_ours_ ? "another one listens at its monitor" : what_.source_trouble),
                              "see to its monitor, then the same command again");
    }
    decided_ = true;
    decided("fence", "the destination does not answer, and the operator says that it can run nothing");
    // The last sign of life that could carry a lease is older than this program.
    if (now_ < began_ + lease_over) return later(began_ + lease_over - now_, &Recovery::fence_now);
    fence_now();
}

void Recovery::fence_now() { record(StepKind::destination_fenced, &Recovery::fenced); }

void Recovery::fenced() {
    row_ = RecoveryRow::fenced;
    dst_ = Destination::settled;
    roll_back();
}

}  // namespace segue

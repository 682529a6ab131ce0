// The one word: who may say it, and what it is worth. Acceptance is: a fresh lease, a whole paused copy, the
// claim against the guardian, a durable record; only then `cont`.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "receive/session.hpp"

namespace segue::receive {
namespace {

constexpr Duration state_max = std::chrono::milliseconds{200};
constexpr Duration continue_max = std::chrono::seconds{2};
constexpr Duration read_again = std::chrono::milliseconds{20};
constexpr Duration read_lost_again = std::chrono::milliseconds{200};

}  // namespace

std::optional<std::string> Session::lease_fault(std::uint64_t n) const {
    if (n > lease_n_ || n == 0) return fmt::format("it quotes lease {}, which was never sent", n);
    const std::uint64_t oldest = lease_n_ - sent_.size() + 1;
    if (n < oldest) return fmt::format("it quotes lease {}, which is long over", n);
    const Duration age = now_ - sent_[static_cast<std::size_t>(n - oldest)];
    if (age <= rules_.lease_fresh) return std::nullopt;
    return fmt::format("it quotes lease {}, sent {} ms ago", n, age / std::chrono::milliseconds{1});
}

/// A word is good once: what was refused stays refused, and only an abort or silence can follow.
void Session::refuse_word(std::string reason) {
    word_spent_ = true;
    log("a word was refused: " + reason);
    send(Refused{*std::exchange(word_, std::nullopt), std::move(reason), dead_});
}

void Session::on(const Word& m) {
    if (word_ || word_spent_ || accepted_ || stage_ != Stage::connected) {
        const bool second = word_ || word_spent_ || accepted_;
        std::string reason = fmt::format("{} (stage {})", second ? "only one word is taken, and one was said"
                                                                : "there is no loaded guest", to_string(stage_));
        log("a word was refused: " + reason);
        word_spent_ = true;
        return send(Refused{m.request, std::move(reason), dead_});
    }
    word_ = m.request;
    word_n_ = m.n;
    if (auto fault = lease_fault(m.n)) return refuse_word(std::move(*fault));
    ask_qemu(DstReadRunState{}, state_max, &Session::on_word_state);
}

/// `cont` in `inmigrate` would be taken and make it run whenever it is loaded: only a paused copy will do.
void Session::on_word_state(const Result<GuestAnswer>& answer) {
    if (stage_ != Stage::connected || !word_) return;  // Ended meanwhile, and refused there.
    const auto* state = answer ? std::get_if<RunState>(&*answer) : nullptr;
    if (!state) return refuse_word("the state of the destination's QEMU could not be read");
    if (*state != RunState::paused) return refuse_word("the destination has not loaded the guest");
    if (auto fault = lease_fault(word_n_)) return refuse_word(std::move(*fault));
    effects_.emplace_back(ClaimGuest{});
}

void Session::on(const Claimed& event) {
    if (stage_ != Stage::connected || !word_) return;
    if (!event.ours) {
        refuse_word("the guardian has already ended this destination");
        return end("the guardian has ended it");
    }
    guest_claimed_ = true;
    word_spent_ = true;
    stage_ = Stage::accepting;
    effects_.emplace_back(Write{Record::accepted, {}});
}

void Session::on_accepted_written(const Result<void>& durable) {
    if (stage_ != Stage::accepting) return;
    recorded_accepted_ = durable.has_value() || outcome_unknown(durable.error().kind);
    if (!durable) return take_back("the word could not be recorded: " + to_string(durable.error()));
    accepted_ = true;
    stage_ = Stage::accepted;
    continue_guest();
}

void Session::continue_guest() {
    cont_ = ContAnswer::waiting;
    ask_qemu(DstRun{}, continue_max, &Session::on_continued);
}

void Session::on_continued(const Result<GuestAnswer>& answer) {
    if (stage_ != Stage::accepted) return;
    if (answer) cont_ = ContAnswer::taken;
    else cont_ = outcome_unknown(answer.error().kind) ? ContAnswer::unknown : ContAnswer::refused;
    if (!answer) log("the destination did not continue: " + to_string(answer.error()));
    read_truth();
}

void Session::read_truth() {
    if (stage_ == Stage::accepted) ask_qemu(DstReadRunState{}, state_max, &Session::on_truth);
}

void Session::on_truth(const Result<GuestAnswer>& answer) {
    if (stage_ != Stage::accepted) return;
    const auto* state = answer ? std::get_if<RunState>(&*answer) : nullptr;
    if (state && *state == RunState::running) return runs();
    // QEMU serves one monitor in order: a state read after `cont` is the state that `cont` has left. An odd
    // state may be that of a guest which ran and failed, unless `cont` itself was refused.
    const bool stands = state && (cont_ == ContAnswer::refused ||
                                  (cont_ == ContAnswer::unknown && *state == RunState::paused));
    if (stands) return take_back("the destination's QEMU refused to continue the guest");
    read_again_at_ = now_ + (state ? read_again : read_lost_again);
}

void Session::runs() {
    stage_ = Stage::running;
    read_again_at_.reset();
    effects_.emplace_back(Write{Record::ran, {}});
    if (word_) send(Running{*std::exchange(word_, std::nullopt)});
    else send(RunStateChanged{RunState::running});
}

/// The one case in which an accepted word is undone: the guest never ran. `refused` is said only when its
/// QEMU was seen dead.
void Session::take_back(std::string why) {
    log(why);
    taking_back_ = true;
    read_again_at_.reset();
    end(std::move(why));
}

/// An accepted word binds: whoever comes after the session that took it may only finish it.
void Session::on(const Finish& m) {
    switch (stage_) {
        case Stage::running: return send(Running{m.request});
        case Stage::accepted:
            // word_: its state is being read.
            if (word_ || cont_ != ContAnswer::not_sent) {
                return fail_request(m.request, ErrorKind::conflict, "it is being continued already");
            }
            if (!have_qemu_) {
                return fail_request(m.request, ErrorKind::unavailable, "its QEMU lives, but cannot be reached");
            }
            word_ = m.request;
            return ask_qemu(DstReadRunState{}, state_max, &Session::on_finish_state);
        case Stage::refused:
        case Stage::aborted: return send(Refused{m.request, "this move was undone", true});
        case Stage::died:
            return fail_request(m.request, ErrorKind::unavailable, "its QEMU ended after the word was accepted");
        case Stage::greeting:
        case Stage::recalling:
        case Stage::idle:
        case Stage::orphan:
        case Stage::preparing:
        case Stage::prepared:
        case Stage::listening:
        case Stage::connected:
        case Stage::accepting:
        case Stage::ending:
        case Stage::over: return fail_request(m.request, ErrorKind::conflict, "no word was accepted");
    }
}

/// Only a copy that stands as it was loaded is continued. In any other state it may have run in a session that did
/// not live to record it: a refused `cont` would then be taken for a guest that never ran.
void Session::on_finish_state(const Result<GuestAnswer>& answer) {
    if (stage_ != Stage::accepted || !word_) return;
    const auto* state = answer ? std::get_if<RunState>(&*answer) : nullptr;
    if (state && *state == RunState::running) return runs();
    if (state && *state == RunState::paused) return continue_guest();
    fail_request(*std::exchange(word_, std::nullopt), ErrorKind::unavailable,
                 state ? "its QEMU neither runs the guest nor holds it as it was loaded: it may have run, look at it "
                         "there"
                       : "the state of its QEMU could not be read", answer ? "" : to_string(answer.error()));
}

}  // namespace segue::receive

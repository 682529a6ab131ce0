// Time, leases, news of the world, and when the session may leave.
#include "receive/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace segue::receive {
namespace {

constexpr Duration far_away = std::chrono::hours{24};

/// What only a destination says.
template <class T>
constexpr bool from_destination = std::is_same_v<T, Prepared> || std::is_same_v<T, Did> ||
    std::is_same_v<T, Listening> || std::is_same_v<T, Connected> || std::is_same_v<T, Lease> ||
    std::is_same_v<T, Running> || std::is_same_v<T, Refused> || std::is_same_v<T, Aborted> ||
    std::is_same_v<T, StatusReply> || std::is_same_v<T, Failed> || std::is_same_v<T, LogLine> ||
    std::is_same_v<T, Died> || std::is_same_v<T, RunStateChanged>;

}  // namespace

Session::Session(Hello ours, SessionRules rules) : ours_hello_(std::move(ours)), rules_(rules) {
    SEGUE_ASSERT(!ours_hello_.move);
}

SessionEffects Session::step(const SessionEvent& event, Instant now) {
    SEGUE_ASSERT(now >= now_);
    now_ = now;
    if (!heard_at_ || std::holds_alternative<FromPeer>(event)) heard_at_ = now_;
    if (stage_ != Stage::over) {
        std::visit([this](const auto& e) { on(e); }, event);
        if (leasing_ && !peer_gone_ && now_ >= next_lease_) send_lease();
        check_silence();
        maybe_exit();
    }
    set_wake();
    return std::exchange(effects_, {});
}

void Session::set_wake() {
    wake_at_ = now_ + far_away;
    if (stage_ == Stage::over) return;
    const auto wake = [this](Instant at) { wake_at_ = std::min(wake_at_, std::max(at, now_)); };
    if (!peer_gone_) wake(*heard_at_ + peer_silence_max);
    if (leasing_ && !peer_gone_) wake(next_lease_);
    if (waits_for_word() && (leasing_ || peer_gone_)) wake(alive_at_ + ping_silence_max);
    if (read_again_at_) wake(*read_again_at_);
    if (kill_again_at_) wake(*kill_again_at_);
}

/// Everything here may be ended by the source or by its silence.
bool Session::waits_for_word() const {
    return stage_ == Stage::preparing || stage_ == Stage::prepared || stage_ == Stage::listening ||
           stage_ == Stage::connected;
}

void Session::send(Message message) {
    if (!peer_gone_) effects_.emplace_back(Send{std::move(message)});
}

/// Here and, since the operator sits there, at the source.
void Session::log(std::string line) {
    if (logged_ == log_lines_max) line = "too much was said; what follows is not logged";
    if (logged_++ > log_lines_max) return;
    send(LogLine{line});
    effects_.emplace_back(Log{std::move(line)});
}

void Session::fail_request(RequestId request, ErrorKind kind, std::string message, std::string source) {
    send(Failed{request, Error{kind, std::move(message), std::move(source)}});
}

void Session::ask_qemu(DstCommand command, Duration timeout, OnQemu handler) {
    const QemuCommandId id{next_command_++};
    pending_.emplace(id, handler);
    effects_.emplace_back(Qemu{id, std::move(command), timeout});
}

// ---- Time ------------------------------------------------------------------------------------------

void Session::send_lease() {
    ++lease_n_;
    sent_.push_back(now_);
    // Older ones can neither carry a word nor count as a sign of life.
    while (now_ - sent_.front() > ping_silence_max) sent_.pop_front();
    next_lease_ = now_ + lease_every;
    send(Lease{lease_n_});
}

/// Counted from the sending of the lease that the ping quotes, not from the ping's arrival: a ping that was
/// long on its way must not make this side live longer than the source can reckon with.
void Session::on(const Ping& m) {
    const std::uint64_t oldest = lease_n_ - sent_.size() + 1;
    if (sent_.empty() || m.n < oldest || m.n > lease_n_) return;
    const Instant sent = sent_[static_cast<std::size_t>(m.n - oldest)];
    if (sent <= alive_at_) return;
    alive_at_ = sent;
    if (ours_ && waits_for_word()) note_guardian();
}

void Session::check_silence() {
    if (!peer_gone_ && now_ >= *heard_at_ + peer_silence_max) close_control("the source was silent for 60 s");
    if (!waits_for_word() || !(leasing_ || peer_gone_) || now_ < alive_at_ + ping_silence_max) return;
    leave_or_end("the source gave no sign of life for 2 s");
}

/// A QEMU that waits and was not touched is not ours to kill.
void Session::leave_or_end(const std::string& why) {
    leaving_ = true;
    note_end(why);
    if (ours_ || started_) end(why);
    else log(why + "; nothing was changed here");
}

void Session::on(const Tick&) {
    if (read_again_at_ && now_ >= *read_again_at_) {
        read_again_at_.reset();
        read_truth();
    }
    if (kill_again_at_ && now_ >= *kill_again_at_) {
        kill_again_at_.reset();
        if (record_first()) write_tombstone();
        else kill();
    }
}

// ---- The peer --------------------------------------------------------------------------------------

void Session::on(const FromPeer& event) {
    if (peer_gone_) return;
    const bool greeted = stage_ != Stage::greeting && stage_ != Stage::recalling;
    std::visit(
        [this, greeted](const auto& message) {
            using T = std::decay_t<decltype(message)>;
            if constexpr (from_destination<T>) {
                close_control("the peer sent what only a destination says");
            } else if constexpr (std::is_same_v<T, Ignored>) {
                // Said to be so.
            } else if constexpr (std::is_same_v<T, Hello>) {
                if (stage_ == Stage::greeting) on(message);
                else close_control("the peer greeted twice");
            } else {
                if (greeted) on(message);
                else close_control("the peer did not wait for the greeting");
            }
        },
        event.message);
}

void Session::close_control(const std::string& why) {
    log(why + "; its connection is closed");
    note_end(why);
    effects_.emplace_back(CloseControl{});
    peer_gone_ = true;
}

void Session::on(const PeerGone& event) {
    if (peer_gone_) return;
    const std::string why = "the connection to the source ended: " + event.why;
    log(why);
    note_end(why);
    peer_gone_ = true;
}

void Session::on(const Bye& m) {
    farewell_ = m;
    if (waits_for_word()) leave_or_end("the source left before it said the word");
    leaving_ = true;
}

void Session::on(const StopRequested&) {
    if (waits_for_word()) leave_or_end("segue receive was told to stop");
    leaving_ = true;
}

void Session::on(const GuardianGone&) {
    guardian_gone_ = true;
    // Without it this QEMU could outlive us unaccepted.
    if (waits_for_word() && (ours_ || started_)) end("the guardian beside the destination ended");
}

void Session::on(const StrangerRefused& event) { log("refused a data connection: " + event.who); }

// ---- QEMU and the journal --------------------------------------------------------------------------

void Session::on(const QemuAnswer& event) {
    const auto found = pending_.find(event.id);
    SEGUE_ASSERT(found != pending_.end());  // Every command is answered exactly once (port rule 2).
    const OnQemu handler = found->second;
    pending_.erase(found);
    (this->*handler)(event.value);
}

void Session::on(const GuestNotice& notice) {
    if (std::holds_alternative<DstDied>(notice)) return qemu_died();
    if (std::holds_alternative<DstLost>(notice)) {
        monitor_lost_ = true;
        if (waits_for_word()) end("the monitor of the destination's QEMU was lost");
    } else if (std::holds_alternative<DstResumed>(notice)) {
        if (stage_ == Stage::accepted) runs();
        else if (waits_for_word()) end("the destination ran without a word: somebody else continued it");
    }
}

void Session::on(const Written& event) {
    switch (event.record) {
        case Record::begun: return on_begun_written(event.durable);
        case Record::accepted: return on_accepted_written(event.durable);
        case Record::tombstone: return on_tombstone_written(event.durable);
        case Record::ran:
            if (!event.durable) log("`ran` could not be recorded: " + to_string(event.durable.error()));
            return;
    }
}

// ---- Leaving ---------------------------------------------------------------------------------------

void Session::note_end(const std::string& why) {
    if (!farewell_ && why_ended_.empty()) why_ended_ = why;
}

/// By the source's own word where it gave one: it alone knows whether it was refused, was cancelled or only asked.
HowEnded Session::how_ended() const {
    if (farewell_ && !farewell_->outcome.empty()) return {farewell_->outcome, farewell_->reason};
    const bool only_asked = farewell_ && why_ended_.empty() && !recalled_.begun && !listened_;
    return only_asked ? HowEnded{"planned", {}} : HowEnded{"failed", why_ended_};
}

void Session::maybe_exit() {
    if (!peer_gone_ && !leaving_) return;
    int status = 0;
    switch (stage_) {
        case Stage::greeting:
        case Stage::recalling:
        case Stage::idle:
        case Stage::orphan:
        case Stage::running: break;
        case Stage::preparing:
        case Stage::prepared:
            if (ours_ || started_) return;
            break;
        case Stage::accepted:
            // One that nobody is continuing waits for `segue recover`; so does one that cannot be seen.
            if (cont_ != ContAnswer::not_sent && !monitor_lost_) return;
            break;
        case Stage::ending:
            // Done as far as it can be, or out of reach: the next abort tries again, in another session.
            if (dead_ ? tombstone_ != Tombstone::failed : have_qemu_ || ready_waits_) return;
            status = 1;
            break;
        case Stage::refused:
        case Stage::aborted:
        case Stage::died: status = 1; break;
        case Stage::listening:
        case Stage::connected:
        case Stage::accepting:
        case Stage::over: return;
    }
    effects_.emplace_back(Exit{status, fmt::format("left in stage {}", to_string(stage_)), stage_, how_ended()});
    stage_ = Stage::over;
}

}  // namespace segue::receive

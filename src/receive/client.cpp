// What goes out: commands as requests, deadlines, the end of the connection.
#include "receive/client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace segue::receive {
namespace {

/// ssh may ask its user for a password; a host that is only slow answers within seconds.
constexpr Duration greeting_max = std::chrono::seconds{60};
constexpr Duration far_away = std::chrono::hours{24};

std::unexpected<Error> lost_error() {
    return fail(ErrorKind::unavailable, "the connection to the destination's segue is lost");
}

}  // namespace

Client::Client(ClientPlan plan) : plan_(std::move(plan)) { SEGUE_ASSERT(plan_.hello.move.has_value()); }

ClientEffects Client::start(Instant now) {
    now_ = now;
    greet_by_ = now + greeting_max;
    effects_.emplace_back(ToPeer{plan_.hello});
    set_wake();
    return std::exchange(effects_, {});
}

ClientEffects Client::step(const ClientEvent& event, Instant now) {
    SEGUE_ASSERT(now >= now_);
    now_ = now;
    std::visit([this](const auto& e) { on(e); }, event);
    time_out();
    set_wake();
    return std::exchange(effects_, {});
}

void Client::set_wake() {
    wake_at_ = now_ + far_away;
    const auto wake = [this](Instant at) { wake_at_ = std::min(wake_at_, std::max(at, now_)); };
    for (const auto& [id, waiting] : waiting_) wake(waiting.deadline);
    for (const auto& again : again_) wake(std::min(again.at, again.waiting.deadline));
    if (lost_) return;
    if (!peer_) wake(greet_by_);
    if (lease_came_at_) wake(*lease_came_at_ + ping_silence_max);
}

void Client::on(const ClientTick&) {}

void Client::time_out() {
    if (!lost_ && !peer_ && now_ >= greet_by_) broken("the destination's segue did not greet in time");
    if (!lost_ && lease_came_at_ && now_ >= *lease_came_at_ + ping_silence_max) {
        broken("the destination's segue gave no sign of life for 2 s");
    }
    std::vector<Waiting> late;
    std::erase_if(waiting_, [&](const auto& entry) {
        if (now_ < entry.second.deadline) return false;
        late.push_back(entry.second);
        return true;
    });
    for (const auto& again : std::exchange(again_, {})) {
        if (now_ >= again.waiting.deadline) late.push_back(again.waiting);
        else if (now_ < again.at) again_.push_back(again);
        else request(Status{}, again.waiting.call, Kind::run_state, again.waiting.deadline);
    }
    for (const auto& waiting : late) {
        answer(waiting.call, fail(ErrorKind::timed_out, "the destination's segue did not answer in time"));
    }
}

void Client::answer(CallId call, Result<GuestAnswer> value) {
    effects_.emplace_back(CallAnswered{call, std::move(value)});
}

template <class M>
void Client::request(M message, CallId call, Kind kind, Instant deadline) {
    const RequestId id{next_request_++};
    message.request = id;
    waiting_.emplace(id, Waiting{call, kind, deadline});
    effects_.emplace_back(ToPeer{std::move(message)});
}

// ---- Commands --------------------------------------------------------------------------------------

void Client::on(const Call& event) {
    // What was seen dead stays dead, with or without a connection.
    if (std::holds_alternative<DstKill>(event.command) && surely_dead()) {
        return answer(event.id, Done{});
    }
    // A refused word whose QEMU was seen dead: asking would cost the guest, which stands, a round trip.
    if (std::holds_alternative<DstReadRunState>(event.command) && word_refused_ && dead_) {
        return answer(event.id, RunState::other);
    }
    if (lost_) return answer(event.id, lost_error());
    if (!peer_) queued_.emplace_back(event);
    else ask(event);
}

void Client::ask(const Call& call) {
    const Instant deadline = now_ + call.timeout;
    struct Visitor {
        Client& c;
        const Call& call;
        Instant deadline;
        void operator()(const DstInspect&) { c.request(Prepare{c.plan_.prepare}, call.id, Kind::inspect, deadline); }
        void operator()(const DstClearAutostart&) { c.request(ClearAutostart{}, call.id, Kind::order, deadline); }
        void operator()(const DstPrepare&) { c.request(Settings{}, call.id, Kind::order, deadline); }
        void operator()(const DstPutBack&) { c.request(PutBack{}, call.id, Kind::order, deadline); }
        void operator()(const DstListen& m) {
            Listen listen{{}, m.address.host, m.address.port, c.plan_.port_first, c.plan_.port_last, c.plan_.token};
            c.request(std::move(listen), call.id, Kind::listen, deadline);
        }
        void operator()(const DstAwaitStream&) {
            // The shell knows: it is told `DataAccepted`.
            c.answer(call.id, fail(ErrorKind::unsupported, "the data connection is awaited by the shell"));
        }
        void operator()(const DstRun&) { c.say_word(call); }
        void operator()(const DstReadTruth&) { c.request(Status{}, call.id, Kind::truth, deadline); }
        void operator()(const DstReadRunState&) { c.request(Status{}, call.id, Kind::run_state, deadline); }
        void operator()(const DstKill&) { c.kill(call); }
    };
    std::visit(Visitor{*this, call, deadline}, call.command);
}

void Client::say_word(const Call& call) {
    if (plan_.recovering) {
        word_sent_ = true;
        return request(Finish{}, call.id, Kind::word, now_ + call.timeout);
    }
    // Older on arrival here than the destination would take it: said, it could only be refused.
    if (!lease_came_at_ || now_ - *lease_came_at_ > lease_fresh) {
        return answer(call.id,
                      fail(ErrorKind::refused, "no word was said: the destination's last lease is over 300 ms old"));
    }
    word_sent_ = true;
    Word word;
    word.n = lease_n_;
    request(word, call.id, Kind::word, now_ + call.timeout);
}

void Client::kill(const Call& call) {
    Abort abort;
    abort.reason = "rolled back";
    request(std::move(abort), call.id, Kind::kill, now_ + call.timeout);
}

/// Its QEMU is dead, and no guest can have run in it: the source's copy is the only one.
bool Client::surely_dead() const { return aborted_ || (dead_ && (!word_sent_ || word_refused_)); }

void Client::on(const SayBye& event) {
    if (!lost_ && peer_) effects_.emplace_back(ToPeer{Bye{event.outcome, event.reason}});
}

// ---- The end of the connection ---------------------------------------------------------------------

void Client::broken(const std::string& why) {
    if (lost_) return;
    effects_.emplace_back(CloseConnection{why});
    lose(why);
}

void Client::on(const ConnectionLost& event) { lose(event.why); }

/// Whatever was asked may or may not have happened. Answers first, so that the news finds nothing open.
void Client::lose(const std::string& why) {
    if (std::exchange(lost_, true)) return;
    auto open = std::exchange(waiting_, {});
    const auto lost = [&why] {
        auto error = lost_error();
        error.error().source = why;
        return error;
    };
    for (const auto& [id, waiting] : open) answer(waiting.call, lost());
    for (const auto& again : std::exchange(again_, {})) answer(again.waiting.call, lost());
    for (const Call& queued : std::exchange(queued_, {})) answer(queued.id, lost());
    effects_.emplace_back(Notice{DstLost{lost().error()}});
}

}  // namespace segue::receive

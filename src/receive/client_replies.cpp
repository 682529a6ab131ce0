// What comes in: answers, leases and news of the destination.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "receive/client.hpp"

namespace segue::receive {
namespace {

constexpr Duration ask_again = std::chrono::milliseconds{10};

/// What only a source says.
template <class T>
constexpr bool from_source = std::is_same_v<T, Prepare> || std::is_same_v<T, ClearAutostart> ||
    std::is_same_v<T, Settings> || std::is_same_v<T, PutBack> || std::is_same_v<T, Listen> ||
    std::is_same_v<T, Ping> || std::is_same_v<T, Word> || std::is_same_v<T, Finish> || std::is_same_v<T, Abort> ||
    std::is_same_v<T, Status> || std::is_same_v<T, Bye>;

DstTruth truth_of(const StatusReply& m) {
    DstTruth truth;
    truth.undecided = m.stage == Stage::accepting || m.stage == Stage::ending || m.stage == Stage::recalling;
    truth.accepted = m.accepted;
    truth.barred = m.tombstone;
    truth.forgotten = m.stage == Stage::idle;
    truth.alive = m.qemu_alive;
    truth.run_state = m.run_state;
    return truth;
}

}  // namespace

void Client::on(const PeerSaid& event) {
    if (lost_) return;
    std::visit(
        [this](const auto& message) {
            using T = std::decay_t<decltype(message)>;
            if constexpr (from_source<T>) {
                broken("the destination sent what only a source says");
            } else if constexpr (std::is_same_v<T, Ignored>) {
                // Said to be so.
            } else if constexpr (std::is_same_v<T, Hello> || std::is_same_v<T, Failed> || std::is_same_v<T, LogLine>) {
                on(message);
            } else {
                if (peer_) on(message);
                else broken("the destination did not greet first");
            }
        },
        event.message);
}

/// The request that this answers, if it still waits. An answer of the wrong kind ends the connection; one
/// that comes too late is nobody's.
std::optional<Client::Waiting> Client::take(RequestId request, std::initializer_list<Kind> kinds) {
    const auto found = waiting_.find(request);
    if (found == waiting_.end()) return std::nullopt;
    if (std::ranges::find(kinds, found->second.kind) == kinds.end()) {
        broken("the destination answered what was not asked");
        return std::nullopt;
    }
    const Waiting waiting = found->second;
    waiting_.erase(found);
    return waiting;
}

void Client::on(const Hello& m) {
    if (peer_) return broken("the destination greeted twice");
    if (!common_version(plan_.hello, m)) {
        return broken(fmt::format("the destination speaks versions {} to {} of the protocol, this segue {} to {}: "
                                  "update the older one", m.versions_min, m.versions_max, plan_.hello.versions_min,
                                  plan_.hello.versions_max));
    }
    peer_ = m;
    for (const Call& queued : std::exchange(queued_, {})) on(queued);
}

void Client::on(const Prepared& m) {
    if (const auto waiting = take(m.request, {Kind::inspect})) answer(waiting->call, m.facts);
}

void Client::on(const Did& m) {
    if (const auto waiting = take(m.request, {Kind::order})) answer(waiting->call, Done{});
}

void Client::on(const Listening& m) {
    if (const auto waiting = take(m.request, {Kind::listen})) {
        answer(waiting->call, DataAddress{m.host, m.port});
    }
}

void Client::on(const Connected&) { effects_.emplace_back(DataAccepted{}); }

/// Each lease is answered: that, not the connection, keeps the destination waiting for us.
void Client::on(const Lease& m) {
    if (m.n <= lease_n_) return broken("the destination's leases do not count up");
    lease_n_ = m.n;
    lease_came_at_ = now_;
    effects_.emplace_back(ToPeer{Ping{m.n}});
}

// ---- The word and its truth ------------------------------------------------------------------------

/// Also when it comes too late for its request: it is true all the same.
void Client::on(const Running& m) {
    if (!word_sent_) return broken("the destination says that it runs, but no word was sent");
    if (const auto waiting = take(m.request, {Kind::word})) answer(waiting->call, Done{});
    if (!lost_) guest_runs();
}

void Client::guest_runs() {
    if (!std::exchange(runs_, true)) effects_.emplace_back(Notice{DstResumed{}});
}

void Client::on(const Refused& m) {
    const auto waiting = take(m.request, {Kind::word, Kind::kill});
    if (!waiting) return;
    if (waiting->kind == Kind::word) {
        word_refused_ = true;
        dead_ = dead_ || m.dead;
    }
    answer(waiting->call, fail(ErrorKind::refused, "the destination refused", m.reason));
    answer_kills();
}

void Client::on(const Aborted& m) {
    const auto waiting = take(m.request, {Kind::kill});
    if (lost_) return;
    // Also when it comes too late for its request.
    dead_ = true;
    aborted_ = true;
    if (waiting) answer(waiting->call, Done{});
    answer_kills();
}

void Client::answer_kills() {
    if (!surely_dead()) return;
    std::erase_if(waiting_, [this](const auto& entry) {
        if (entry.second.kind != Kind::kill) return false;
        answer(entry.second.call, Done{});
        return true;
    });
}

void Client::on(const StatusReply& m) {
    const auto waiting = take(m.request, {Kind::run_state, Kind::truth});
    if (!waiting) return;
    if (waiting->kind == Kind::truth) answer(waiting->call, truth_of(m));
    else run_state(*waiting, m);
}

/// What the port asks is: may the guest be running there? While that is being decided there is no answer.
void Client::run_state(const Waiting& waiting, const StatusReply& m) {
    const auto say = [&](Result<GuestAnswer> value) { answer(waiting.call, std::move(value)); };
    switch (m.stage) {
        case Stage::running:
            say(m.run_state);
            if (word_sent_ && m.run_state == RunState::running) guest_runs();
            return;
        case Stage::connected:
            // A word may be on its way through its checks.
            if (!word_sent_ || word_refused_) return say(m.run_state);
            [[fallthrough]];
        case Stage::accepting:
        case Stage::accepted: again_.push_back({waiting, now_ + ask_again}); return;
        case Stage::refused:
        case Stage::aborted: return say(RunState::other);
        case Stage::ending:
            // The word is being taken back: only its own answer may say so.
            if (word_sent_ && m.accepted) again_.push_back({waiting, now_ + ask_again});
            else say(RunState::other);
            return;
        case Stage::died:
            return say(fail(ErrorKind::unavailable, "the destination's QEMU ended after it had accepted the word"));
        case Stage::greeting:
        case Stage::recalling:
        case Stage::idle:
        case Stage::orphan:
        case Stage::preparing:
        case Stage::prepared:
        case Stage::listening:
        case Stage::over: return say(m.run_state);
    }
}

void Client::on(const Failed& m) {
    if (m.request == RequestId{0}) return broken("the destination said: " + to_string(m.error));
    const auto waiting = take(m.request, {Kind::inspect, Kind::order, Kind::listen, Kind::word, Kind::run_state,
                                          Kind::kill, Kind::truth});
    if (!waiting) return;
    if (waiting->kind == Kind::inspect && !m.obstacles.empty()) return answer(waiting->call, DstObstacles{m.obstacles});
    Error error = m.error;
    // What a word has come to is known by `running` and `refused` alone.
    if (waiting->kind == Kind::word && !plan_.recovering) error.kind = ErrorKind::unavailable;
    answer(waiting->call, std::unexpected(std::move(error)));
}

// ---- News ------------------------------------------------------------------------------------------

void Client::on(const LogLine& m) { effects_.emplace_back(PeerLog{m.text}); }

void Client::on(const Died& m) {
    // Died with a guest that it owned: the source's copy is stale, so no kill is ever answered by that.
    if (!m.accepted) dead_ = true;
    answer_kills();
    // After a refused word its death is no news, but what the refusal announced. While a word is open the word's own
    // answer is on its way and says more: refused, so that the guest need not stand until somebody recovers it.
    const bool word_open = std::ranges::any_of(waiting_, [](const auto& w) { return w.second.kind == Kind::word; });
    if (m.accepted || !(word_refused_ || word_open)) effects_.emplace_back(Notice{DstDied{}});
}

void Client::on(const RunStateChanged& m) {
    if (word_sent_ && m.run_state == RunState::running) guest_runs();
}

}  // namespace segue::receive

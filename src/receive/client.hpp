#pragma once
/// \file  The source's counterpart of the session: answers the port's commands to the destination
///        (hypervisor/guest.hpp) over the protocol. Pure; the shell moves bytes and keeps `wake_at`.
///
/// What each command becomes: DstInspect `prepare`; DstClearAutostart, DstPrepare, DstPutBack their own
/// requests; DstListen `listen` with the one-time token; DstRun the `word`, quoting the newest lease (`finish`
/// in a recovering client); DstReadRunState `status`, asked again while a word is being decided; DstReadTruth
/// `status`, asked once;
/// DstKill `abort`, done as soon as QEMU was seen dead, where no word was sent.
///
/// A word that was refused is `refused`: the guest did not and will not run there. `timed_out` or
/// `unavailable` is unknown: read the truth (port rule 2).
/// Thread: none of its own; not re-entrant.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "receive/limits.hpp"
#include "receive/message.hpp"

namespace segue::receive {

enum class CallId : std::uint64_t {};

struct ClientPlan {
    Hello hello;      ///< With the move.
    Prepare prepare;  ///< Without its request id.
    Token token;
    std::uint16_t port_first = 0;
    std::uint16_t port_last = 0;
    bool recovering = false;  ///< Of a move whose first session is gone.
    std::string_view needs = {};  ///< A feature without which the destination cannot be used.
};

// ---- effects ---------------------------------------------------------------------------------------

struct ToPeer { Message message; };
struct CallAnswered { CallId id{}; Result<GuestAnswer> value; };
struct Notice { GuestNotice notice; };
/// The destination handed our data connection to its QEMU: `migrate` may be sent.
struct DataAccepted {};
struct PeerLog { std::string text; };
struct CloseConnection { std::string why; };
using ClientEffect = std::variant<ToPeer, CallAnswered, Notice, DataAccepted, PeerLog, CloseConnection>;
using ClientEffects = std::vector<ClientEffect>;

// ---- events ----------------------------------------------------------------------------------------

struct Call { CallId id{}; DstCommand command; Duration timeout{0}; };
struct PeerSaid { Message message; };
struct ConnectionLost { std::string why; };  ///< End of the stream, a fault of LineReader's, ssh's exit.
struct SayBye { std::string outcome = {}; std::string reason = {}; };  ///< As in Bye.
struct ClientTick {};
using ClientEvent = std::variant<Call, PeerSaid, ConnectionLost, SayBye, ClientTick>;

class Client {
public:
    /// \pre plan.hello.move.
    explicit Client(ClientPlan plan);

    /// Call once, before any `step`.
    [[nodiscard]] ClientEffects start(Instant now);
    [[nodiscard]] ClientEffects step(const ClientEvent& event, Instant now);
    [[nodiscard]] Instant wake_at() const { return wake_at_; }
    [[nodiscard]] bool greeted() const { return peer_.has_value(); }
    [[nodiscard]] const std::optional<Hello>& peer() const { return peer_; }
    /// No ping can keep the destination alive for longer than 2 s after this (by its own or its guardian's doing).
    [[nodiscard]] std::optional<Instant> last_lease_quoted() const { return lease_came_at_; }

private:
    enum class Kind { inspect, order, listen, word, run_state, kill, truth };
    struct Waiting {
        CallId call{};
        Kind kind{};
        Instant deadline;
    };

    void on(const Call& event);
    void on(const PeerSaid& event);
    void on(const ConnectionLost& event);
    void on(const SayBye& event);
    void on(const ClientTick& event);

    void ask(const Call& call);
    void say_word(const Call& call);
    void kill(const Call& call);
    template <class M>
    void request(M message, CallId call, Kind kind, Instant deadline);
    void answer(CallId call, Result<GuestAnswer> value);
    [[nodiscard]] std::optional<Waiting> take(RequestId request, std::initializer_list<Kind> kinds);

    void on(const Hello& m);
    void on(const Prepared& m);
    void on(const Did& m);
    void on(const Listening& m);
    void on(const Connected& m);
    void on(const Lease& m);
    void on(const Running& m);
    void on(const Refused& m);
    void on(const Aborted& m);
    void on(const StatusReply& m);
    void on(const Failed& m);
    void on(const LogLine& m);
    void on(const Died& m);
    void on(const RunStateChanged& m);

    void run_state(const Waiting& waiting, const StatusReply& m);
    void guest_runs();
    void answer_kills();
    void broken(const std::string& why);
    void lose(const std::string& why);
    [[nodiscard]] bool surely_dead() const;
    void time_out();
    void set_wake();

    ClientPlan plan_;
    Instant now_;
    Instant wake_at_;
    ClientEffects effects_;
    std::optional<Hello> peer_;
    Instant greet_by_;
    bool lost_ = false;
    std::uint64_t next_request_ = 1;
    std::map<RequestId, Waiting> waiting_;
    std::deque<Call> queued_;  ///< Before the greeting.
    struct Again {
        Waiting waiting;
        Instant at;
    };
    std::vector<Again> again_;  ///< Run states to be asked again: a word is being decided.

    std::uint64_t lease_n_ = 0;
    std::optional<Instant> lease_came_at_;
    bool word_sent_ = false;
    bool word_refused_ = false;
    bool runs_ = false;
    bool dead_ = false;     ///< Its QEMU was seen dead, and no word had been accepted or it was taken back.
    bool aborted_ = false;  ///< Tombstone durable and its QEMU dead.
};

}  // namespace segue::receive

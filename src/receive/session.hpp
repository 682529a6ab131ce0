#pragma once
/// \file  The destination's side of one move: a state machine in which time is an argument.
///
/// It owns these invariants: `cont` is never sent before `accepted` is durable; never after the tombstone was
/// decided; a word is accepted once, on a lease that this side sent at most 300 ms ago by its own clock;
/// what was not accepted is dead within 2 s of the source's last sign of life; what was accepted is never
/// killed, but after a `cont` that was refused. docs/receive-protocol.md has the stages and messages.
///
/// Thread: none of its own; not re-entrant. Errors: none; what the world does wrong are events.
/// Where to read: requests in session_requests.cpp, the word in session_word.cpp, the end in
/// session_end.cpp, time and plumbing in session.cpp.

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "receive/limits.hpp"
#include "receive/session_event.hpp"

namespace segue::receive {

/// What only tests set otherwise.
struct SessionRules {
    Duration lease_fresh = receive::lease_fresh;
};

class Session {
public:
    /// `ours` without a move.
    explicit Session(Hello ours, SessionRules rules = {});

    /// The first step is a `Tick`, when the connection stands.
    [[nodiscard]] SessionEffects step(const SessionEvent& event, Instant now);
    /// When to call `step(Tick{})` next, if no event comes before.
    [[nodiscard]] Instant wake_at() const { return wake_at_; }
    [[nodiscard]] Stage stage() const { return stage_; }

private:
    using OnQemu = void (Session::*)(const Result<GuestAnswer>&);

    // ---- plumbing and time (session.cpp)
    void on(const FromPeer& event);
    void on(const PeerGone& event);
    void on(const Recalled& event);
    void on(const QemuReady& event);
    void on(const QemuAnswer& event);
    void on(const GuestNotice& event);
    void on(const ListenerOpen& event);
    void on(const DataConnected& event);
    void on(const StrangerRefused& event);
    void on(const Written& event);
    void on(const Claimed& event);
    void on(const GuardianGone& event);
    void on(const StopRequested& event);
    void on(const Tick& event);
    void send(Message message);
    void log(std::string line);
    void fail_request(RequestId request, ErrorKind kind, std::string message, std::string source = {});
    void ask_qemu(DstCommand command, Duration timeout, OnQemu handler);
    void note_guardian() { effects_.emplace_back(Note{ours_ && !guest_claimed_, alive_at_}); }
    void start_leases();
    void send_lease();
    void check_silence();
    void set_wake();
    void maybe_exit();
    void close_control(const std::string& why);
    void leave_or_end(const std::string& why);
    void note_end(const std::string& why);
    [[nodiscard]] HowEnded how_ended() const;
    [[nodiscard]] bool waits_for_word() const;

    // ---- requests (session_requests.cpp)
    void on(const Hello& m);
    void greet(Stage stage);
    void on_recalled_state(const Result<GuestAnswer>& answer);
    void on(const Prepare& m);
    void on_begun_written(const Result<void>& durable);
    void on_facts(const Result<GuestAnswer>& answer);
    void order(RequestId request, DstCommand command);
    void on_ordered(const Result<GuestAnswer>& answer);
    void on(const ClearAutostart& m);
    void on(const Settings& m);
    void on(const PutBack& m);
    void on(const Listen& m);
    void on_listen_state(const Result<GuestAnswer>& answer);
    void on(const Ping& m);
    void on(const Status& m);
    void on_status_state(const Result<GuestAnswer>& answer);
    void reply_status(RunState state);
    void on(const Bye& m);

    // ---- the word (session_word.cpp)
    void on(const Word& m);
    void on(const Finish& m);
    void on_finish_state(const Result<GuestAnswer>& answer);
    void refuse_word(std::string reason);
    [[nodiscard]] std::optional<std::string> lease_fault(std::uint64_t n) const;
    void on_word_state(const Result<GuestAnswer>& answer);
    void on_accepted_written(const Result<void>& durable);
    void continue_guest();
    void on_continued(const Result<GuestAnswer>& answer);
    void read_truth();
    void on_truth(const Result<GuestAnswer>& answer);
    void runs();
    void take_back(std::string why);

    // ---- the end (session_end.cpp)
    void on(const Abort& m);
    void end(std::string why);
    [[nodiscard]] bool record_first() const;
    void kill();
    void on_killed(const Result<GuestAnswer>& answer);
    void qemu_died();
    void write_tombstone();
    void on_tombstone_written(const Result<void>& durable);
    void maybe_ended();

    enum class Tombstone { none, writing, durable, failed };
    enum class ContAnswer { not_sent, waiting, taken, refused, unknown };

    Hello ours_hello_;
    SessionRules rules_;
    Stage stage_ = Stage::greeting;
    Instant now_;
    Instant wake_at_;
    SessionEffects effects_;
    std::uint64_t next_command_ = 1;
    std::map<QemuCommandId, OnQemu> pending_;
    bool peer_gone_ = false;
    std::optional<Instant> heard_at_;  ///< Any message; from the first step on.
    std::size_t logged_ = 0;
    bool leaving_ = false;  ///< Nothing more will be asked: exit as soon as nothing is left to do.
    std::optional<Bye> farewell_;
    std::string why_ended_;  ///< What ended it before the source said so itself.

    // Its QEMU.
    Recalled recalled_;
    Prepare prepare_;
    bool have_qemu_ = false;    ///< Attached or started, and not seen dead.
    bool ready_waits_ = false;  ///< StartQemu or AttachQemu is unanswered.
    bool prepare_waits_ = false;  ///< `prepare` is unanswered, its QEMU not there yet.
    bool started_ = false;      ///< By us, or being so: it never outlives the move unaccepted.
    bool ours_ = false;         ///< Started or changed by us, so ours to kill.
    bool dead_ = false;
    bool autostart_cleared_ = false;
    bool settings_made_ = false;
    std::optional<RequestId> order_;
    bool putting_back_ = false;
    std::optional<RequestId> put_back_waits_;  ///< Asked for while an order is unanswered: it follows that one.
    std::optional<Listen> listen_;
    bool listened_ = false;  ///< At any time: it was no dry run.
    std::vector<RequestId> status_;

    // Leases.
    bool leasing_ = false;  ///< From `prepared` on; afterwards they are a sign of life only.
    std::uint64_t lease_n_ = 0;
    std::deque<Instant> sent_;  ///< When the newest leases were sent; the last is `lease_n_`.
    Instant next_lease_;
    Instant alive_at_;  ///< Sending of the newest lease that the source has quoted.

    // The word.
    std::optional<RequestId> word_;  ///< Unanswered; a `finish` too.
    std::uint64_t word_n_ = 0;
    bool word_spent_ = false;
    bool guest_claimed_ = false;
    bool accepted_ = false;  ///< Durable, now or in an earlier session.
    bool recorded_accepted_ = false;  ///< Whoever comes after us may find it: durable, or nobody knows.
    ContAnswer cont_ = ContAnswer::not_sent;
    bool monitor_lost_ = false;
    bool guardian_gone_ = false;
    std::optional<Instant> read_again_at_;

    // The end.
    bool taking_back_ = false;
    bool killing_ = false;  ///< DstKill is unanswered.
    std::optional<Instant> kill_again_at_;
    Tombstone tombstone_ = Tombstone::none;
    std::vector<RequestId> aborts_;  ///< Unanswered.
};

}  // namespace segue::receive

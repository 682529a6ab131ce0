#include "app/guard/guardian.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "app/guard/os.hpp"
#include "base/fault_point.hpp"

namespace segue::guard {
namespace {

using std::chrono::milliseconds;

/// A monitor of our own greets within a millisecond; past this, somebody else holds it.
constexpr Duration greeting_wait = std::chrono::seconds{1};
constexpr int calibration_rounds = 20;
constexpr Duration calibration_timer = milliseconds{2};
constexpr Duration calibration_answer_wait = milliseconds{200};
/// Between two tries to get (back) into a monitor's queue; each costs one connect.
constexpr Duration reconnect_wait = milliseconds{100};
constexpr int control_messages_max = 64;
/// A brake that Segue may have set again since it was let go.
constexpr Duration brake_looked_after_every = milliseconds{100};

}  // namespace

bool Guardian::open_timer() noexcept {
    timer_ = ::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return timer_ >= 0;
}

void Guardian::set_timer(Instant at) noexcept {
    const std::int64_t ns = std::max<std::int64_t>(at.since_boot.count(), 1);
    itimerspec spec{};
    spec.it_value = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    static_cast<void>(::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr));
}

Duration Guardian::timer_lateness() noexcept {
    const Instant due = now() + calibration_timer;
    set_timer(due);
    static_cast<void>(wait_readable(timer_, std::chrono::seconds{1}));
    return now() - due;
}

void Guardian::connect() noexcept {
    if (held_.guard_monitor != nullptr) {
        monitor_.connect(held_.guard_monitor);
        const Instant until = now() + greeting_wait;
        while (!monitor_.ready() && monitor_.fd() >= 0 && now() < until) monitor_.pump_until(until);
        if (monitor_.ready()) return;
    }
    // Into the queue behind Segue: greeted as soon as it is gone.
    monitor_.connect(held_.src_monitor);
}

void Guardian::calibrate() noexcept {
    Duration lateness{0};
    for (int round = 0; round < calibration_rounds; ++round) {
        lateness = std::max(lateness, timer_lateness());
    }
    board_.lateness_worst_ns.store(lateness.count());
    Duration round_trip{0};
    for (int round = 0; round < calibration_rounds && monitor_.out_of_band(); ++round) {
        const Instant sent = now();
        const std::uint64_t id = monitor_.send(R"("exec-oob":"query-yank"})");
        static_cast<void>(monitor_.await(id, sent + calibration_answer_wait));
        round_trip = std::max(round_trip, now() - sent);
    }
    board_.round_trip_worst_ns.store(round_trip.count());
}

View Guardian::look() noexcept {
    const bool own = monitor_.ready();
    board_.own_monitor.store(own ? 1 : 0);
    View view;
    view.verdict = static_cast<Verdict>(board_.verdict.load());
    view.stage = static_cast<Stage>(board_.stage.load());
    view.ran_at = {Duration{board_.ran_at_ns.load()}};
    view.budget = Duration{board_.budget_ns.load()};
    view.segue_alive = !segue_dead();
    view.own_monitor = own;
    view.source_runs = board_.source_runs.load() != 0 || outcome_ == Outcome::rolled_back;
    view.stood_before = board_.stood_before.load() != 0;
    view.stop_seen_at = monitor_.stop_seen_at();
    view.now = now();  // Last: a deadline that has passed by now has passed.
    return view;
}

int Guardian::run() noexcept {
    if (!open_timer()) return 1;
    connect();
    calibrate();
    set_state(GuardState::watching);
    notify('W');
    SEGUE_FAULT_POINT("guard:setup");
    while (true) {
        const View view = look();
        const Instant brake_at = look_after_brake(view);
        const Advice advice = advise(view);
        pass_fault_points();
        switch (advice.action) {
            case Action::leave: return 0;
            case Action::put_back: return end_before_start();
            case Action::wait: wait(std::min(advice.wake_at, brake_at)); break;
            case Action::roll_back:
                brake_.lift();
                if (outcome_ == Outcome::none) roll_back(advice.reason);
                if (segue_dead() && static_cast<Verdict>(board_.verdict.load()) != Verdict::word) {
                    return end_alone();
                }
                // Failed with Segue alive: it knows; what is left to see is its end.
                if (outcome_ == Outcome::failed) wait(now() + no_deadline);
                break;
        }
    }
}

void Guardian::wait(Instant until) noexcept {
    if (monitor_.link() == Link::closed) {
        until = std::min(until, now() + reconnect_wait);
        // Our own if it lets us in again, else the queue.
        const bool own = held_.guard_monitor != nullptr && (try_own_ = !try_own_);
        monitor_.connect(own ? held_.guard_monitor : held_.src_monitor);
    }
    set_timer(until);
    // A negative descriptor is passed over by poll.
    std::array<pollfd, 4> entries{{{timer_, POLLIN, 0},
                                   {control_open_ ? held_.control : -1, POLLIN, 0},
                                   {segue_dead_ ? -1 : held_.segue, POLLIN, 0},
                                   {monitor_.fd(), POLLIN, 0}}};
    if (::ppoll(entries.data(), entries.size(), nullptr, nullptr) <= 0) return;
    if (entries[1].revents != 0) take_control();
    if (entries[3].revents != 0) monitor_.pump();
}

void Guardian::take_control() noexcept {
    for (int count = 0; count < control_messages_max && control_open_; ++count) {
        char bytes[1 + BrakeHold::words_max];
        iovec part{bytes, sizeof bytes};
        int fds[2] = {-1, -1};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)];
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        const ssize_t length = ::recvmsg(held_.control, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (length <= 0) {
            control_open_ = false;  // Not death: that is the pidfd's to say.
            return;
        }
        const cmsghdr* rights = CMSG_FIRSTHDR(&header);
        if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
            std::memcpy(fds, CMSG_DATA(rights), std::min<std::size_t>(rights->cmsg_len - CMSG_LEN(0), sizeof fds));
        }
        take_message(bytes[0], {bytes + 1, static_cast<std::size_t>(length) - 1}, fds[0], fds[1]);
    }
}

void Guardian::take_message(char kind, std::string_view text, int first, int second) noexcept {
    if (kind == 'F' && brake_.take(text, first, second)) return;
    if (second >= 0) ::close(second);
    if (kind == 'S' && first >= 0) {
        if (held_.stream >= 0) ::close(held_.stream);
        held_.stream = first;
        // It came after the decision: it must not live.
        if (outcome_ != Outcome::none) rescue_.cut_stream();
        return;
    }
    if (first >= 0) ::close(first);
}

Instant Guardian::look_after_brake(const View& view) noexcept {
    const Instant deadline = brake_deadline(view);
    if (deadline > view.now) return brake_.empty() ? view.now + no_deadline : deadline;
    // Its groups may still lie in the control socket.
    if (control_open_) take_control();
    brake_.lift();
    // A Segue that lives may set it again at any time, and says so to nobody.
    const bool may_return = view.segue_alive && view.verdict == Verdict::open && view.stage < Stage::undoing;
    return view.now + (may_return && !brake_.empty() ? brake_looked_after_every : no_deadline);
}

void Guardian::pass_fault_points() noexcept {
    switch (static_cast<Stage>(board_.stage.load())) {
        case Stage::copying:
            if (board_.pass.load() >= 1) SEGUE_FAULT_POINT("guard:pass-1");
            if (board_.pass.load() >= 3) SEGUE_FAULT_POINT("guard:pass-3");
            return;
        case Stage::switching: SEGUE_FAULT_POINT("guard:switching"); return;
        case Stage::held: SEGUE_FAULT_POINT("guard:held"); return;
        case Stage::continued: SEGUE_FAULT_POINT("guard:continued"); return;
        case Stage::loaded: SEGUE_FAULT_POINT("guard:loaded"); return;
        case Stage::idle:
        case Stage::undoing:
        case Stage::over: return;
    }
}

bool Guardian::segue_dead() noexcept {
    segue_dead_ = segue_dead_ || is_dead(held_.segue);
    return segue_dead_;
}

void Guardian::set_state(GuardState state) noexcept {
    board_.guard_state.store(static_cast<std::uint32_t>(state));
}

void Guardian::notify(char message) noexcept {
    static_cast<void>(::send(held_.control, &message, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

void Guardian::roll_back(RollbackReason reason) noexcept {
    if (!claim_rollback(board_)) return;  // The word was faster: nothing is ours to touch any more.
    board_.rollback_reason.store(static_cast<std::uint32_t>(reason));
    set_state(GuardState::rolling_back);
    // The stream may still lie in the control socket: Segue sends it just before `copying`.
    if (control_open_) take_control();
    monitor_.pump();
    if (!monitor_.ready() && !segue_dead() && rely_on_segue()) return finish_rollback(true);
    finish_rollback(rescue_.bring_back());
}

/// Segue holds the only monitor. It gets the chance to use it; if it shows no life, it loses it.
bool Guardian::rely_on_segue() noexcept {
    rescue_.cut_stream();
    set_state(GuardState::needs_help);
    notify('H');
    const Instant begun = now();
    while (!segue_dead()) {
        if (board_.source_runs.load() != 0) return true;
        const Instant until = leave_it_to_segue_until(begun, static_cast<Stage>(board_.stage.load()),
                                                      {Duration{board_.undoing_at_ns.load()}});
        if (now() >= until) break;
        set_timer(std::min(until, now() + milliseconds{1}));
        std::array<pollfd, 3> entries{{{timer_, POLLIN, 0},
                                       {control_open_ ? held_.control : -1, POLLIN, 0},
                                       {held_.segue, POLLIN, 0}}};
        static_cast<void>(::ppoll(entries.data(), entries.size(), nullptr, nullptr));
        if (entries[1].revents != 0) take_control();
    }
    set_state(GuardState::rolling_back);
    static_cast<void>(kill_and_wait(held_.segue, milliseconds{100}));
    brake_.lift();  // What it may have set meanwhile.
    return false;
}

void Guardian::finish_rollback(bool runs) noexcept {
    outcome_ = runs ? Outcome::rolled_back : Outcome::failed;
    if (runs) board_.resumed_at_ns.store(monitor_.resume_seen_at().value_or(now()).since_boot.count());
    set_state(runs ? GuardState::rolled_back : GuardState::failed);
    notify('B');
    // A stalled Segue would leave the switches believing the destination. A live one does it again.
    if (runs && !segue_dead() && monitor_.ready()) rescue_.announce();
}

int Guardian::end_before_start() noexcept {
    brake_.remove();
    const bool done = rescue_.put_back();
    Line line;
    line << "segue-guard: Segue died before the migration began; the guest was never stopped and runs on "
            "the source";
    if (!done) line << "; " << rescue_.trouble();
    line << ". The move can be tried again.\n";
    tell(line);
    return done ? 0 : 1;
}

int Guardian::end_alone() noexcept {
    // The switches first: moving threads between groups takes the kernel tens of milliseconds each.
    if (outcome_ == Outcome::rolled_back && monitor_.ready()) rescue_.announce();
    brake_.remove();
    if (outcome_ != Outcome::rolled_back) {
        set_state(GuardState::failed);
        Line line;
        line << "segue-guard: the move was interrupted and the guest could NOT be continued on the source: "
             << rescue_.trouble()
             << ". It is continued nowhere; the destination was "
             << (rescue_.dst_killed() ? "killed" : "left as it is")
             << ". Look at the source QEMU (query-status) and continue it there.\n";
        tell(line);
        return 1;
    }
    const bool clean = rescue_.clean_up();
    const auto reason = static_cast<RollbackReason>(board_.rollback_reason.load());
    const std::int64_t stood =
        (Duration{board_.resumed_at_ns.load() - board_.ran_at_ns.load()}) / milliseconds{1};
    Line line;
    line << "segue-guard: rolled back at stage " << to_string(static_cast<Stage>(board_.stage.load()))
         << " (" << to_string(reason) << "); the guest runs on the source";
    if (rescue_.guest_stood()) line << ", " << stood << " ms after it was last seen running";
    if (rescue_.dst_killed()) line << "; the destination was killed";
    if (!clean) line << "; " << rescue_.trouble();
    line << ". Start the destination's QEMU afresh before trying again.\n";
    tell(line);
    return clean ? 0 : 1;
}

}  // namespace segue::guard

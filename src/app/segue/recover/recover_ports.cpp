#include "app/segue/recover/recover_ports.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <utility>

#include "app/segue/destination/remote_dst.hpp"
#include "brake/cgroup/undo.hpp"
#include "io/fd.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

/// A guardian that is greeted when its segue dies rolls back and leaves within a second; a QEMU that sends the last
/// of its stream answers nobody meanwhile.
constexpr Duration source_patience = std::chrono::seconds{20};
constexpr Duration open_again = std::chrono::milliseconds{250};

/// What connecting to the socket says: 0, or errno.
int probe(const std::string& path) {
    sockaddr_un address{};
    if (path.empty() || path.size() >= sizeof address.sun_path) return EINVAL;
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return errno;
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

/// Its process at the time of `at`; another one may have its number by now.
bool process_gone(std::int64_t pid, const JournalStamp& at) {
    if (::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) return true;
    const MoveOwner now = process_of(pid);
    return now.start_ticks != 0 && started_at(now) > at.since_boot;
}

}  // namespace

std::string monitor_path(const std::string& place) {
    constexpr std::string_view scheme = "qmp:";
    return place.starts_with(scheme) ? place.substr(scheme.size()) : place;
}

std::int64_t recorded_source_pid(const MoveRecord& record) {
    for (const MoveStep& step : record.steps) {
        const auto text = detail_text(step.detail, "src_pid");
        std::int64_t pid = 0;
        if (text) std::from_chars(text->data(), text->data() + text->size(), pid);
        if (pid > 0) return pid;
    }
    return 0;
}

OnSuccess on_success_of(const MoveRecord& record, std::string command) {
    const NewMove& move = record.move;
    return {std::move(command), static_cast<std::int64_t>(record.job), move.vm,
            monitor_path(move.src.monitor), move.dst.host, recorded_source_pid(record)};
}

Result<void> undo_recorded_brake(const MoveRecord& record) {
    Result<void> done;
    for (const MoveStep& step : record.steps) {
        const auto line = detail_text(step.detail, "brake");
        if (!line) continue;
        if (auto undone = undo_brake(*line); !undone) done = undone;
    }
    return done;
}

bool qemu_is_gone(const MoveRecord& record, const std::string& path, std::int64_t pid) {
    const JournalStamp& last = record.steps.back().at;
    if (last.boot_id != boot_id_of_this_host()) return true;
    const int error = probe(path);
    if (error == ECONNREFUSED) return true;
    return error == ENOENT && pid > 0 && process_gone(pid, last);
}

// ---- The source ------------------------------------------------------------------------------------

SourceOpener::SourceOpener(Loop& loop, const MoveRecord& record, std::function<void(Opened)> on_opened,
                           OnNotice on_notice)
    : loop_(loop),
      record_(record),
      path_(monitor_path(record.move.src.monitor)),
      on_opened_(std::move(on_opened)),
      on_notice_(std::move(on_notice)),
      give_up_at_(loop.now() + source_patience) {
    loop_.post([this, token = std::weak_ptr(alive_)] {
        if (!token.expired()) open();
    });
}

SourceOpener::~SourceOpener() = default;

void SourceOpener::open() {
    if (qemu_is_gone(record_, path_, recorded_source_pid(record_))) return tell({nullptr, true, {}});
    guest_ = std::make_unique<qemu::SrcGuest>(
        loop_, path_, [this](const Result<void>& ready) { on_ready(ready); },
        [this](const GuestNotice& notice) {
            if (!guest_) on_notice_(notice);  // Handed over.
        });
}

void SourceOpener::on_ready(const Result<void>& ready) {
    if (ready) return tell({std::move(guest_), false, {}});
    const std::string trouble = to_string(ready.error());
    // Not from inside of its own callback.
    loop_.at(loop_.now() + open_again, [this, trouble, token = std::weak_ptr(alive_)] {
        if (token.expired()) return;
        guest_.reset();
        if (loop_.now() < give_up_at_) return open();
        tell({nullptr, false, trouble});
    });
}

void SourceOpener::tell(Opened opened) { std::exchange(on_opened_, nullptr)(std::move(opened)); }

// ---- The destination -------------------------------------------------------------------------------

LateDst::LateDst(Loop& loop, const MoveRecord& record, const std::string& segue_version,
                 std::function<void(const GuestNotice&)> on_notice, std::function<void(const std::string&)> on_note)
    : loop_(loop), record_(record) {
    DstPortCallbacks told;
    told.on_ready = [this](const std::expected<void, Finding>& ready) { on_ready(ready); };
    told.on_notice = std::move(on_notice);
    told.on_note = std::move(on_note);
    if (record_.move.transport.empty()) {
        open_near(std::move(told));
    } else {
        open_far(segue_version, std::move(told));
    }
}

LateDst::~LateDst() {
    for (const Waiting& waiting : waiting_) loop_.cancel(waiting.timer);
}

void LateDst::open_near(DstPortCallbacks told) {
    const std::string path = monitor_path(record_.move.dst.monitor);
    if (qemu_is_gone(record_, path, 0)) return settle(State::gone);
    port_ = make_local_dst(loop_, path, std::move(told));
}

void LateDst::open_far(const std::string& segue_version, DstPortCallbacks told) {
    const auto host = parse_dst_host(record_.move.transport);
    if (!host) {
        trouble_ = to_string(host.error());
        return settle(State::unreachable);
    }
    receive::ClientPlan plan;
    plan.hello = our_hello(segue_version, receive::MoveId{to_string(record_.move.id)});
    plan.recovering = true;
    port_ = make_remote_dst(loop_, *host, std::move(plan), std::move(told));
}

void LateDst::on_ready(const std::expected<void, Finding>& ready) {
    if (ready) return settle(State::open);
    trouble_ = ready.error().what;
    const bool near = record_.move.transport.empty();
    settle(near && qemu_is_gone(record_, monitor_path(record_.move.dst.monitor), 0) ? State::gone : State::unreachable);
}

void LateDst::settle(State state) {
    state_ = state;
    for (Waiting& waiting : std::exchange(waiting_, {})) {
        loop_.cancel(waiting.timer);
        submit(waiting.command, std::max(waiting.deadline - loop_.now(), Duration{0}), std::move(waiting.on_answer));
    }
}

void LateDst::submit(const DstCommand& command, Duration timeout, DstPort::OnAnswer on_answer) {
    if (state_ == State::open) return port_->submit(command, timeout, std::move(on_answer));
    if (state_ != State::opening) return answer_soon(std::move(on_answer), answer_without(command));
    const auto at = waiting_.insert(waiting_.end(), {command, loop_.now() + timeout, std::move(on_answer), {}});
    at->timer = loop_.at(at->deadline, [this, at] {
        const auto late = std::move(at->on_answer);
        waiting_.erase(at);
        late(fail(ErrorKind::timed_out, "it could not be reached in time"));
    });
}

void LateDst::answer_soon(DstPort::OnAnswer on_answer, Result<GuestAnswer> value) {
    loop_.post([on_answer = std::move(on_answer), value = std::move(value), token = std::weak_ptr(alive_)] {
        if (!token.expired()) on_answer(value);
    });
}

Result<GuestAnswer> LateDst::answer_without(const DstCommand& command) const {
    if (state_ == State::gone && std::holds_alternative<DstReadTruth>(command)) return GuestAnswer(DstTruth{});
    if (state_ == State::gone && std::holds_alternative<DstKill>(command)) return GuestAnswer(Done{});
    if (state_ == State::gone) return fail(ErrorKind::unavailable, "its QEMU is gone");
    return fail(ErrorKind::unavailable, trouble_);
}

}  // namespace segue

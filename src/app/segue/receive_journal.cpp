#include "app/segue/receive_journal.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "io/fd.hpp"
#include "store/sqlite/journal_thread.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

namespace json = boost::json;

constexpr int older_session_stop_ms = 3000;
constexpr int older_session_kill_ms = 1000;
constexpr int listener_tries_max = 100;
constexpr int listener_retry_ms = 5;
constexpr pid_t listener_unknown = -1;
/// What the guardian of a session that has died needs to end its QEMU.
constexpr Duration guardian_kill_max = std::chrono::milliseconds{300};
constexpr Duration look_again = std::chrono::milliseconds{5};

bool has(const MoveRecord& record, StepKind kind) {
    return std::ranges::any_of(record.steps, [kind](const MoveStep& step) { return step.kind == kind; });
}

/// What the steps say of where the move's QEMU is; later ones win.
struct WhereQemu {
    std::string monitor;
    MoveOwner process;  ///< pid 0 while it is not known.
};

WhereQemu where_qemu(const MoveRecord& record) {
    WhereQemu found;
    for (const MoveStep& step : record.steps) {
        json::error_code error;
        const json::value detail = json::parse(step.detail, error);
        if (error || !detail.is_object()) continue;
        const auto* monitor = detail.get_object().if_contains("monitor");
        if (monitor != nullptr && monitor->is_string()) found.monitor = std::string(monitor->get_string());
        const auto* pid = detail.get_object().if_contains("qemu_pid");
        const auto* ticks = detail.get_object().if_contains("qemu_start_ticks");
        if (pid == nullptr || ticks == nullptr) continue;
        found.process = {pid->to_number<std::int64_t>(error), ticks->to_number<std::uint64_t>(error), step.at.boot_id};
    }
    return found;
}

Instant started_at(std::uint64_t ticks) {
    const auto per_second = static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
    return {std::chrono::nanoseconds{static_cast<std::int64_t>(ticks * (1'000'000'000U / per_second))}};
}

/// Before its pid was written down only a QEMU that was started for this move can be told from any other: it
/// listens where this move's monitor is, and is younger than the record.
bool started_for(const MoveRecord& record, const std::string& monitor) {
    const pid_t pid = listener_on(monitor);
    // Somebody is there: better an orphan that must be ended than a guest that is taken for dead.
    if (pid == listener_unknown) return true;
    if (pid <= 0 || record.steps.front().at.boot_id != boot_id_of_this_host()) return false;
    const std::uint64_t ticks = start_ticks_of(pid);
    constexpr Duration tick = std::chrono::milliseconds{10};
    return ticks != 0 && started_at(ticks) + tick >= record.steps.front().at.since_boot;
}

bool qemu_alive(const MoveRecord& record, const WhereQemu& qemu) {
    if (qemu.process.pid == 0) return !qemu.monitor.empty() && started_for(record, qemu.monitor);
    return look_for(qemu.process) != Liveness::gone;
}

/// On the journal's thread. A session that is told to stop ends what it may end first.
void end_older_session(const MoveOwner& owner) {
    const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(owner.pid), 0U)));
    // Alive after the pidfd was opened: then the pidfd is this process's.
    if (!pidfd || look_for(owner) != Liveness::alive) return;
    pollfd end{pidfd.get(), POLLIN, 0};
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGTERM, nullptr, 0U);
    if (::poll(&end, 1, older_session_stop_ms) > 0) return;
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0U);
    ::poll(&end, 1, older_session_kill_ms);
}

receive::Recalled recalled_from(const MoveRecord& record) {
    receive::Recalled known;
    known.begun = true;
    known.accepted = has(record, StepKind::dst_accepted);
    known.ran = has(record, StepKind::dst_running);
    // A closed record takes no `accepted` any more either.
    known.tombstone = has(record, StepKind::dst_tombstone) || has(record, StepKind::dst_refused) ||
                      (record.ended && !known.accepted);
    const WhereQemu qemu = where_qemu(record);
    known.monitor = qemu.monitor;
    known.qemu_alive = qemu_alive(record, qemu);
    const Instant until = now_on_this_host() + guardian_kill_max;
    while (known.qemu_alive && !known.accepted && now_on_this_host() < until) {
        std::this_thread::sleep_for(look_again);
        known.qemu_alive = qemu_alive(record, qemu);
    }
    return known;
}

}  // namespace

std::uint64_t start_ticks_of(pid_t pid) {
    const Fd file(::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 1024> bytes{};
    const ssize_t count = file ? ::read(file.get(), bytes.data(), bytes.size()) : 0;
    std::string_view rest(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    // The name may hold anything: fields are counted behind the last ')', from the third one on.
    rest.remove_prefix(std::min(rest.rfind(')') + 1, rest.size()));
    constexpr int blanks_before_start = 20;
    for (int i = 0; i < blanks_before_start && !rest.empty(); ++i) {
        rest.remove_prefix(std::min(rest.find(' ') + 1, rest.size()));
        if (rest.find(' ') == std::string_view::npos) return 0;
    }
    std::uint64_t ticks = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
    return ticks;
}

pid_t listener_on(const std::string& path) {
    sockaddr_un address{};
    if (path.empty() || path.size() >= sizeof address.sun_path) return 0;
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    if (!socket) return 0;
    // A monitor whose holder has just died may not have room in its queue for a moment.
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    for (int tries = 0; ::connect(socket.get(), where, sizeof address) != 0; ++tries) {
        if (errno != EAGAIN) return 0;
        if (tries == listener_tries_max) return listener_unknown;
        ::poll(nullptr, 0, listener_retry_ms);
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

struct ReceiveJournal::Impl {
    /// Used by requests only, which run one after another on the journal's thread.
    struct OnThread {
        MoveOwner self;
        std::optional<JobId> job;
        NewMove move;
        MoveOwner left_qemu;  ///< Read by the loop only when `recall` has been answered.
    };

    std::shared_ptr<OnThread> on_thread = std::make_shared<OnThread>();
    std::string monitor;
    MoveOwner left_qemu;
    pid_t qemu_pid = 0;
    std::uint64_t qemu_ticks = 0;
    std::unique_ptr<JournalThread> thread;

    [[nodiscard]] MoveStep step(StepKind kind) const {
        json::object detail;
        if (!monitor.empty()) detail["monitor"] = monitor;
        if (qemu_pid > 0) {
            detail["qemu_pid"] = qemu_pid;
            detail["qemu_start_ticks"] = qemu_ticks;
        }
        return {kind, stamp_now(), json::serialize(detail)};
    }

    static Result<receive::Recalled> recall(Journal& journal, OnThread& state) {
        SEGUE_TRY(found, journal.find(state.move.id, MoveRole::destination));
        if (!found) return receive::Recalled{};
        end_older_session(found->move.owner);
        SEGUE_TRY(record, journal.load(found->job));
        if (!record.ended) {
            if (auto taken = journal.take_over(record.job, record.move.owner, state.self); !taken) {
                return std::unexpected(taken.error());
            }
        }
        state.job = record.job;
        state.left_qemu = where_qemu(record).process;
        return recalled_from(record);
    }

    static Result<void> begin(Journal& journal, OnThread& state, const MoveStep& first, const std::string& monitor) {
        if (!state.job) {
            state.move.dst.monitor = "qmp:" + monitor;
            SEGUE_TRY(job, journal.create(state.move, first));
            state.job = job;
            return {};
        }
        // A second `prepare` of a move: its record is there. Another monitor would not be found again.
        SEGUE_TRY(record, journal.load(*state.job));
        if (where_qemu(record).monitor == monitor) return {};
        return fail(ErrorKind::conflict, "this move was prepared with another monitor: begin a new move");
    }

    static Result<void> bury(Journal& journal, OnThread& state, MoveStep step) {
        if (!state.job) {
            if (auto begun = begin(journal, state, {StepKind::dst_prepared, step.at, "{}"}, {}); !begun) return begun;
        }
        auto written = journal.append(*state.job, state.self, step, Durability::durable);
        if (written || written.error().kind != ErrorKind::conflict) return written;
        SEGUE_TRY(record, journal.load(*state.job));
        if (has(record, StepKind::dst_tombstone) || has(record, StepKind::dst_refused)) return {};
        if (!has(record, StepKind::dst_accepted)) return written;
        step.kind = StepKind::dst_refused;
        return journal.append(*state.job, state.self, step, Durability::durable);
    }

    static Result<void> finish(Journal& journal, OnThread& state, const JournalStamp& at, int exit_status) {
        if (!state.job) return {};
        SEGUE_TRY(record, journal.load(*state.job));
        if (record.ended) return {};
        const bool ran = has(record, StepKind::dst_running);
        const bool undone = has(record, StepKind::dst_tombstone) || has(record, StepKind::dst_refused);
        const bool untouched = !has(record, StepKind::dst_listening) && !qemu_alive(record, where_qemu(record));
        if (!ran && !undone && !untouched) return {};
        MoveEnding ending;
        ending.outcome = ran ? "moved" : untouched && !undone ? "planned" : "failed";
        ending.exit_status = exit_status;
        ending.guest_on = ran ? "destination" : "source";
        ending.total = at.wall - record.started;
        return journal.close(*state.job, state.self, ending, at);
    }
};

ReceiveJournal::ReceiveJournal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReceiveJournal::~ReceiveJournal() = default;

Result<std::unique_ptr<ReceiveJournal>> ReceiveJournal::open(Loop& loop, const std::string& state_folder) {
    auto impl = std::make_unique<Impl>();
    SEGUE_TRY(self, this_process());
    SEGUE_TRY(journal, open_journal(journal_path(state_folder)));
    impl->on_thread->self = self;
    impl->thread = std::make_unique<JournalThread>(loop, std::move(journal));
    return std::unique_ptr<ReceiveJournal>(new ReceiveJournal(std::move(impl)));
}

void ReceiveJournal::recall(const receive::MoveId& move, std::string src_host, OnRecalled on_recalled) {
    const auto id = parse_move_id(move.hex);
    SEGUE_ASSERT(id.has_value());  // The codec let nothing else in.
    NewMove& record = impl_->on_thread->move;  // No request is under way yet.
    record.id = *id;
    record.role = MoveRole::destination;
    record.src.host = std::move(src_host);
    record.transport = "stdio";
    record.owner = impl_->on_thread->self;
    impl_->thread->ask<receive::Recalled>(
        [state = impl_->on_thread](Journal& journal) { return Impl::recall(journal, *state); },
        [impl = impl_.get(), on_recalled = std::move(on_recalled)](Result<receive::Recalled> known) {
            if (known) impl->monitor = known->monitor;
            impl->left_qemu = impl->on_thread->left_qemu;
            on_recalled(std::move(known));
        });
}

const MoveOwner& ReceiveJournal::left_qemu() const { return impl_->left_qemu; }

void ReceiveJournal::know_vm(std::string name) {
    impl_->on_thread->move.vm = std::move(name);  // No request is under way: `recall` was answered.
}

void ReceiveJournal::know_qemu(pid_t pid) {
    impl_->qemu_pid = pid;
    impl_->qemu_ticks = start_ticks_of(pid);
}

void ReceiveJournal::write(receive::Record record, const std::string& monitor, OnWritten on_written) {
    using receive::Record;
    const auto append = [&](StepKind kind, Durability durability) {
        impl_->thread->ask<void>(
            [state = impl_->on_thread, step = impl_->step(kind), durability](Journal& journal) -> Result<void> {
                if (!state->job) return fail(ErrorKind::conflict, "this move has no record here");
                return journal.append(*state->job, state->self, step, durability);
            },
            std::move(on_written));
    };
    switch (record) {
        case Record::begun:
            impl_->monitor = monitor;
            return impl_->thread->ask<void>(
                [state = impl_->on_thread, step = impl_->step(StepKind::dst_prepared), monitor](Journal& journal) {
                    return Impl::begin(journal, *state, step, monitor);
                },
                std::move(on_written));
        case Record::accepted: return append(StepKind::dst_accepted, Durability::durable);
        case Record::ran: return append(StepKind::dst_running, Durability::soon);
        case Record::tombstone:
            return impl_->thread->ask<void>(
                [state = impl_->on_thread, step = impl_->step(StepKind::dst_tombstone)](Journal& journal) {
                    return Impl::bury(journal, *state, step);
                },
                std::move(on_written));
    }
}

void ReceiveJournal::write_listening() {
    impl_->thread->ask<void>(
        [state = impl_->on_thread, step = impl_->step(StepKind::dst_listening)](Journal& journal) -> Result<void> {
            if (!state->job) return {};
            return journal.append(*state->job, state->self, step, Durability::soon);
        },
        // Where it is missing, `accepted` will be refused: that is the net.
        [](const Result<void>&) {});
}

void ReceiveJournal::close(int exit_status, OnWritten on_written) {
    impl_->thread->ask<void>(
        [state = impl_->on_thread, at = stamp_now(), exit_status](Journal& journal) {
            return Impl::finish(journal, *state, at, exit_status);
        },
        std::move(on_written));
}

}  // namespace segue

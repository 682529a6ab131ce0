#include "app/segue/receive/receive_journal.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "app/segue/process/listener.hpp"
#include "base/assert.hpp"
#include "io/fd.hpp"
#include "receive/records.hpp"
#include "store/sqlite/journal_thread.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

constexpr int older_session_stop_ms = 3000;
constexpr int older_session_kill_ms = 1000;
/// What the guardian of a session that has died needs to end its QEMU.
constexpr Duration guardian_kill_max = std::chrono::milliseconds{300};
constexpr Duration look_again = std::chrono::milliseconds{5};

/// Before its pid was written down only a QEMU that was started for this move can be told from any other: it
/// listens where this move's monitor is, and is younger than the record.
bool started_for(const MoveRecord& record, const std::string& monitor) {
    const pid_t pid = listener_on(monitor);
    // Somebody is there: better an orphan that must be ended than a guest that is taken for dead.
    if (pid == listener_unknown) return true;
    if (pid <= 0 || record.steps.front().at.boot_id != boot_id_of_this_host()) return false;
    const MoveOwner process = process_of(pid);
    constexpr Duration tick = std::chrono::milliseconds{10};
    return process.start_ticks != 0 && started_at(process) + tick >= record.steps.front().at.since_boot;
}

bool qemu_alive(const MoveRecord& record) {
    const receive::LeftQemu qemu = receive::left_qemu(record);
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

/// \param known  Told what the host knows besides the record.
receive::Recalled with_qemu(receive::Recalled known, const MoveRecord& record) {
    known.qemu_alive = qemu_alive(record);
    const Instant until = now_on_this_host() + guardian_kill_max;
    while (known.qemu_alive && !known.accepted && now_on_this_host() < until) {
        std::this_thread::sleep_for(look_again);
        known.qemu_alive = qemu_alive(record);
    }
    return known;
}

}  // namespace

struct ReceiveJournal::Impl {
    /// Used by requests only, which run one after another on the journal's thread.
    struct OnThread {
        explicit OnThread(MoveOwner self) : records(std::move(self)) {}
        receive::Records records;
        MoveOwner left_qemu;  ///< Read by the loop only when `recall` has been answered.
    };

    explicit Impl(MoveOwner self) : on_thread(std::make_shared<OnThread>(std::move(self))) {}

    std::shared_ptr<OnThread> on_thread;
    receive::LeftQemu qemu;  ///< What the steps to come say.
    MoveOwner left_qemu;
    std::unique_ptr<JournalThread> thread;

    [[nodiscard]] MoveStep step(StepKind kind) const { return receive::step_with(kind, stamp_now(), qemu); }

    static Result<receive::Recalled> recall(Journal& journal, OnThread& state) {
        SEGUE_TRY(found, state.records.find(journal));
        if (!found) return receive::Recalled{};
        end_older_session(found->move.owner);
        SEGUE_TRY(record, state.records.take(journal, found->job));
        state.left_qemu = receive::left_qemu(record).process;
        return with_qemu(receive::recalled_from(record), record);
    }
};

ReceiveJournal::ReceiveJournal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReceiveJournal::~ReceiveJournal() = default;

Result<std::unique_ptr<ReceiveJournal>> ReceiveJournal::open(Loop& loop, const std::string& state_folder) {
    SEGUE_TRY(self, this_process());
    auto impl = std::make_unique<Impl>(self);
    SEGUE_TRY(journal, open_journal(journal_path(state_folder)));
    impl->thread = std::make_unique<JournalThread>(loop, std::move(journal));
    return std::unique_ptr<ReceiveJournal>(new ReceiveJournal(std::move(impl)));
}

void ReceiveJournal::recall(const receive::MoveId& move, std::string src_host, OnRecalled on_recalled) {
    const auto id = parse_move_id(move.hex);
    SEGUE_ASSERT(id.has_value());  // The codec let nothing else in.
    impl_->on_thread->records.session_of(*id, std::move(src_host));  // No request is under way yet.
    impl_->thread->ask<receive::Recalled>(
        [state = impl_->on_thread](Journal& journal) { return Impl::recall(journal, *state); },
        [impl = impl_.get(), on_recalled = std::move(on_recalled)](Result<receive::Recalled> known) {
            if (known) impl->qemu.monitor = known->monitor;
            impl->left_qemu = impl->on_thread->left_qemu;
            on_recalled(std::move(known));
        });
}

const MoveOwner& ReceiveJournal::left_qemu() const { return impl_->left_qemu; }

void ReceiveJournal::know_vm(std::string name) {
    impl_->on_thread->records.know_vm(std::move(name));  // No request is under way: `recall` was answered.
}

void ReceiveJournal::know_qemu(pid_t pid) {
    impl_->qemu.process = process_of(pid);
}

void ReceiveJournal::write(receive::Record record, const std::string& monitor, OnWritten on_written) {
    if (record == receive::Record::begun) impl_->qemu.monitor = monitor;
    impl_->thread->ask<void>(
        [state = impl_->on_thread, record, step = impl_->step(step_of(record))](Journal& journal) {
            return state->records.write(journal, record, step);
        },
        std::move(on_written));
}

void ReceiveJournal::write_listening() {
    impl_->thread->ask<void>(
        [state = impl_->on_thread, step = impl_->step(StepKind::dst_listening)](Journal& journal) {
            return state->records.write_listening(journal, step);
        },
        [](const Result<void>&) {});
}

void ReceiveJournal::close(int exit_status, receive::HowEnded how, OnWritten on_written) {
    impl_->thread->ask<void>(
        [state = impl_->on_thread, at = stamp_now(), exit_status, how = std::move(how)](Journal& journal) {
            return state->records.close(journal, qemu_alive, exit_status, how, at);
        },
        std::move(on_written));
}

}  // namespace segue

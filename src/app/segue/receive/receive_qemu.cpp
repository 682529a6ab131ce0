#include "app/segue/receive/receive_qemu.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <utility>

#include "app/segue/process/listener.hpp"
#include "app/segue/process/qemu_process.hpp"
#include "app/segue/receive/dst_guard_client.hpp"
#include "hypervisor/qemu/dst_guest.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

constexpr Duration guard_ready_max = std::chrono::seconds{3};
/// From fork to greeting, memory reserved and images opened.
constexpr Duration start_max = std::chrono::seconds{20};
constexpr Duration look_again = std::chrono::milliseconds{20};

/// As segue's engine: a word must not wait behind busy guests.
void raise_priority() {
    sched_param lowest{};
    lowest.sched_priority = 1;
    if (::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) != 0) ::setpriority(PRIO_PROCESS, 0, -20);
}

bool dead(const Fd& pidfd) {
    pollfd entry{pidfd.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) > 0;
}

/// Of /proc/self/fdinfo; 0 where the process is dead or out of sight.
pid_t pid_of(int pidfd) {
    const Fd file(::open(fmt::format("/proc/self/fdinfo/{}", pidfd).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 512> bytes{};
    const ssize_t count = file ? ::read(file.get(), bytes.data(), bytes.size()) : 0;
    const std::string_view text(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    constexpr std::string_view name = "\nPid:\t";
    const auto at = text.find(name);
    pid_t pid = 0;
    if (at != std::string_view::npos) {
        std::from_chars(text.data() + at + name.size(), text.data() + text.size(), pid);
    }
    return std::max(pid, 0);
}

/// Of a process whose monitor is out of reach.
struct Killing {
    ReceiveQemu::OnAnswer on_answer;
    Fd process;
    Loop::TimerId timer{};
    Loop::WatchId watch{};
    bool watched = false;
};

}  // namespace

struct ReceiveQemu::Impl {
    Loop& loop;
    std::string guard_program;
    Callbacks callbacks;
    std::optional<qemu::DstGuest> guest;
    std::optional<DstGuardClient> guard;
    std::optional<QemuProcess> process;  ///< Of a QEMU that we started.
    OnReady on_ready;
    std::string monitor;
    Instant start_by;
    Instant ready_at;
    pid_t pid = 0;
    bool attached_to_it = false;
    MoveOwner known;  ///< Of an earlier session; pid 0: nothing is known.
    std::optional<Killing> killing;
    Fd pidfd;   ///< Of QEMU, once it is known.
    Fd stream;  ///< While it is handed over.
    std::optional<Loop::TimerId> timer;

    Impl(Loop& l, std::string g, Callbacks c) : loop(l), guard_program(std::move(g)), callbacks(std::move(c)) {}
    ~Impl() {
        if (timer) loop.cancel(*timer);
        if (killing) {
            loop.cancel(killing->timer);
            if (killing->watched) loop.unwatch(killing->watch);
        }
    }

    void answer(Result<void> ready) {
        ready_at = loop.now();
        attached_to_it = ready.has_value();
        const auto callback = std::exchange(on_ready, nullptr);
        callback(std::move(ready));
    }

    void answer_later(Error error) {
        timer = loop.at(loop.now(), [this, error = std::move(error)] {
            timer.reset();
            answer(std::unexpected(error));
        });
    }

    void notice(const GuestNotice& n) {
        if (std::holds_alternative<DstDied>(n) && process) ::waitpid(process->pid(), nullptr, WNOHANG);
        if (!on_ready) callbacks.on_notice(n);
    }

    void connect(std::function<void(Result<void>)> then) {
        guest.emplace(loop, monitor, std::move(then), [this](const GuestNotice& n) { notice(n); });
    }

    void start_guard(std::function<void(Result<void>)> then) {
        raise_priority();
        guard.emplace(loop, guard_program, [this] {
            // It leaves by itself when QEMU ends, whose end is news of its own.
            if (!dead(pidfd)) callbacks.on_guardian_gone();
        });
        guard->start(pidfd.get(), guard_ready_max, std::move(then));
    }

    // ---- attaching -----------------------------------------------------------------------------------

    void attached(const Result<void>& ready, bool guarded) {
        if (!ready) return answer(ready);
        pidfd = Fd(guest->duplicate_pidfd());
        if (pidfd) pid = pid_of(pidfd.get());
        if (!guarded) return answer({});
        if (!pidfd) {
            return answer(fail(ErrorKind::unsupported,
                               "the destination QEMU's process cannot be seen from here, so that nobody could end "
                               "it: run segue receive beside it, as root"));
        }
        start_guard([this](Result<void> r) { answer(std::move(r)); });
    }

    // ---- ending what cannot be reached ---------------------------------------------------------------

    void killed(Result<GuestAnswer> how) {
        loop.cancel(killing->timer);
        if (killing->watched) loop.unwatch(killing->watch);
        const OnAnswer on_answer = std::move(killing->on_answer);
        killing.reset();
        on_answer(std::move(how));
    }

    void kill_known(Duration timeout, OnAnswer on_answer) {
        killing.emplace(Killing{std::move(on_answer), {}, {}, {}, false});
        Result<GuestAnswer> now = GuestAnswer{Done{}};
        Duration in = timeout;
        killing->process = Fd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(known.pid), 0U)));
        // Looked for after the pidfd was opened: then the pidfd is this very process's.
        const Liveness life = known.pid > 0 ? look_for(known) : Liveness::unknown;
        if (life == Liveness::gone) {
            in = Duration{0};
        } else if (life == Liveness::unknown || !killing->process) {
            in = Duration{0};
            now = fail(ErrorKind::unavailable, "the QEMU of this move lives, and neither its monitor nor its process "
                                               "can be reached");
        } else {
            now = fail(ErrorKind::timed_out, "the QEMU of this move was killed and not seen to end");
            ::syscall(SYS_pidfd_send_signal, killing->process.get(), SIGKILL, nullptr, 0U);
            killing->watch = loop.watch_readable(killing->process.get(), [this] { killed(GuestAnswer{Done{}}); });
            killing->watched = true;
        }
        killing->timer = loop.at(loop.now() + in, [this, now] { killed(now); });
    }

    // ---- starting ------------------------------------------------------------------------------------

    void give_up(Error error) {
        guest.reset();
        process->end();
        if (guard) guard->release();
        process.reset();
        pidfd.reset();
        guard.reset();
        answer(std::unexpected(std::move(error)));
    }

    void guarded(const Result<void>& ready) {
        if (!ready) return give_up(ready.error());
        start_by = loop.now() + start_max;
        // Our death ends it from here on; the silence that counts begins when it is ready.
        guard->note(true, start_by);
        process->run();
        look();
    }

    void look() {
        timer.reset();
        if (process->dead()) {
            return give_up({ErrorKind::refused, "the destination's QEMU ended as soon as it was started",
                            process->last_words()});
        }
        if (loop.now() >= start_by) {
            return give_up({ErrorKind::timed_out, fmt::format("the QEMU that was started did not greet at {} in time",
                                                              monitor), process->last_words()});
        }
        if (::access(monitor.c_str(), F_OK) != 0) return look_later();
        connect([this](const Result<void>& ready) {
            if (!ready) return look_later();
            const Fd theirs(guest->duplicate_pidfd());
            pid = theirs ? pid_of(theirs.get()) : 0;
            if (pid == process->pid()) return answer({});
            give_up({ErrorKind::refused, "the command did not become QEMU itself: leave out what starts QEMU as "
                                         "another process", process->last_words()});
        });
    }

    void look_later() { timer = loop.at(loop.now() + look_again, [this] { look(); }); }
};

ReceiveQemu::ReceiveQemu(Loop& loop, std::string guard_program, Callbacks callbacks)
    : impl_(std::make_unique<Impl>(loop, std::move(guard_program), std::move(callbacks))) {}
ReceiveQemu::~ReceiveQemu() = default;

void ReceiveQemu::attach(const std::string& monitor, bool guarded, OnReady on_ready) {
    impl_->on_ready = std::move(on_ready);
    impl_->monitor = monitor;
    impl_->guard.reset();
    impl_->connect([impl = impl_.get(), guarded](const Result<void>& ready) { impl->attached(ready, guarded); });
}

void ReceiveQemu::start(const std::vector<std::string>& command, const std::string& log_path, ProcessPlace place,
                        OnReady on_ready) {
    Impl& impl = *impl_;
    impl.on_ready = std::move(on_ready);
    auto monitor = monitor_in(command);
    if (!monitor) return impl.answer_later(monitor.error());
    impl.monitor = *monitor;
    // QEMU would take each of them away from whoever has it.
    for (const std::string& socket : sockets_in(command)) {
        if (listener_on(socket) == 0) continue;
        return impl.answer_later({ErrorKind::conflict, "a process listens on a socket of the command already: does "
                                                       "this QEMU run?", socket});
    }
    auto process = QemuProcess::prepare(command, log_path, std::move(place));
    if (!process) return impl.answer_later(process.error());
    impl.process = std::move(*process);
    impl.pidfd = impl.process->duplicate_pidfd();
    impl.start_guard([&impl](const Result<void>& ready) { impl.guarded(ready); });
}

pid_t ReceiveQemu::pid() const { return impl_->pid; }

std::string ReceiveQemu::take_last_words() {
    if (!impl_->process) return {};
    std::string words = impl_->process->last_words();
    impl_->process->forget_log();
    return words;
}

void ReceiveQemu::know(MoveOwner process) { impl_->known = std::move(process); }

void ReceiveQemu::submit(const DstCommand& command, Duration timeout, OnAnswer on_answer) {
    if (std::holds_alternative<DstKill>(command) && !impl_->attached_to_it) {
        return impl_->kill_known(timeout, std::move(on_answer));
    }
    impl_->guest->submit(command, timeout, std::move(on_answer));
}

void ReceiveQemu::take_stream(Fd connection, Duration timeout, std::function<void(Result<void>)> on_taken) {
    impl_->stream = std::move(connection);
    impl_->guest->set_stream(impl_->stream.get());
    impl_->guest->submit(DstListen{}, timeout, [impl = impl_.get(), on_taken](const Result<GuestAnswer>& answer) {
        impl->stream.reset();  // Or QEMU's death would not end the connection.
        on_taken(answer ? Result<void>() : std::unexpected(answer.error()));
    });
}

void ReceiveQemu::note(bool armed, Instant alive_at) {
    if (impl_->guard) impl_->guard->note(armed, std::max(alive_at, impl_->ready_at));
}

bool ReceiveQemu::claim() { return impl_->guard && impl_->guard->claim(); }

void ReceiveQemu::release() {
    if (impl_->guard) impl_->guard->release();
}

}  // namespace segue

#include "app/segue/receive/dst_guard_client.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "guard/dst_board.hpp"
#include "io/fd.hpp"

namespace segue {
namespace {

int pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)); }

std::unexpected<Error> os_error(std::string what) {
    return fail(ErrorKind::unavailable, std::move(what), std::strerror(errno));
}

}  // namespace

struct DstGuardClient::Impl {
    Loop& loop;
    std::string program;
    std::function<void()> on_gone;
    std::function<void(Result<void>)> on_ready;
    guard::DstBoard* board = nullptr;
    Fd control;
    Fd process;
    pid_t pid = 0;
    std::optional<Loop::WatchId> control_watch;
    std::optional<Loop::WatchId> process_watch;
    std::optional<Loop::TimerId> ready_timer;
    bool let_go = false;  ///< Released, or it leaves by itself since the guest was claimed.

    Impl(Loop& l, std::string p, std::function<void()> g) : loop(l), program(std::move(p)), on_gone(std::move(g)) {}
    ~Impl() {
        unwatch();
        if (ready_timer) loop.cancel(*ready_timer);
        if (board != nullptr) ::munmap(board, sizeof(guard::DstBoard));
    }

    void unwatch() {
        if (control_watch) loop.unwatch(*std::exchange(control_watch, std::nullopt));
        if (process_watch) loop.unwatch(*std::exchange(process_watch, std::nullopt));
    }

    void answer(Result<void> result) {
        if (!on_ready) return;
        if (ready_timer) loop.cancel(*std::exchange(ready_timer, std::nullopt));
        const auto callback = std::exchange(on_ready, nullptr);
        callback(std::move(result));
    }

    Result<void> make_board(Fd& memory) {
        memory = Fd(::memfd_create("segue-dst-board", MFD_CLOEXEC));
        if (!memory || ::ftruncate(memory.get(), sizeof(guard::DstBoard)) != 0) {
            return os_error("no shared memory for the guardian");
        }
        void* at = ::mmap(nullptr, sizeof(guard::DstBoard), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
        if (at == MAP_FAILED) return os_error("no shared memory for the guardian");
        board = new (at) guard::DstBoard;
        return {};
    }

    Result<void> spawn(int qemu_pidfd) {
        Fd memory;
        if (auto made = make_board(memory); !made) return made;
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
            return os_error("no socket for the guardian");
        }
        control = Fd(pair[0]);
        const Fd theirs(pair[1]);
        const Fd ourselves(pidfd_open(::getpid()));
        if (!ourselves) return os_error("no pidfd of this process");
        const std::array inherited = {theirs.get(), memory.get(), ourselves.get(), qemu_pidfd};
        std::vector<std::string> words = {program, "--destination"};
        const std::array options = {"--control", "--board", "--receive-pidfd", "--qemu-pidfd"};
        for (std::size_t i = 0; i < options.size(); ++i) {
            words.emplace_back(options[i]);
            words.push_back(std::to_string(inherited[i]));
        }
        std::vector<char*> argv;
        for (auto& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);

        pid = ::fork();
        if (pid < 0) return os_error("no process for the guardian");
        if (pid == 0) {
            for (const int fd : inherited) ::fcntl(fd, F_SETFD, 0);
            ::execv(program.c_str(), argv.data());
            ::_exit(127);
        }
        process = Fd(pidfd_open(pid));
        if (!process) return os_error("no pidfd of the guardian");
        return {};
    }

    void on_process_end() {
        unwatch();
        int status = 0;
        ::waitpid(pid, &status, 0);
        if (on_ready) {
            const bool missing = WIFEXITED(status) && WEXITSTATUS(status) == 127;
            return answer(fail(ErrorKind::unavailable, program + (missing ? " could not be run" : " ended at once")));
        }
        if (!let_go) on_gone();
    }

    void on_control() {
        std::array<char, 16> message{};
        const auto got = ::recv(control.get(), message.data(), message.size(), MSG_DONTWAIT);
        if (got > 0 && message[0] == 'W') return answer({});
        // Its process's end says the rest.
        if (got == 0) loop.unwatch(*std::exchange(control_watch, std::nullopt));
    }

    void ring() const {
        const char look = 'D';
        // A guardian that is gone is noticed by its pidfd; a full queue means it has been rung already.
        if (control) static_cast<void>(!::send(control.get(), &look, 1, MSG_NOSIGNAL | MSG_DONTWAIT));
    }
};

DstGuardClient::DstGuardClient(Loop& loop, std::string program, std::function<void()> on_gone)
    : impl_(std::make_unique<Impl>(loop, std::move(program), std::move(on_gone))) {}

DstGuardClient::~DstGuardClient() = default;

void DstGuardClient::start(int qemu_pidfd, Duration timeout, std::function<void(Result<void>)> on_ready) {
    SEGUE_ASSERT(impl_->board == nullptr);
    auto* const impl = impl_.get();
    impl->on_ready = std::move(on_ready);
    auto spawned = impl->spawn(qemu_pidfd);
    if (impl->process) {
        impl->process_watch = impl->loop.watch_readable(impl->process.get(), [impl] { impl->on_process_end(); });
        impl->control_watch = impl->loop.watch_readable(impl->control.get(), [impl] { impl->on_control(); });
    }
    const Instant when = impl->loop.now() + (spawned ? timeout : Duration{0});
    impl->ready_timer = impl->loop.at(when, [impl, spawned = std::move(spawned)] {
        impl->ready_timer.reset();
        if (!spawned) return impl->answer(spawned);
        impl->answer(fail(ErrorKind::timed_out, "the guardian beside the destination did not get ready in time"));
    });
}

bool DstGuardClient::started() const { return impl_->board != nullptr; }

void DstGuardClient::note(bool armed, Instant alive_at) {
    if (impl_->board == nullptr) return;
    impl_->board->alive_at_ns.store(alive_at.since_boot.count());
    const std::uint32_t now = armed ? 1 : 0;
    if (impl_->board->armed.exchange(now) != now) impl_->ring();
}

bool DstGuardClient::claim() {
    if (impl_->board == nullptr) return false;
    const bool ours = guard::decide(*impl_->board, guard::DstClaim::claimed);
    impl_->let_go = impl_->let_go || ours;
    if (ours) impl_->ring();
    return ours;
}

void DstGuardClient::release() {
    impl_->let_go = true;
    if (impl_->board == nullptr) return;
    impl_->board->released.store(1);
    impl_->ring();
}

}  // namespace segue

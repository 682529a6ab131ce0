#include "app/segue/move/guard_client.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "base/assert.hpp"
#include "io/fd.hpp"

namespace segue {
namespace {

int pidfd_open(pid_t pid) {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U));
}

/// A descriptor that the child may inherit, at the same number.
void inherit(int fd) {
    if (fd >= 0) ::fcntl(fd, F_SETFD, 0);
}

Error os_error(std::string what) {
    return {ErrorKind::unavailable, std::move(what), std::strerror(errno)};
}

}  // namespace

struct GuardClient::Impl {
    Loop& loop;
    Where where;
    std::function<void(const GuardNotice&)> on_notice;
    std::function<void(Result<GuardReady>)> on_ready;
    guard::Board* board = nullptr;
    Fd control;
    Fd process;
    pid_t pid = 0;
    Loop::WatchId control_watch{};
    Loop::WatchId process_watch{};
    Loop::TimerId ready_timer{};
    bool control_watched = false;
    bool process_watched = false;
    bool released = false;

    Impl(Loop& l, Where w, std::function<void(const GuardNotice&)> n)
        : loop(l), where(std::move(w)), on_notice(std::move(n)) {}

    void unwatch() {
        if (control_watched) loop.unwatch(control_watch);
        if (process_watched) loop.unwatch(process_watch);
        control_watched = process_watched = false;
    }

    void answer(Result<GuardReady> result) {
        if (!on_ready) return;
        loop.cancel(ready_timer);
        auto callback = std::exchange(on_ready, nullptr);
        callback(std::move(result));
    }

    Result<void> make_board(Fd& memory) {
        memory = Fd(::memfd_create("segue-board", MFD_CLOEXEC));
        if (!memory || ::ftruncate(memory.get(), sizeof(guard::Board)) != 0) {
            return std::unexpected(os_error("no shared memory for the guardian"));
        }
        void* at = ::mmap(nullptr, sizeof(guard::Board), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
        if (at == MAP_FAILED) return std::unexpected(os_error("no shared memory for the guardian"));
        board = new (at) guard::Board;
        return {};
    }

    Result<void> spawn(int dst_pidfd) {
        Fd memory;
        if (auto made = make_board(memory); !made) return made;
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
            return std::unexpected(os_error("no socket for the guardian"));
        }
        control = Fd(pair[0]);
        Fd theirs(pair[1]);
        // Two descriptors a vCPU may come at once, before the guardian gets to read; 1 KiB for each is counted.
        const int room = 512 * 1024;
        static_cast<void>(::setsockopt(control.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room));
        Fd ourselves(pidfd_open(::getpid()));
        if (!ourselves) return std::unexpected(os_error("no pidfd of this process"));

        std::vector<std::string> words = {where.program,
                                          "--control",
                                          std::to_string(theirs.get()),
                                          "--board",
                                          std::to_string(memory.get()),
                                          "--segue-pidfd",
                                          std::to_string(ourselves.get()),
                                          "--src-monitor",
                                          where.src_monitor};
        if (dst_pidfd >= 0) words.insert(words.end(), {"--dst-pidfd", std::to_string(dst_pidfd)});
        if (where.guard_monitor) words.insert(words.end(), {"--guard-monitor", *where.guard_monitor});
        std::vector<char*> argv;
        for (auto& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);

        pid = ::fork();
        if (pid < 0) return std::unexpected(os_error("no process for the guardian"));
        if (pid == 0) {
            for (const int fd : {theirs.get(), memory.get(), ourselves.get(), dst_pidfd}) inherit(fd);
            ::execv(where.program.c_str(), argv.data());
            ::_exit(127);
        }
        process = Fd(pidfd_open(pid));
        if (!process) return std::unexpected(os_error("no pidfd of the guardian"));
        return {};
    }

    void listen() {
        process_watch = loop.watch_readable(process.get(), [this] { on_process_end(); });
        process_watched = true;
        control_watch = loop.watch_readable(control.get(), [this] { on_control(); });
        control_watched = true;
    }

    void on_process_end() {
        unwatch();
        int status = 0;
        ::waitpid(pid, &status, 0);
        if (on_ready) {
            const std::string how = WIFEXITED(status) && WEXITSTATUS(status) == 127
                                        ? fmt::format("{} could not be run", where.program)
                                        : fmt::format("{} ended at once", where.program);
            return answer(fail(ErrorKind::unavailable, how));
        }
        if (!released) on_notice(GuardDied{});
    }

    void on_control() {
        std::array<char, 16> message{};
        const auto got = ::recv(control.get(), message.data(), message.size(), MSG_DONTWAIT);
        if (got < 0) return;
        if (got == 0) {
            loop.unwatch(control_watch);
            control_watched = false;
            return;  // Its process's end says the rest.
        }
        using guard::GuardState;
        const auto reason = static_cast<guard::RollbackReason>(board->rollback_reason.load());
        switch (message[0]) {
            case 'W':
                answer(GuardReady{board->own_monitor.load() == 1, Duration{board->lateness_worst_ns.load()},
                                  Duration{board->round_trip_worst_ns.load()}});
                break;
            case 'H': on_notice(GuardNeedsHelp{reason}); break;
            case 'B':
                on_notice(GuardRolledBack{static_cast<GuardState>(board->guard_state.load()) == GuardState::rolled_back,
                                          reason});
                break;
            default: break;
        }
    }

    void send(char message, int fd = -1) const {
        // A guardian that is gone is noticed by its pidfd; a full queue means that it has been rung already.
        static_cast<void>(send(std::string_view(&message, 1), {fd, -1}));
    }

    /// `fds` that are negative are left out, the second with the first.
    [[nodiscard]] bool send(std::string_view message, std::array<int, 2> fds) const {
        if (!control) return false;
        iovec data{const_cast<char*>(message.data()), message.size()};
        msghdr header{};
        header.msg_iov = &data;
        header.msg_iovlen = 1;
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> space{};
        if (fds[0] >= 0) {
            const std::size_t bytes = (fds[1] >= 0 ? 2 : 1) * sizeof(int);
            header.msg_control = space.data();
            header.msg_controllen = CMSG_SPACE(bytes);
            cmsghdr* part = CMSG_FIRSTHDR(&header);
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(bytes);
            std::memcpy(CMSG_DATA(part), fds.data(), bytes);
        }
        return ::sendmsg(control.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
    }
};

GuardClient::GuardClient(Loop& loop, Where where, std::function<void(const GuardNotice&)> on_notice)
    : impl_(std::make_unique<Impl>(loop, std::move(where), std::move(on_notice))) {}

GuardClient::~GuardClient() {
    impl_->unwatch();
    impl_->loop.cancel(impl_->ready_timer);
    if (impl_->board != nullptr) ::munmap(impl_->board, sizeof(guard::Board));
}

void GuardClient::start(int dst_pidfd, Duration timeout, std::function<void(Result<GuardReady>)> on_ready) {
    SEGUE_ASSERT(impl_->board == nullptr);
    impl_->on_ready = std::move(on_ready);
    if (auto spawned = impl_->spawn(dst_pidfd); !spawned) {
        impl_->loop.post(
            [impl = impl_.get(), error = std::move(spawned).error()] { impl->answer(std::unexpected(error)); });
        return;
    }
    impl_->listen();
    impl_->ready_timer = impl_->loop.at(impl_->loop.now() + timeout, [impl = impl_.get()] {
        impl->answer(fail(ErrorKind::timed_out, "the guardian did not get ready in time"));
    });
}

void GuardClient::brief(const std::string& put_back_script) {
    auto& board = *impl_->board;
    if (put_back_script.size() > guard::put_back_bytes_max) return;  // Then only Segue itself can put back.
    std::memcpy(board.put_back, put_back_script.data(), put_back_script.size());
    board.put_back_length.store(static_cast<std::uint32_t>(put_back_script.size()), std::memory_order_release);
}

void GuardClient::take_stream(int fd) {
    impl_->send('S', fd);
}

bool GuardClient::take_brake(const std::vector<HeldGroup>& groups) {
    for (const HeldGroup& group : groups) {
        const std::string words = fmt::format("F{}{}{}", group.version == GroupVersion::v1 ? '1' : '2',
                                              group.takes_back_cpu ? "+" : "", group.name);
        if (!impl_->send(words, {group.quota_fd, group.folder_fd})) return false;
    }
    return true;
}

void GuardClient::note(const GuardNote& note) {
    if (impl_->board == nullptr) return;
    auto& board = *impl_->board;
    bool ring = false;
    if (note.budget) board.budget_ns.store(note.budget->count());
    if (note.ran_at) board.ran_at_ns.store(note.ran_at->since_boot.count());
    if (note.source_runs) board.source_runs.store(1);
    if (note.undoing_at) board.undoing_at_ns.store(note.undoing_at->since_boot.count());
    if (note.pass && board.pass.exchange(*note.pass) != *note.pass) ring = true;
    if (note.stage) {
        board.stage.store(static_cast<std::uint32_t>(*note.stage));
        ring = true;
    }
    if (ring) impl_->send('D');
}

GuardClaim GuardClient::claim_word() { return {impl_->board != nullptr && guard::claim_word(*impl_->board), false}; }

GuardClaim GuardClient::claim_rollback() {
    if (impl_->board == nullptr) return {true, false};
    const auto claim = guard::try_rollback(*impl_->board);
    return {claim != guard::RollbackClaim::too_late, claim == guard::RollbackClaim::already};
}

void GuardClient::release() {
    impl_->released = true;
    if (impl_->board == nullptr) return;
    impl_->board->stage.store(static_cast<std::uint32_t>(guard::Stage::over));
    impl_->send('D');
}

std::string find_guard_program() {
    if (const char* named = std::getenv("SEGUE_GUARD"); named != nullptr && *named != '\0') return named;
    std::array<char, 4096> self{};
    const auto length = ::readlink("/proc/self/exe", self.data(), self.size() - 1);
    std::string path(self.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    const auto slash = path.rfind('/');
#ifdef SEGUE_FAULT_POINTS
    return path.substr(0, slash + 1) + "segue-guard-faults";
#else
    return path.substr(0, slash + 1) + "segue-guard";
#endif
}

}  // namespace segue

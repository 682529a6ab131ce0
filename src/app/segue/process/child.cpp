#include "app/segue/process/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "app/segue/words/plain_text.hpp"
#include "base/assert.hpp"

namespace segue {
namespace {

struct Pipe {
    Fd read;
    Fd write;
};

/// Both ends above the standard streams, which the child's side of the others is about to become.
Result<Pipe> make_pipe() {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(ErrorKind::unavailable, "no pipe", std::strerror(errno));
    Pipe pipe{Fd(ends[0]), Fd(ends[1])};
    for (Fd* end : {&pipe.read, &pipe.write}) {
        if (end->get() > STDERR_FILENO) continue;
        Fd higher(::fcntl(end->get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
        if (!higher) return fail(ErrorKind::unavailable, "no pipe", std::strerror(errno));
        *end = std::move(higher);
    }
    return pipe;
}

/// What posix_spawn is told, freed at the end.
struct SpawnPlan {
    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};

    SpawnPlan() {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
        // What this process ignores or blocks, the child would too: ssh relies on SIGPIPE and SIGTERM.
        sigset_t none;
        sigset_t to_default;
        sigemptyset(&none);
        sigemptyset(&to_default);
        for (const int number : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&to_default, number);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setsigdefault(&attributes, &to_default);
        ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    ~SpawnPlan() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;

    void stream(const Fd& end, int as) { ::posix_spawn_file_actions_adddup2(&actions, end.get(), as); }
};

bool make_non_blocking(const Fd& fd) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    return flags >= 0 && ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) == 0;
}

}  // namespace

Result<Child> start_child(const std::vector<std::string>& command) {
    SEGUE_ASSERT(!command.empty());
    SEGUE_TRY(in, make_pipe());
    SEGUE_TRY(out, make_pipe());
    SEGUE_TRY(err, make_pipe());
    SpawnPlan plan;
    plan.stream(in.read, STDIN_FILENO);
    plan.stream(out.write, STDOUT_FILENO);
    plan.stream(err.write, STDERR_FILENO);
    std::vector<std::string> words = command;
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    Child child;
    const int failed = ::posix_spawnp(&child.pid, argv[0], &plan.actions, &plan.attributes, argv.data(), environ);
    if (failed != 0) {
        return fail(ErrorKind::unavailable, fmt::format("{} could not be started", plain_text(command.front())),
                    std::strerror(failed));
    }
    child.process = Fd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0U)));
    child.input = std::move(in.write);
    child.output = std::move(out.read);
    child.notes = std::move(err.read);
    if (!child.process || !make_non_blocking(child.input) || !make_non_blocking(child.output) ||
        !make_non_blocking(child.notes)) {
        const int error_number = errno;
        ::kill(-child.pid, SIGKILL);
        ::waitpid(child.pid, nullptr, 0);
        return fail(ErrorKind::unavailable, "the command's streams cannot be used", std::strerror(error_number));
    }
    return child;
}

ssize_t write_quietly(int fd, std::string_view bytes) {
    sigset_t pipe_only;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    ::pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    const int error_number = errno;
    if (written < 0 && error_number == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
        const timespec at_once{};
        ::sigtimedwait(&pipe_only, nullptr, &at_once);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error_number;
    return written;
}

}  // namespace segue

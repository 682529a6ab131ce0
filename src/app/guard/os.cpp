#include "app/guard/os.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace segue::guard {
namespace {

timespec to_timespec(Duration duration) noexcept {
    const std::int64_t ns = std::max<std::int64_t>(duration.count(), 0);
    return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

void close_between(int first, int last) noexcept {
    if (first > last) return;
    static_cast<void>(::syscall(SYS_close_range, static_cast<unsigned>(first),
                                static_cast<unsigned>(last), 0U));
}

}  // namespace

Instant now() noexcept {
    timespec time{};
    static_cast<void>(::clock_gettime(CLOCK_BOOTTIME, &time));
    return {Duration{std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec}};
}

void stand_apart() noexcept {
    static_cast<void>(::setsid());  // Fails only if it leads a group already; then it stands apart.
    for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) {
        static_cast<void>(::signal(signal, SIG_IGN));
    }
    sigset_t none;
    static_cast<void>(::sigemptyset(&none));
    static_cast<void>(::sigprocmask(SIG_SETMASK, &none, nullptr));  // The alarm in `tell` must be heard.
    const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score < 0) return;
    static_cast<void>(!::write(score, "-1000", 5));  // Only root may; else the score stays.
    ::close(score);
}

void close_all_but(std::span<const int> keep) noexcept {
    int next = 0;
    while (true) {
        int kept = -1;
        for (const int fd : keep) {
            if (fd >= next && (kept < 0 || fd < kept)) kept = fd;
        }
        if (next <= STDERR_FILENO && (kept < 0 || kept > STDERR_FILENO)) kept = STDERR_FILENO;
        if (kept < 0) break;
        close_between(next, kept - 1);
        next = kept + 1;
    }
    static_cast<void>(::syscall(SYS_close_range, static_cast<unsigned>(next), ~0U, 0U));
}

void lock_memory() noexcept {
    // The deepest path takes under 8 KiB, the guardian itself (256 groups of a brake) 29.
    constexpr std::size_t stack_bytes = 64 * 1024;
    volatile char stack[stack_bytes];
    for (std::size_t at = 0; at < stack_bytes; at += 4096) stack[at] = 0;
    static_cast<void>(stack[0]);
    static_cast<void>(::mlockall(MCL_CURRENT | MCL_FUTURE));
}

void raise_priority() noexcept {
    sched_param param{};
    param.sched_priority = ::sched_get_priority_min(SCHED_FIFO);
    if (::sched_setscheduler(0, SCHED_FIFO, &param) == 0) return;
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, -20));
}

bool wait_readable(int fd, Duration timeout) noexcept {
    pollfd entry{fd, POLLIN, 0};
    const timespec wait = to_timespec(timeout);
    return ::ppoll(&entry, 1, &wait, nullptr) > 0;
}

bool is_dead(int pidfd) noexcept { return wait_readable(pidfd, Duration{0}); }

bool kill_and_wait(int pidfd, Duration timeout) noexcept {
    static_cast<void>(::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0U));
    return wait_readable(pidfd, timeout);
}

Line& Line::operator<<(std::string_view text) noexcept {
    const std::size_t count = std::min(text.size(), sizeof text_ - length_);
    std::memcpy(text_ + length_, text.data(), count);
    length_ += count;
    return *this;
}

Line& Line::operator<<(std::int64_t number) noexcept {
    char digits[20] = {};
    std::size_t count = 0;
    if (number < 0) *this << "-";
    std::uint64_t rest = number < 0 ? 0 - static_cast<std::uint64_t>(number)
                                    : static_cast<std::uint64_t>(number);
    do {
        digits[count++] = static_cast<char>('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    while (count > 0) *this << std::string_view(&digits[--count], 1);
    return *this;
}

void tell(const Line& line) noexcept {
    // Ready means that a pipe takes PIPE_BUF bytes at once. Should another writer be faster, the alarm
    // ends the write (no SA_RESTART).
    pollfd entry{STDERR_FILENO, POLLOUT, 0};
    const timespec at_once{};
    if (::ppoll(&entry, 1, &at_once, nullptr) <= 0 || (entry.revents & POLLOUT) == 0) return;
    struct sigaction action{};
    action.sa_handler = [](int) {};
    static_cast<void>(::sigaction(SIGALRM, &action, nullptr));
    ::alarm(1);
    static_cast<void>(!::write(STDERR_FILENO, line.view().data(), line.view().size()));
    ::alarm(0);
}

}  // namespace segue::guard

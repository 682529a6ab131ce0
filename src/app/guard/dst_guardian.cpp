#include "app/guard/dst_guardian.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fault_point.hpp"

namespace segue::guard {
namespace {

/// A killed QEMU is gone in some ms, or after the I/O that it waits for.
constexpr Duration look_again = std::chrono::milliseconds{100};

}  // namespace

int DstGuardian::run() noexcept {
    timer_ = ::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer_ < 0) return 1;
    board_.watching.store(1);
    const char watching = 'W';
    static_cast<void>(::send(held_.control, &watching, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
    SEGUE_FAULT_POINT("dst-guard:watching");
    while (true) {
        const DstAdvice advice = advise(look());
        switch (advice.action) {
            case DstAction::leave: return 0;
            case DstAction::wait: wait(advice.wake_at); break;
            case DstAction::kill:
                if (!decide(board_, DstClaim::killed)) break;  // The word was faster.
                if (!end_qemu()) return 1;
                break;
        }
    }
}

DstView DstGuardian::look() noexcept {
    receive_dead_ = receive_dead_ || is_dead(held_.receive);
    DstView view;
    view.receive_alive = !receive_dead_;
    view.qemu_alive = !is_dead(held_.qemu);
    view.claim = static_cast<DstClaim>(board_.claim.load());
    view.armed = board_.armed.load() != 0;
    view.alive_at = {Duration{board_.alive_at_ns.load()}};
    view.released = board_.released.load() != 0;
    view.now = now();  // Last: a deadline that has passed by now has passed.
    return view;
}

void DstGuardian::wait(Instant until) noexcept {
    const std::int64_t ns = std::max<std::int64_t>(until.since_boot.count(), 1);
    itimerspec spec{};
    spec.it_value = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    static_cast<void>(::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr));
    // A negative descriptor is passed over by poll.
    std::array<pollfd, 4> entries{{{timer_, POLLIN, 0},
                                   {control_open_ ? held_.control : -1, POLLIN, 0},
                                   {receive_dead_ ? -1 : held_.receive, POLLIN, 0},
                                   {held_.qemu, POLLIN, 0}}};
    if (::ppoll(entries.data(), entries.size(), nullptr, nullptr) <= 0 || entries[1].revents == 0) return;
    std::array<char, 16> message{};
    const ssize_t length = ::recv(held_.control, message.data(), message.size(), MSG_DONTWAIT);
    // Its end is no death: that is the pidfd's to say.
    if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) control_open_ = false;
}

bool DstGuardian::end_qemu() noexcept {
    const bool first = board_.killed_at_ns.load() == 0;
    const bool sent = ::syscall(SYS_pidfd_send_signal, held_.qemu, SIGKILL, nullptr, 0U) == 0 || errno == ESRCH;
    if (first) {
        board_.killed_at_ns.store(now().since_boot.count());
        Line line;
        line << "segue-guard: " << (receive_dead_ ? "segue receive died" : "no sign of life from the source for 2 s")
             << " before a word was accepted; the destination QEMU " << (sent ? "was killed" : "could NOT be killed")
             << "\n";
        tell(line);
    }
    if (sent) static_cast<void>(wait_readable(held_.qemu, look_again));
    return sent;
}

}  // namespace segue::guard

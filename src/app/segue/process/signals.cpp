#include "app/segue/process/signals.hpp"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

#include "base/assert.hpp"

namespace segue {

Signals::Signals(Loop& loop, bool terminal, std::function<void()> on_ask, std::function<void()> on_cancel)
    : loop_(loop), ask_first_(terminal), on_ask_(std::move(on_ask)), on_cancel_(std::move(on_cancel)) {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&wanted, signal);
    ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
    fd_ = Fd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    SEGUE_ASSERT(static_cast<bool>(fd_));
    watch_ = loop_.watch_readable(fd_.get(), [this] { on_signal(); });
}

Signals::~Signals() { loop_.unwatch(watch_); }

void Signals::on_signal() {
    signalfd_siginfo info{};
    while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        if (info.ssi_signo == SIGINT && std::exchange(ask_first_, false)) {
            on_ask_();
        } else {
            on_cancel_();
        }
    }
}

}  // namespace segue

#include "app/segue/receive/receive_control.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace segue {
namespace {

bool ready(int fd, short what, int timeout_ms) {
    pollfd one{fd, what, 0};
    return ::poll(&one, 1, timeout_ms) > 0;  // Errors too: then the call says what is wrong.
}

}  // namespace

ReceiveControl::ReceiveControl(Loop& loop, int in, int out, Callbacks callbacks)
    : loop_(loop), in_(in), out_(out), callbacks_(std::move(callbacks)) {
    struct stat status{};
    if (::fstat(out, &status) == 0) {
        out_is_socket_ = S_ISSOCK(status.st_mode);
        if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) {
            const std::string path = fmt::format("/proc/self/fd/{}", out);
            own_out_ = Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        }
    } else {
        out_gone_ = true;
    }
    in_watch_ = loop_.watch_readable(in_, [this] { read_some(); });
}

ReceiveControl::~ReceiveControl() {
    close();
    if (end_timer_) loop_.cancel(*end_timer_);
}

void ReceiveControl::read_some() {
    if (!ready(in_, POLLIN, 0)) return;
    std::array<char, 64 * 1024> bytes;
    const ssize_t count = ::read(in_, bytes.data(), bytes.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (count < 0) return end(fmt::format("standard input failed: {}", std::strerror(errno)));
    if (count == 0) return end("the source closed it");
    auto fed = reader_.feed(std::span(bytes).first(static_cast<std::size_t>(count)));
    for (auto& message : fed.messages) {
        if (!open_) return;
        callbacks_.on_message(std::move(message));
    }
    if (fed.fault) end("the source sent " + to_string(*fed.fault));
}

void ReceiveControl::send(const receive::Message& message) {
    if (!open_ || out_gone_) return;
    auto line = receive::encode(message);
    if (!line) return end("a line could not be made: " + to_string(line.error()));
    if (waiting_.size() + line->size() > waiting_bytes_max) return end("the source does not read");
    waiting_ += *line;
    flush();
}

long ReceiveControl::write_some() const {
    if (out_is_socket_) return ::send(out_, waiting_.data(), waiting_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (own_out_) return ::write(own_out_.get(), waiting_.data(), waiting_.size());
    // Where it could not be opened again: a pipe that polls as writable takes PIPE_BUF bytes at once.
    if (!ready(out_, POLLOUT, 0)) {
        errno = EAGAIN;
        return -1;
    }
    return ::write(out_, waiting_.data(), std::min<std::size_t>(waiting_.size(), PIPE_BUF));
}

void ReceiveControl::flush() {
    while (!waiting_.empty() && !out_gone_) {
        const long count = write_some();
        if (count > 0) {
            waiting_.erase(0, static_cast<std::size_t>(count));
        } else if (count == 0 || errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            out_gone_ = true;
            waiting_.clear();
            end(fmt::format("standard output failed: {}", std::strerror(errno)));
        }
    }
    if (waiting_.empty() || !open_) {
        if (out_watch_) loop_.unwatch(*std::exchange(out_watch_, std::nullopt));
    } else if (!out_watch_) {
        out_watch_ = loop_.watch_writable(own_out_ ? own_out_.get() : out_, [this] { flush(); });
    }
}

/// Told from the loop's next turn: it may be found while the session is being served.
void ReceiveControl::end(const std::string& why) {
    if (!open_) return;
    close();
    end_timer_ = loop_.at(loop_.now(), [this, why] {
        end_timer_.reset();
        callbacks_.on_end(why);
    });
}

void ReceiveControl::close() {
    if (!std::exchange(open_, false)) return;
    if (in_watch_) loop_.unwatch(*std::exchange(in_watch_, std::nullopt));
    if (out_watch_) loop_.unwatch(*std::exchange(out_watch_, std::nullopt));
    if (!waiting_.empty() && !out_gone_) flush();
    out_gone_ = true;
    own_out_.reset();
    waiting_.clear();
}

void ReceiveControl::drain(Duration at_most) {
    const Instant until = loop_.now() + at_most;
    constexpr int look_again_ms = 20;
    while (!waiting_.empty() && !out_gone_ && loop_.now() < until) {
        flush();
        if (!waiting_.empty()) ready(own_out_ ? own_out_.get() : out_, POLLOUT, look_again_ms);
    }
}

}  // namespace segue

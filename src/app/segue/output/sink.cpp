#include "app/segue/output/sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>

namespace segue {
namespace {

bool writable(int fd, int timeout_ms) {
    pollfd one{fd, POLLOUT, 0};
    return ::poll(&one, 1, timeout_ms) > 0;  // POLLERR too: then the write says what is wrong.
}

}  // namespace

FdSink::FdSink(int fd) : fd_(fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) {
        gone_ = true;
        return;
    }
    socket_ = S_ISSOCK(status.st_mode);
    // A regular file is never opened again: it would start from its beginning.
    if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) {
        const std::string path = fmt::format("/proc/self/fd/{}", fd);
        own_ = Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    }
}

long FdSink::write_some(std::string_view text) const {
    if (socket_) return ::send(fd_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (own_) return ::write(own_.get(), text.data(), text.size());
    // Where it could not be opened again: a pipe that polls as writable takes PIPE_BUF bytes at once.
    return ::write(fd_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
}

void FdSink::pump() {
    std::size_t written = 0;
    while (written < waiting_.size() && writable(fd_, 0)) {
        const long count = write_some(std::string_view(waiting_).substr(written));
        if (count > 0) {
            written += static_cast<std::size_t>(count);
        } else if (count == 0 || errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            gone_ = true;
            break;
        }
    }
    waiting_.erase(0, written);
    if (gone_) waiting_.clear();
}

void FdSink::write(std::string_view text, Weight weight) {
    if (gone_) return;
    if (!waiting_.empty()) pump();
    if (weight == Weight::passing && !waiting_.empty()) return;
    if (weight == Weight::kept && waiting_.size() + text.size() > waiting_bytes_max) return;
    waiting_ += text;
    pump();
}

void FdSink::drain(std::optional<Duration> at_most) {
    using std::chrono::steady_clock;
    const auto began = steady_clock::now();
    constexpr int look_again_ms = 100;
    while (!waiting_.empty() && !gone_) {
        pump();
        if (waiting_.empty() || (at_most && steady_clock::now() - began >= *at_most)) return;
        writable(fd_, look_again_ms);
    }
}

}  // namespace segue

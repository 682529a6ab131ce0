#include "app/guard/monitor.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/guard/os.hpp"

namespace segue::guard {
namespace {

/// Reads in one go at most this often, so that a flood of events cannot hold the loop.
constexpr int reads_max = 64;
/// A command that QEMU's socket does not take for this long is as good as not sent.
constexpr Duration write_wait = std::chrono::milliseconds{100};

}  // namespace

Monitor::~Monitor() { close(); }

void Monitor::close() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    link_ = Link::closed;
    oob_ = false;
    greeting_id_ = 0;
}

void Monitor::connect(const char* path) noexcept {
    close();
    scanner_ = QmpScanner{};
    // What happened while nobody looked is not known: a STOP then was Segue's to see.
    stop_seen_at_.reset();
    nobody_listens_ = false;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(path);
    if (length >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, path, length);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    if (::connect(fd, generic, sizeof address) != 0) {
        nobody_listens_ = errno == ECONNREFUSED || errno == ENOENT;
        ::close(fd);  // EAGAIN: the queue is full (QEMU lets two wait).
        return;
    }
    fd_ = fd;
    link_ = Link::queued;
}

void Monitor::pump() noexcept {
    char bytes[4096];
    for (int reads = 0; reads < reads_max && fd_ >= 0; ++reads) {
        const ssize_t count = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count <= 0) return close();
        for (ssize_t at = 0; at < count; ++at) {
            if (scanner_.push(bytes[at])) take(scanner_.message());
        }
        if (scanner_.broken()) return close();
    }
}

void Monitor::pump_until(Instant until) noexcept {
    if (fd_ < 0) {
        // Nothing to wait for; the callers' loops must not spin.
        static_cast<void>(::poll(nullptr, 0, 1));
        return;
    }
    if (wait_readable(fd_, std::max(until - now(), Duration{0}))) pump();
}

void Monitor::take(const QmpMessage& message) noexcept {
    switch (message.kind) {
        case QmpKind::other: return;
        case QmpKind::greeting:
            oob_ = message.oob;
            link_ = Link::negotiating;
            greeting_id_ = send(oob_ ? R"("execute":"qmp_capabilities","arguments":{"enable":["oob"]}})"
                                     : R"("execute":"qmp_capabilities"})");
            return;
        case QmpKind::event:
            if (message.event.is("STOP")) {
                stop_seen_at_ = now();
                saw_stop_ = true;
            } else if (message.event.is("RESUME")) {
                stop_seen_at_.reset();
                resume_seen_at_ = now();
            }
            return;
        case QmpKind::answer:
        case QmpKind::error: break;
    }
    const bool error = message.kind == QmpKind::error;
    if (message.id == 0) ++anonymous_;
    if (message.id != 0 && message.id == greeting_id_) {
        greeting_id_ = 0;
        if (error) return close();
        link_ = Link::ready;
    }
    Answer& slot = message.id == 0 ? last_anonymous_ : answers_[message.id % answers_.size()];
    slot = {message.id, error, message.migration_yank, message.status, message.description};
}

bool Monitor::write_all(std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t count = ::send(fd_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) {
            text.remove_prefix(static_cast<std::size_t>(count));
            continue;
        }
        if (count < 0 && errno == EINTR) continue;
        pollfd entry{fd_, POLLOUT, 0};
        const int wait_ms = static_cast<int>(write_wait / std::chrono::milliseconds{1});
        if (count < 0 && errno == EAGAIN && ::poll(&entry, 1, wait_ms) > 0) continue;
        close();  // Half a command is out: this connection is of no use any more.
        return false;
    }
    return true;
}

std::uint64_t Monitor::send(std::string_view body) noexcept {
    if (link_ != Link::negotiating && link_ != Link::ready) return 0;
    const std::uint64_t id = next_id_++;
    Line line;
    line << R"({"id":)" << static_cast<std::int64_t>(id) << "," << body << "\n";
    return write_all(line.view()) ? id : 0;
}

bool Monitor::send_line(std::string_view line) noexcept {
    return ready() && write_all(line) && (line.ends_with('\n') || write_all("\n"));
}

const Answer* Monitor::answer(std::uint64_t id) const noexcept {
    const Answer& slot = answers_[id % answers_.size()];
    return id != 0 && slot.id == id ? &slot : nullptr;
}

const Answer* Monitor::await(std::uint64_t id, Instant until) noexcept {
    if (id == 0) return nullptr;
    pump();
    while (answer(id) == nullptr && fd_ >= 0 && now() < until) pump_until(until);
    return answer(id);
}

}  // namespace segue::guard

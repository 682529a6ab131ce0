#include "app/segue/jobs/job_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "io/fd.hpp"
#include "io/loop.hpp"

namespace segue {
namespace {

std::unexpected<Error> silent() { return fail(ErrorKind::timed_out, "it did not answer in time"); }

/// Whether `fd` became ready before `deadline`.
bool wait_for(int fd, short what, Instant deadline) {
    for (;;) {
        const Duration left = deadline - now_on_this_host();
        if (left <= Duration{0}) return false;
        pollfd waited{fd, what, 0};
        // Rounded up, or the last millisecond would spin.
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        const int ready = ::poll(&waited, 1, static_cast<int>(std::min<std::int64_t>(ms, 60'000)));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
    }
}

Result<void> send_all(int fd, std::string_view text, Instant deadline) {
    while (!text.empty()) {
        const ssize_t count = ::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) {
            text.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno == EAGAIN || errno == EINTR) {
            if (!wait_for(fd, POLLOUT, deadline)) return silent();
        } else {
            return fail(ErrorKind::unavailable, "it closed the connection", std::strerror(errno));
        }
    }
    return {};
}

}  // namespace

Result<job::Reply> ask_job(const std::string& socket_path, const job::Request& request, Duration at_most) {
    const Instant deadline = now_on_this_host() + at_most;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof address.sun_path) {
        return fail(ErrorKind::refused, "its socket's path would be too long, so that it has none", socket_path);
    }
    socket_path.copy(address.sun_path, socket_path.size());
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return fail(ErrorKind::refused, "no socket could be made", std::strerror(errno));
    while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int reason = errno;
        if (reason != EAGAIN && reason != EINTR) {
            return fail(ErrorKind::refused, "nobody listens on " + socket_path, std::strerror(reason));
        }
        // Its queue is full: it is busy with others, or listens to nobody while the guest stands.
        if (now_on_this_host() >= deadline) return silent();
        static_cast<void>(::poll(nullptr, 0, 20));
    }
    if (auto sent = send_all(socket.get(), encode(request), deadline); !sent) return std::unexpected(sent.error());
    job::LineReader reader;
    std::array<char, 4096> bytes{};
    while (wait_for(socket.get(), POLLIN, deadline)) {
        const ssize_t count = ::recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (count <= 0) return fail(ErrorKind::unavailable, "it closed the connection without an answer");
        const auto lines = reader.feed({bytes.data(), static_cast<std::size_t>(count)});
        if (!lines.whole.empty()) return job::parse_reply(lines.whole.front());
        if (lines.too_long) return fail(ErrorKind::corrupt, "its answer is longer than 64 KiB");
    }
    return silent();
}

}  // namespace segue

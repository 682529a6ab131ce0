#include "app/segue/vm/vm_monitor.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <cerrno>
#include <chrono>
#include <span>
#include <system_error>
#include <utility>
#include <variant>

#include "io/loop.hpp"

namespace segue {
namespace {

std::string kernel_words(int code) { return std::generic_category().message(code); }

}  // namespace

Result<VmMonitor> VmMonitor::open(const std::string& path, Duration limit) {
    sockaddr_un address{};
    if (path.size() >= sizeof address.sun_path) return fail(ErrorKind::invalid, path + " is too long for a socket");
    VmMonitor monitor;
    monitor.socket_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    if (!monitor.socket_ || ::connect(monitor.socket_.get(), where, sizeof address) != 0) {
        return fail(ErrorKind::unavailable, "the monitor " + path + " cannot be reached", kernel_words(errno));
    }
    const Instant until = now_on_this_host() + limit;
    SEGUE_TRY(greeting, monitor.next(until));
    if (!std::holds_alternative<qemu::Greeting>(greeting)) {
        return fail(ErrorKind::corrupt, "what listens at " + path + " does not greet like a QEMU");
    }
    if (auto ready = monitor.ask("qmp_capabilities", limit); !ready) return std::unexpected(ready.error());
    return monitor;
}

Result<qemu::Message> VmMonitor::next(Instant until) {
    while (read_.empty()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now_on_this_host());
        pollfd entry{socket_.get(), POLLIN, 0};
        const int ready = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return fail(ErrorKind::timed_out, "its monitor did not answer in time");
        std::array<char, 16384> bytes{};
        const ssize_t count = ::read(socket_.get(), bytes.data(), bytes.size());
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (count <= 0) return fail(ErrorKind::unavailable, "its monitor was closed");
        SEGUE_TRY(messages, reader_.feed(std::span(bytes.data(), static_cast<std::size_t>(count))));
        read_ = std::move(messages);
        std::ranges::reverse(read_);
    }
    qemu::Message message = std::move(read_.back());
    read_.pop_back();
    return message;
}

Result<boost::json::value> VmMonitor::ask(const std::string& command, Duration limit) {
    const Instant until = now_on_this_host() + limit;
    const std::string line = qemu::encode_command(command, {}, ++last_id_, false);
    // Far below what a socket takes at once.
    if (::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
        return fail(ErrorKind::unavailable, "its monitor takes no command", kernel_words(errno));
    }
    for (;;) {
        SEGUE_TRY(message, next(until));
        if (auto* reply = std::get_if<qemu::Reply>(&message); reply != nullptr && reply->id == last_id_) {
            return std::move(reply->result);
        }
    }
}

}  // namespace segue

#include "app/segue/host/receive_listener.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace segue {
namespace {

constexpr int backlog = receive::strangers_at_once_max;

std::string name_of(const sockaddr_storage& address, socklen_t size) {
    std::array<char, 64> host{};
    std::array<char, 8> port{};
    const int failed = ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(),
                                     port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
    return failed != 0 ? "somebody" : fmt::format("{} port {}", host.data(), port.data());
}

void set_port(SocketAddress& address, std::uint16_t port) {
    if (address.storage.ss_family == AF_INET6) {
        reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
    } else {
        reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
    }
}

std::uint16_t port_of(const SocketAddress& address) {
    return ntohs(address.storage.ss_family == AF_INET6
                     ? reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port
                     : reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

}  // namespace

ReceiveListener::ReceiveListener(Loop& loop, receive::Listen request, Callbacks callbacks, Resolver::LookUp look_up)
    : loop_(loop),
      request_(std::move(request)),
      callbacks_(std::move(callbacks)),
      resolver_(loop, std::move(look_up)) {
    resolver_.resolve(request_.host, request_.port, [this](Result<std::vector<SocketAddress>> addresses) {
        if (!addresses) return callbacks_.on_open(std::unexpected(std::move(addresses).error()));
        if (closed_) return;
        Result<DataAddress> opened = fail(ErrorKind::unavailable, "no such address on this host", request_.host);
        for (const SocketAddress& address : *addresses) {
            opened = open(address);
            if (opened) break;
        }
        callbacks_.on_open(std::move(opened));
    });
}

ReceiveListener::~ReceiveListener() { close(); }

void ReceiveListener::close() {
    closed_ = true;
    stop_listening();
    for (Stranger& stranger : strangers_) {
        loop_.unwatch(stranger.watch);
        loop_.cancel(stranger.timer);
    }
    strangers_.clear();
}

// ---- Listening -------------------------------------------------------------------------------------

Result<Fd> ReceiveListener::bind_to(SocketAddress& address) const {
    Fd socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int yes = 1;
    if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const auto* where = reinterpret_cast<const sockaddr*>(&address.storage);
    if (!socket || ::bind(socket.get(), where, address.size) != 0 || ::listen(socket.get(), backlog) != 0) {
        const int reason = errno;
        return fail(reason == EADDRINUSE ? ErrorKind::conflict : ErrorKind::refused,
                    fmt::format("cannot listen for the data connection on {} port {}", request_.host,
                                port_of(address)),
                    std::strerror(reason));
    }
    return socket;
}

Result<DataAddress> ReceiveListener::open(SocketAddress address) {
    const bool range = request_.port == 0 && request_.port_last != 0;
    const int first = range ? std::max<int>(request_.port_first, 1) : request_.port;
    const int last = range ? request_.port_last : first;
    Result<Fd> socket = fail(ErrorKind::invalid, "the ports to listen on end before they begin");
    for (int port = first; port <= last && !socket; ++port) {
        set_port(address, static_cast<std::uint16_t>(port));
        socket = bind_to(address);
        if (!socket && socket.error().kind != ErrorKind::conflict) break;
    }
    if (!socket) return std::unexpected(socket.error());
    listener_ = std::move(*socket);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.size);
    watch_ = loop_.watch_readable(listener_.get(), [this] { accept_some(); });
    return DataAddress{request_.host, port_of(address)};
}

void ReceiveListener::stop_listening() {
    if (watch_) loop_.unwatch(*std::exchange(watch_, std::nullopt));
    listener_.reset();
}

void ReceiveListener::stop_if_closed() {
    if (!listener_ || !gate_.closed()) return;
    stop_listening();
    if (gate_.refused() < receive::strangers_max) return;
    callbacks_.on_refused("too many strangers came, nobody is let in any more");
}

// ---- Strangers -------------------------------------------------------------------------------------

/// As many a turn as may wait, so that a flood does not keep the loop.
void ReceiveListener::accept_some() {
    for (int i = 0; i < backlog && listener_; ++i) {
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        Fd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket) return;
        take(std::move(socket), name_of(address, size));
        stop_if_closed();
    }
}

void ReceiveListener::take(Fd socket, std::string who) {
    if (!gate_.enter()) return callbacks_.on_refused(who + ": too many at once, or too late");
    const int fd = socket.get();
    strangers_.push_back({std::move(socket), std::move(who), receive::TokenCheck(request_.token, loop_.now())});
    const auto place = std::prev(strangers_.end());
    place->watch = loop_.watch_readable(fd, [this, place] { read_token(place); });
    place->timer = loop_.at(place->check.deadline(), [this, place] {
        dismiss(place, receive::TokenVerdict::wrong, "said no token in time");
    });
}

void ReceiveListener::read_token(Place stranger) {
    std::array<char, receive::token_bytes_max + 1> bytes{};
    // Never more than what is wanted: the next byte is the stream's.
    const std::size_t wanted = std::min(stranger->check.wanted(), bytes.size());
    const ssize_t count = ::recv(stranger->socket.get(), bytes.data(), wanted, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return dismiss(stranger, receive::TokenVerdict::wrong, "left before it said a token");
    const auto said = std::span<const char>(bytes).first(static_cast<std::size_t>(count));
    const auto verdict = stranger->check.feed(said, loop_.now());
    if (verdict != receive::TokenVerdict::waiting) dismiss(stranger, verdict, "said a wrong token");
}

void ReceiveListener::dismiss(Place stranger, receive::TokenVerdict verdict, const std::string& why) {
    loop_.unwatch(stranger->watch);
    loop_.cancel(stranger->timer);
    Stranger gone = std::move(*stranger);
    strangers_.erase(stranger);
    const bool data = gate_.leave(verdict);
    stop_if_closed();
    if (!data) {
        const bool second = verdict == receive::TokenVerdict::right;
        return callbacks_.on_refused(gone.who + " " + (second ? "said the token a second time" : why));
    }
    const int yes = 1;
    ::setsockopt(gone.socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    callbacks_.on_data(std::move(gone.socket));
}

}  // namespace segue

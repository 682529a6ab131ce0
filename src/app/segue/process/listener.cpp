#include "app/segue/process/listener.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "io/fd.hpp"

namespace segue {
namespace {

constexpr int listener_tries_max = 100;
constexpr int listener_retry_ms = 5;

}  // namespace

pid_t listener_on(const std::string& path) {
    sockaddr_un address{};
    if (path.empty() || path.size() >= sizeof address.sun_path) return 0;
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    if (!socket) return 0;
    // A monitor whose holder has just died may not have room in its queue for a moment.
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    for (int tries = 0; ::connect(socket.get(), where, sizeof address) != 0; ++tries) {
        if (errno != EAGAIN) return 0;
        if (tries == listener_tries_max) return listener_unknown;
        ::poll(nullptr, 0, listener_retry_ms);
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

}  // namespace segue

#include "app/segue/jobs/job_socket.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace segue {
namespace {

constexpr int backlog = static_cast<int>(job_socket::clients_max);

std::unexpected<Error> cannot(std::string_view what, const std::string& path, int reason) {
    return fail(ErrorKind::refused, fmt::format("{} {}", what, path), std::strerror(reason));
}

std::optional<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return std::nullopt;
    path.copy(address.sun_path, path.size());
    return address;
}

int bind_to(int fd, const sockaddr_un& address) {
    return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

/// Whether a process still listens there.
bool is_served(const sockaddr_un& address) {
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!probe) return true;
    const int done = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    return done == 0 || errno == EAGAIN;
}

/// The folder, for its owner alone; one of somebody else's could be swapped under us.
Result<void> make_folder(const std::string& folder) {
    std::error_code problem;
    std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), problem);
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) return cannot("cannot make", folder, errno);
    struct stat found {};
    if (::lstat(folder.c_str(), &found) != 0) return cannot("cannot look at", folder, errno);
    if (!S_ISDIR(found.st_mode) || found.st_uid != ::geteuid()) {
        return fail(ErrorKind::refused, folder + " is no folder of this user");
    }
    if ((found.st_mode & 07777) != S_IRWXU && ::chmod(folder.c_str(), S_IRWXU) != 0) {
        return cannot("cannot make private", folder, errno);
    }
    return {};
}

Result<Fd> listen_on(const std::string& path) {
    const auto address = address_of(path);
    if (!address) {
        return fail(ErrorKind::refused,
                    fmt::format("{} has {} bytes, more than a socket's path may have (107)", path, path.size()));
    }
    if (auto made = make_folder(std::filesystem::path(path).parent_path().string()); !made) {
        return std::unexpected(made.error());
    }
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return cannot("no socket for", path, errno);
    int problem = bind_to(socket.get(), *address);
    if (problem == EADDRINUSE) {
        if (is_served(*address)) return fail(ErrorKind::conflict, "another process listens on " + path);
        ::unlink(path.c_str());
        problem = bind_to(socket.get(), *address);
    }
    if (problem != 0) return cannot("cannot listen on", path, problem);
    // Nobody can connect before `listen`, so there is no moment in which the rights are too wide.
    if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(socket.get(), backlog) != 0) {
        const int reason = errno;
        ::unlink(path.c_str());
        return cannot("cannot listen on", path, reason);
    }
    return socket;
}

bool same_file(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

}  // namespace

std::string job_socket_path(const std::string& state_folder, std::int64_t job) {
    return fmt::format("{}/jobs/{}.sock", state_folder, job);
}

Result<std::unique_ptr<JobSocket>> JobSocket::open(Loop& loop, const std::string& path, OnRequest on_request) {
    SEGUE_TRY(listener, listen_on(path));
    return std::unique_ptr<JobSocket>(new JobSocket(loop, path, std::move(listener), std::move(on_request)));
}

JobSocket::JobSocket(Loop& loop, std::string path, Fd listener, OnRequest on_request)
    : loop_(loop), path_(std::move(path)), listener_(std::move(listener)), on_request_(std::move(on_request)) {
    static_cast<void>(::lstat(path_.c_str(), &made_));
    watch_ = loop_.watch_readable(listener_.get(), [this] { accept_some(); });
}

JobSocket::~JobSocket() {
    if (watch_) loop_.unwatch(*watch_);
    while (!clients_.empty()) dismiss(clients_.begin());
    struct stat found {};
    if (::lstat(path_.c_str(), &found) == 0 && same_file(found, made_)) ::unlink(path_.c_str());
}

void JobSocket::deafen(bool deaf) {
    if (std::exchange(deaf_, deaf) == deaf) return;
    if (!deaf) {
        watch_ = loop_.watch_readable(listener_.get(), [this] { accept_some(); });
    } else if (watch_) {
        loop_.unwatch(*std::exchange(watch_, std::nullopt));
    }
    for (auto client = clients_.begin(); client != clients_.end(); ++client) {
        if (!deaf) {
            give_time(client);
            listen_to(client);
            continue;
        }
        if (client->watch) loop_.unwatch(*std::exchange(client->watch, std::nullopt));
        if (client->timer) loop_.cancel(*std::exchange(client->timer, std::nullopt));
    }
}

// ---- clients ---------------------------------------------------------------------------------------

/// As many a turn as may wait, so that a flood does not keep the loop.
void JobSocket::accept_some() {
    for (int i = 0; i < backlog && !deaf_; ++i) {
        Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket) return;
        take(std::move(socket));
    }
}

void JobSocket::take(Fd socket) {
    ucred who{};
    socklen_t size = sizeof who;
    const bool known = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
    if (!known || (who.uid != 0 && who.uid != ::geteuid())) return;
    if (clients_.size() >= job_socket::clients_max) {
        // A fresh socket's buffer takes one line; should it not, the end of the connection says enough.
        const std::string line = encode(job::Reply{job::Failed{"too many ask at once: try again"}});
        static_cast<void>(::send(socket.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
        return;
    }
    clients_.push_back({std::move(socket), {who.pid, who.uid}, {}, {}, false, {}, {}});
    const auto client = std::prev(clients_.end());
    give_time(client);
    listen_to(client);
}

void JobSocket::give_time(Place client) {
    if (client->timer) loop_.cancel(*client->timer);
    client->timer = loop_.at(loop_.now() + job_socket::patience, [this, client] { dismiss(client); });
}

/// What it waits for: to be read, or, while an answer waits, to be written to and nothing else.
void JobSocket::listen_to(Place client) {
    if (client->watch) loop_.unwatch(*std::exchange(client->watch, std::nullopt));
    if (deaf_) return;
    const int fd = client->socket.get();
    client->watch = client->waiting.empty() ? loop_.watch_readable(fd, [this, client] { read_some(client); })
                                            : loop_.watch_writable(fd, [this, client] { write_some(client); });
}

void JobSocket::read_some(Place client) {
    std::array<char, job_socket::read_bytes_max> bytes{};
    const ssize_t count = ::recv(client->socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return dismiss(client);
    answer(client, client->reader.feed({bytes.data(), static_cast<std::size_t>(count)}));
}

void JobSocket::answer(Place client, const job::LineReader::Lines& lines) {
    const auto end_with = [&](std::string message) {
        client->waiting += encode(job::Reply{job::Failed{std::move(message)}});
        client->last = true;
    };
    for (const std::string& line : lines.whole) {
        const auto request = job::parse_request(line);
        if (!request) {
            end_with(request.error().message);
            break;
        }
        client->waiting += encode(on_request_(*request, client->peer));
        if (client->waiting.size() > job_socket::waiting_bytes_max) return dismiss(client);
    }
    if (lines.too_long && !client->last) end_with("the line is longer than 64 KiB");
    if (client->waiting.empty()) return;
    give_time(client);
    write_some(client);
}

void JobSocket::write_some(Place client) {
    const ssize_t count = ::send(client->socket.get(), client->waiting.data(), client->waiting.size(),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return dismiss(client);
    if (count > 0) client->waiting.erase(0, static_cast<std::size_t>(count));
    if (client->waiting.empty() && client->last) return dismiss(client);
    listen_to(client);
}

void JobSocket::dismiss(Place client) {
    if (client->watch) loop_.unwatch(*client->watch);
    if (client->timer) loop_.cancel(*client->timer);
    clients_.erase(client);
}

}  // namespace segue

/// \file  Who holds a monitor: the process at the other end of the connection that QEMU has accepted.
///
/// The kernel tells the sockets that carry the monitor's path and their peers' inode numbers
/// (NETLINK_SOCK_DIAG, any user); /proc/PID/fd tells whose socket that is (root, or the same user).
/// Both are of this network and pid namespace only; elsewhere the answer is empty.

#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <vector>

#include "hypervisor/qemu/connection.hpp"
#include "io/fd.hpp"

namespace segue::qemu {
namespace {

namespace fs = std::filesystem;

/// What identifies the monitor's socket file. The path alone fails behind symbolic links, the inode alone
/// on file systems that show another device number to stat() than the kernel's own (btrfs, overlayfs).
struct SocketFile {
    std::string path;
    std::string canonical;
    std::uint32_t inode = 0;
    std::uint32_t device = 0;
};

/// An inode number as the diag interface writes it; 0 is never one.
using SocketInode = std::uint32_t;

template <class T>
std::optional<T> read_at(std::span<const char> bytes, std::size_t offset) {
    if (bytes.size() < offset || bytes.size() - offset < sizeof(T)) return std::nullopt;
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

SocketFile identify(const std::string& path) {
    SocketFile file{path, {}, 0, 0};
    std::error_code error;
    file.canonical = fs::weakly_canonical(path, error).string();
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) {
        // The interface cuts inode numbers to 32 bits and has the kernel's own form of device numbers.
        file.inode = static_cast<std::uint32_t>(status.st_ino);
        file.device = static_cast<std::uint32_t>(major(status.st_dev) << 20 | minor(status.st_dev));
    }
    return file;
}

/// The peer's inode when `message` is an accepted connection of `file`, else 0.
SocketInode peer_if_of(const SocketFile& file, std::span<const char> message) {
    const auto header = read_at<unix_diag_msg>(message, 0);
    // Connections that wait to be accepted have no inode: ours is among them.
    if (!header || header->udiag_ino == 0) return 0;
    bool matches = false;
    SocketInode peer = 0;
    for (std::size_t at = aligned(sizeof(unix_diag_msg)); at < message.size();) {
        const auto attribute = read_at<nlattr>(message, at);
        if (!attribute || attribute->nla_len < sizeof(nlattr) || attribute->nla_len > message.size() - at) break;
        const auto body = message.subspan(at + sizeof(nlattr), attribute->nla_len - sizeof(nlattr));
        if (attribute->nla_type == UNIX_DIAG_NAME) {
            const std::string_view name(body.data(), ::strnlen(body.data(), body.size()));
            matches = matches || (!name.empty() && (name == file.path || name == file.canonical));
        } else if (attribute->nla_type == UNIX_DIAG_VFS) {
            const auto vfs = read_at<unix_diag_vfs>(body, 0);
            matches = matches || (vfs && file.inode != 0 && vfs->udiag_vfs_ino == file.inode &&
                                  vfs->udiag_vfs_dev == file.device);
        } else if (attribute->nla_type == UNIX_DIAG_PEER) {
            peer = read_at<std::uint32_t>(body, 0).value_or(0);
        }
        at += aligned(attribute->nla_len);
    }
    return matches ? peer : 0;
}

Fd ask_for_all_connections() {
    Fd socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!socket) return Fd();
    struct {
        nlmsghdr header;
        unix_diag_req body;
    } request{};
    request.header.nlmsg_len = sizeof(request);
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.sdiag_family = AF_UNIX;
    constexpr std::uint32_t established = 1;
    request.body.udiag_states = 1U << established;
    request.body.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER;
    // The kernel answers at once; this is against a kernel that does not.
    const timeval patience{0, 200'000};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (::send(socket.get(), &request, sizeof(request), 0) < 0) return Fd();
    return socket;
}

/// Adds the peers told in one datagram; whether more is to come.
bool collect(const SocketFile& file, std::span<const char> datagram, std::vector<SocketInode>& peers) {
    while (!datagram.empty()) {
        const auto header = read_at<nlmsghdr>(datagram, 0);
        if (!header || header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > datagram.size()) return false;
        if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) return false;
        const auto body = datagram.subspan(sizeof(nlmsghdr), header->nlmsg_len - sizeof(nlmsghdr));
        if (const SocketInode peer = peer_if_of(file, body)) peers.push_back(peer);
        datagram = datagram.subspan(std::min(aligned(header->nlmsg_len), datagram.size()));
    }
    return true;
}

/// The inodes of the clients' ends of all accepted connections of `file`.
std::vector<SocketInode> clients_of(const SocketFile& file) {
    std::vector<SocketInode> peers;
    const Fd socket = ask_for_all_connections();
    if (!socket) return peers;
    std::vector<char> buffer(64 * 1024);
    for (;;) {
        const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        if (!collect(file, std::span(buffer).first(static_cast<std::size_t>(size)), peers)) break;
    }
    return peers;
}

bool holds_socket(const fs::path& process, const std::vector<std::string>& links) {
    std::error_code error;
    for (fs::directory_iterator entry(process / "fd", error), end; !error && entry != end; entry.increment(error)) {
        std::error_code gone;
        const std::string target = fs::read_symlink(entry->path(), gone).string();
        if (std::ranges::find(links, target) != links.end()) return true;
    }
    return false;
}

std::string program_name(const fs::path& process) {
    std::string name;
    std::getline(std::ifstream(process / "comm"), name);
    // A process may call itself anything, and this goes to a terminal.
    std::ranges::replace_if(name, [](char c) { return c < ' ' || c > '~'; }, '?');
    return name.empty() ? "?" : name;
}

}  // namespace

std::string describe_monitor_holder(const std::string& path) {
    std::vector<std::string> links;
    for (const SocketInode inode : clients_of(identify(path))) links.push_back(fmt::format("socket:[{}]", inode));
    if (links.empty()) return {};
    std::error_code error;
    for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        pid_t pid = 0;
        const auto [stop, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (bad != std::errc() || stop != name.data() + name.size()) continue;
        if (holds_socket(entry->path(), links)) return fmt::format("pid {} ({})", pid, program_name(entry->path()));
    }
    return {};
}

}  // namespace segue::qemu

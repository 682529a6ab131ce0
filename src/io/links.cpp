#include "io/links.hpp"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "io/fd.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

/// A hypervisor's host has hundreds. Beyond this the answer is given up.
constexpr std::size_t links_max = 65'536;

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

template <class T>
T number_of(std::string_view bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
    return value;
}

std::string text_of(std::string_view bytes) { return std::string(bytes.substr(0, bytes.find('\0'))); }

/// `what` is told the type of each attribute and what it holds.
template <class F>
void for_each(std::string_view bytes, F what) {
    while (bytes.size() >= sizeof(rtattr)) {
        const auto head = number_of<rtattr>(bytes);
        if (head.rta_len < sizeof head || head.rta_len > bytes.size()) return;
        what(head.rta_type & NLA_TYPE_MASK, bytes.substr(sizeof head, head.rta_len - sizeof head));
        bytes.remove_prefix(std::min(aligned(head.rta_len), bytes.size()));
    }
}

void read_tun(std::string_view data, HostLink& link) {
    for_each(data, [&link](int type, std::string_view value) {
        if (type == IFLA_TUN_OWNER) link.owner = number_of<std::uint32_t>(value);
        if (type == IFLA_TUN_GROUP) link.group = number_of<std::uint32_t>(value);
        if (type == IFLA_TUN_TYPE) link.tap = number_of<std::uint8_t>(value) == IFF_TAP;
        if (type == IFLA_TUN_PERSIST) link.persistent = number_of<std::uint8_t>(value) != 0;
        if (type == IFLA_TUN_MULTI_QUEUE) link.multi_queue = number_of<std::uint8_t>(value) != 0;
    });
}

void read_info(std::string_view info, HostLink& link) {
    for_each(info, [&link](int type, std::string_view value) {
        if (type == IFLA_INFO_KIND) link.kind = text_of(value);
        // The kind comes before its data.
        if (type == IFLA_INFO_DATA && link.kind == "tun") read_tun(value, link);
    });
}

/// \param body  Of an RTM_NEWLINK.
HostLink link_of(std::string_view body) {
    const auto head = number_of<ifinfomsg>(body);
    HostLink link;
    link.index = head.ifi_index;
    link.up = (head.ifi_flags & IFF_UP) != 0;
    for_each(body.substr(std::min(aligned(sizeof head), body.size())), [&link](int type, std::string_view value) {
        if (type == IFLA_IFNAME) link.name = text_of(value);
        if (type == IFLA_MASTER) link.master = number_of<int>(value);
        if (type == IFLA_CARRIER) link.carrier = number_of<std::uint8_t>(value) != 0;
        if (type == IFLA_LINKINFO) read_info(value, link);
    });
    return link;
}

std::unexpected<Error> kernel_refused(int reason) {
    return fail(ErrorKind::refused, "the kernel does not list its network interfaces", std::strerror(reason));
}

Result<Fd> ask_for_links() {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!socket) return kernel_refused(errno);
    const timeval patience{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct {
        nlmsghdr head;
        ifinfomsg body;
    } request{};
    request.head.nlmsg_len = sizeof request;
    request.head.nlmsg_type = RTM_GETLINK;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.ifi_family = AF_UNSPEC;
    if (::send(socket.get(), &request, sizeof request, 0) < 0) return kernel_refused(errno);
    return socket;
}

}  // namespace

Result<std::vector<HostLink>> read_links() {
    SEGUE_TRY(socket, ask_for_links());
    std::vector<HostLink> links;
    std::array<char, 64 * 1024> buffer;
    while (links.size() < links_max) {
        const ssize_t count = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return kernel_refused(errno);
        std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
        while (bytes.size() >= sizeof(nlmsghdr)) {
            const auto head = number_of<nlmsghdr>(bytes);
            if (head.nlmsg_len < sizeof head || head.nlmsg_len > bytes.size()) break;
            const std::string_view body = bytes.substr(sizeof head, head.nlmsg_len - sizeof head);
            if (head.nlmsg_type == NLMSG_DONE) return links;
            if (head.nlmsg_type == NLMSG_ERROR) return kernel_refused(-number_of<nlmsgerr>(body).error);
            if (head.nlmsg_type == RTM_NEWLINK) links.push_back(link_of(body));
            bytes.remove_prefix(std::min(aligned(head.nlmsg_len), bytes.size()));
        }
    }
    return links;
}

bool in_this_network(pid_t pid) {
    std::error_code problem;
    const fs::path theirs = fs::read_symlink(fmt::format("/proc/{}/ns/net", pid), problem);
    return !problem && theirs == fs::read_symlink("/proc/self/ns/net", problem);
}

std::string tun_name_in(const std::string& fdinfo) {
    std::ifstream file(fdinfo);
    constexpr std::string_view name = "iff:";
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(name)) continue;
        const auto at = line.find_first_not_of(" \t", name.size());
        return at == std::string::npos ? std::string{} : line.substr(at);
    }
    return {};
}

std::vector<std::string> tun_names_of(pid_t pid) {
    std::vector<std::string> names;
    if (!in_this_network(pid)) return names;
    const std::string process = fmt::format("/proc/{}", pid);
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(process + "/fd", problem)) {
        std::error_code gone;
        if (fs::read_symlink(entry.path(), gone) != "/dev/net/tun") continue;
        std::string name = tun_name_in(process + "/fdinfo/" + entry.path().filename().string());
        if (!name.empty()) names.push_back(std::move(name));
    }
    std::ranges::sort(names);
    const auto repeated = std::ranges::unique(names);
    names.erase(repeated.begin(), repeated.end());
    return names;
}

}  // namespace segue

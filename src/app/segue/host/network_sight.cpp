/// \file  What network_check.hpp says of this host is read here.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>

#include "app/segue/host/network_check.hpp"
#include "io/fd.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

/// Files that include files.
constexpr int acl_depth_max = 8;
constexpr unsigned cap_net_admin = 12;  // linux/capability.h

std::string kernel_says(int reason) { return std::strerror(reason); }

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// As execv would find.
std::string program_trouble(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return kernel_says(errno);
    if (!S_ISREG(status.st_mode)) return "it is no file";
    return ::access(path.c_str(), X_OK) == 0 ? std::string() : kernel_says(errno);
}

/// Where distributions put what comes with QEMU; beside the program first, since a build of one's own has it there.
std::string own_helper(const std::string& qemu) {
    std::vector<std::string> places;
    if (const auto slash = qemu.rfind('/'); slash != std::string::npos && slash > 0) {
        const std::string up = qemu.substr(0, qemu.rfind('/', slash - 1));
        places = {up + "/lib/qemu/qemu-bridge-helper", up + "/libexec/qemu-bridge-helper"};
    }
    places.insert(places.end(), {"/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper",
                                 "/usr/local/libexec/qemu-bridge-helper"});
    const auto found = std::ranges::find_if(places, [](const auto& path) { return program_trouble(path).empty(); });
    return found == places.end() ? std::string() : *found;
}

/// Who is not root needs a helper that is.
std::string helper_trouble(const std::string& path, bool net_admin) {
    if (std::string trouble = program_trouble(path); !trouble.empty() || net_admin) return trouble;
    struct stat status{};
    ::stat(path.c_str(), &status);
    const bool as_root = (status.st_mode & S_ISUID) != 0 && status.st_uid == 0;
    if (as_root || ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) return {};
    return "it has no rights of its own (chmod u+s), and segue receive lacks CAP_NET_ADMIN";
}

bool has_net_admin() {
    std::ifstream file("/proc/self/status");
    constexpr std::string_view name = "CapEff:\t";
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(name)) continue;
        std::uint64_t bits = 0;
        std::from_chars(line.data() + name.size(), line.data() + line.size(), bits, 16);
        return ((bits >> cap_net_admin) & 1U) != 0;
    }
    return ::geteuid() == 0;
}

std::string holder_of(const std::string& tap) {
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator("/proc", problem)) {
        const std::string name = entry.path().filename().string();
        pid_t pid = 0;
        std::from_chars(name.data(), name.data() + name.size(), pid);
        if (pid <= 0 || !std::ranges::binary_search(tun_names_of(pid), tap)) continue;
        return fmt::format("process {} ({})", pid, first_line("/proc/" + name + "/comm"));
    }
    return {};
}

struct Acl {
    bool allowed = false;
    bool denied = false;
};

std::vector<std::string> acl_words(const std::string& line) {
    std::vector<std::string> words;
    std::string_view rest = std::string_view(line).substr(0, line.find('#'));
    while (true) {
        const auto begin = rest.find_first_not_of(" \t\r");
        if (begin == std::string_view::npos) return words;
        rest.remove_prefix(begin);
        const auto end = std::min(rest.find_first_of(" \t\r"), rest.size());
        words.emplace_back(rest.substr(0, end));
        rest.remove_prefix(end);
    }
}

/// \return  Why the helper could not read it; what an included file lacks is no fault.
std::string read_acl(const std::string& path, const std::string& bridge, int depth, Acl& acl) {
    errno = 0;
    std::ifstream file(path);
    if (!file) return fmt::format("{} cannot be read ({})", path, kernel_says(errno));
    for (std::string line; std::getline(file, line);) {
        const auto words = acl_words(line);
        if (words.empty()) continue;
        if (words.size() < 2) return fmt::format("{} has a line that says nothing: {}", path, words[0]);
        const bool meant = words[1] == "all" || words[1] == bridge;
        if (words[0] == "allow") {
            acl.allowed = acl.allowed || meant;
        } else if (words[0] == "deny") {
            acl.denied = acl.denied || meant;
        } else if (words[0] == "include") {
            if (depth > 0) static_cast<void>(read_acl(words[1], bridge, depth - 1, acl));
        } else {
            return fmt::format("{} has a line that is not understood: {}", path, words[0]);
        }
    }
    return {};
}

}  // namespace

std::string acl_trouble(const std::string& path, const std::string& bridge) {
    Acl acl;
    if (std::string trouble = read_acl(path, bridge, acl_depth_max, acl); !trouble.empty()) return trouble;
    if (acl.denied) return path + " denies it";
    return acl.allowed ? std::string() : path + " does not allow it";
}

NetworkSight look_at_networks(const std::vector<vm::HostNetwork>& networks, const std::string& qemu) {
    NetworkSight sight;
    if (networks.empty()) return sight;
    if (auto links = read_links()) {
        sight.links = std::move(*links);
        sight.links_known = true;
    }
    sight.net_admin = has_net_admin();
    sight.user = ::geteuid();
    std::array<gid_t, 1024> groups{};
    const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
    sight.groups.assign(groups.begin(), groups.begin() + std::max(count, 0));
    sight.groups.push_back(::getegid());
    if (const Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC)); !tun) sight.tun_trouble = kernel_says(errno);
    for (const vm::HostNetwork& network : networks) {
        if (!network.by_helper) {
            // A relative one is found from QEMU's folder, which is not this one's.
            if (network.script.starts_with('/')) sight.programs[network.script] = program_trouble(network.script);
            const auto tap = std::ranges::find(sight.links, network.ifname, &HostLink::name);
            if (tap == sight.links.end() || !tap->carrier) continue;
            if (std::string holder = holder_of(tap->name); !holder.empty()) sight.holders[tap->name] = holder;
            continue;
        }
        const std::string helper = network.helper.empty() ? own_helper(qemu) : network.helper;
        if (helper.empty()) {
            sight.programs[network.helper] = "it is not installed";
        } else if (helper.starts_with('/') && helper.find_first_of(" \t") == std::string::npos) {
            sight.programs[network.helper] = helper_trouble(helper, sight.net_admin);
        }
        sight.acl[network.bridge] = acl_trouble("/etc/qemu/bridge.conf", network.bridge);
    }
    return sight;
}

}  // namespace segue

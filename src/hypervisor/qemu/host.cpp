#include "hypervisor/qemu/host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>

#include "io/links.hpp"

namespace segue::qemu {
namespace {

std::string text_of_file(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    std::string all = text.str();
    while (all.ends_with('\n')) all.pop_back();
    return all;
}

/// Empty where it holds no number ("max").
std::optional<std::int64_t> number_in(const std::string& path) {
    const std::string text = text_of_file(path);
    std::int64_t value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    if (end.ec != std::errc{} || end.ptr == text.data()) return std::nullopt;
    return value;
}

/// What the group may still take: page cache that only files hold can be let go.
std::optional<std::int64_t> room_in(const std::string& folder) {
    const bool second = std::ifstream(folder + "/memory.current").is_open();
    const auto limit = number_in(folder + (second ? "/memory.max" : "/memory.limit_in_bytes"));
    const auto used = number_in(folder + (second ? "/memory.current" : "/memory.usage_in_bytes"));
    if (!limit || !used) return std::nullopt;
    const std::string statistics = "\n" + text_of_file(folder + "/memory.stat");
    const std::string name = second ? "\ninactive_file " : "\ntotal_inactive_file ";
    std::int64_t cache = 0;
    if (const auto at = statistics.find(name); at != std::string::npos) {
        std::from_chars(statistics.data() + at + name.size(), statistics.data() + statistics.size(), cache);
    }
    return std::max<std::int64_t>(*limit - *used + cache, 1);  // 0 would mean that nothing is known.
}

}  // namespace

std::int64_t kilobytes_in(std::string_view text, std::string_view name) {
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size() - 1);
        std::string_view line = text.substr(0, end + 1);
        text.remove_prefix(end + 1);
        if (!line.starts_with(name) || !line.substr(name.size()).starts_with(':')) continue;
        line.remove_prefix(name.size() + 1);
        line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
        std::int64_t value = 0;
        const auto read = std::from_chars(line.data(), line.data() + line.size(), value);
        return read.ec == std::errc{} ? value * 1024 : -1;
    }
    return -1;
}

Bytes memory_taken_in(std::string_view status, Bytes huge_reserved) {
    const auto said = [status](std::string_view name) {
        return Bytes{std::max<std::int64_t>(kilobytes_in(status, name), 0)};
    };
    // Huge pages count in no Rss.
    return said("RssAnon") + said("RssShmem") + std::max(said("HugetlbPages"), huge_reserved);
}

Bytes memory_taken_by(pid_t pid, Bytes huge_reserved) {
    const std::string status = text_of_file(fmt::format("/proc/{}/status", pid));
    return status.empty() ? Bytes{} : memory_taken_in(status, huge_reserved);
}

std::vector<std::string> memory_groups(std::string_view cgroup, const std::string& root_v2,
                                       const std::string& root_v1) {
    std::vector<std::string> folders;
    while (!cgroup.empty()) {
        const auto end = std::min(cgroup.find('\n'), cgroup.size());
        const std::string_view line = cgroup.substr(0, end);
        cgroup.remove_prefix(std::min(end + 1, cgroup.size()));
        const auto first = line.find(':');
        const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
        const bool unified = controllers == ",,";
        if (!unified && controllers.find(",memory,") == std::string::npos) continue;
        const std::string& root = unified ? root_v2 : root_v1;
        for (std::string path(line.substr(second + 1)); path.size() > 1; path.resize(path.rfind('/'))) {
            folders.push_back(root + path);
        }
        folders.push_back(root);
    }
    return folders;
}

std::vector<Tap> taps_of(pid_t pid) {
    const std::vector<std::string> names = tun_names_of(pid);
    const auto links = names.empty() ? Result<std::vector<HostLink>>{} : read_links();
    std::vector<Tap> taps;
    for (const std::string& name : names) {
        if (!links) break;
        const auto link = std::ranges::find(*links, name, &HostLink::name);
        if (link == links->end()) continue;
        // No interface has the index 0.
        const auto master = std::ranges::find(*links, link->master, &HostLink::index);
        Tap tap{name, {}, false};
        if (master != links->end()) {
            tap.bridge = master->name;
            tap.carries = link->up && master->up;
        }
        taps.push_back(std::move(tap));
    }
    return taps;
}

HostFacts read_host(pid_t pid) {
    HostFacts facts;
    facts.boot = text_of_file("/proc/sys/kernel/random/boot_id");
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    facts.wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(since_1970).count();
    facts.memory_available = {std::max<std::int64_t>(kilobytes_in(text_of_file("/proc/meminfo"), "MemAvailable"), 0)};
    if (pid <= 0) return facts;
    const std::string process = fmt::format("/proc/{}/", pid);
    const std::string groups = text_of_file(process + "cgroup");
    for (const std::string& folder : memory_groups(groups, "/sys/fs/cgroup", "/sys/fs/cgroup/memory")) {
        if (const auto room = room_in(folder)) {
            facts.memory_available = std::min(facts.memory_available, Bytes{*room});
        }
    }
    facts.memory_taken = memory_taken_by(pid);
    return facts;
}

}  // namespace segue::qemu

#include "brake/cgroup/thread.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <map>
#include <optional>

namespace segue {
namespace {

std::string task_folder(const GroupFiles& files, int pid) { return fmt::format("{}/{}/task", files.proc, pid); }

/// How the thread is called in the innermost pid namespace that it is in: the last number of "NSpid:".
int innermost_number(const std::string& status) {
    for (const auto line : split(status, '\n')) {
        if (!line.starts_with("NSpid:")) continue;
        const auto numbers = split(line.substr(line.find(':') + 1), '\t');
        return numbers.empty() ? 0 : static_cast<int>(number_in(numbers.back(), 0));
    }
    return 0;
}

struct Mount {
    GroupVersion version{};
    std::string root;   ///< Which group of the hierarchy is mounted there.
    std::string place;
};

bool lists(std::string_view words, char separator, std::string_view wanted) {
    const auto parts = split(words, separator);
    return std::ranges::find(parts, wanted) != parts.end();
}

/// Octal escapes of mountinfo: \040 is a space.
std::string unescaped(std::string_view text) {
    std::string plain;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '\\' || at + 3 >= text.size()) {
            plain += text[at];
            continue;
        }
        plain += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
        at += 3;
    }
    return plain;
}

/// "ID PARENT DEV ROOT PLACE OPTIONS [TAGS] - TYPE SOURCE SUPER": v1 with the cpu controller, or v2.
std::optional<Mount> cpu_mount(std::string_view line) {
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos) return std::nullopt;
    const auto before = split(line.substr(0, dash), ' ');
    const auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.empty()) return std::nullopt;
    const bool v1 = after[0] == "cgroup" && lists(after.back(), ',', "cpu");
    if (!v1 && after[0] != "cgroup2") return std::nullopt;
    return Mount{v1 ? GroupVersion::v1 : GroupVersion::v2, unescaped(before[3]), unescaped(before[4])};
}

/// Version 1 first: where its cpu controller is mounted, version 2 has none.
std::vector<Mount> cpu_mounts(const GroupFiles& files) {
    std::vector<Mount> mounts;
    const std::string text = read_small(files.proc + "/self/mountinfo");
    for (const auto line : split(text, '\n')) {
        if (auto mount = cpu_mount(line)) mounts.push_back(std::move(*mount));
    }
    std::ranges::stable_sort(mounts, {}, &Mount::version);
    return mounts;
}

/// The thread's path in one hierarchy, of lines "ID:CONTROLLERS:PATH".
std::optional<std::string> path_in(const std::string& cgroup_file, GroupVersion version) {
    for (const auto line : split(cgroup_file, '\n')) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const auto controllers = line.substr(first + 1, second - first - 1);
        const bool here = version == GroupVersion::v1 ? lists(controllers, ',', "cpu") : controllers.empty();
        if (here) return std::string(line.substr(second + 1));
    }
    return std::nullopt;
}

/// Where the group is seen through `mount`; nothing where it lies outside.
std::optional<std::string> folder_of(const Mount& mount, std::string path) {
    if (path.starts_with("/..")) return std::nullopt;
    if (mount.root != "/") {
        if (!path.starts_with(mount.root)) return std::nullopt;
        path.erase(0, mount.root.size());
        if (!path.empty() && path.front() != '/') return std::nullopt;
    }
    return path.empty() || path == "/" ? mount.place : mount.place + path;
}

/// Fields behind the command's name, which may hold anything.
void read_scheduling(const std::string& stat, VcpuThread& thread) {
    const auto after = stat.rfind(')');
    if (after == std::string::npos) return;
    const auto fields = split(std::string_view(stat).substr(after + 1), ' ');
    constexpr std::size_t nice = 16;
    constexpr std::size_t policy = 38;
    if (fields.size() <= policy) return;
    thread.nice = static_cast<int>(number_in(fields[nice], 0));
    constexpr int deadline = 6;  // SCHED_DEADLINE
    const auto found = number_in(fields[policy], 0);
    thread.real_time = found == SCHED_FIFO || found == SCHED_RR || found == deadline;
}

Result<VcpuThread> describe(const GroupFiles& files, const std::vector<Mount>& mounts, int pid, int tid) {
    VcpuThread thread;
    thread.tid = tid;
    const std::string folder = fmt::format("{}/{}", task_folder(files, pid), tid);
    read_scheduling(read_small(folder + "/stat"), thread);
    const std::string groups = read_small(folder + "/cgroup");
    for (const Mount& mount : mounts) {
        const auto path = path_in(groups, mount.version);
        const auto place = path ? folder_of(mount, *path) : std::nullopt;
        if (!place) continue;
        const std::string controllers = read_small(*place + "/cgroup.controllers");
        if (mount.version == GroupVersion::v2 && !lists(controllers, ' ', "cpu")) {
            return fail(ErrorKind::unsupported,
                        fmt::format("the cpu controller is not delegated to the group of the guest's vCPUs, {} (write "
                                    "+cpu into cgroup.subtree_control of every group above it; under systemd, "
                                    "Delegate=cpu; or use --brake auto-converge)",
                                    *place));
        }
        thread.version = mount.version;
        thread.group = *place;
        thread.mount = mount.place;
        return thread;
    }
    return fail(ErrorKind::unsupported,
                "no cgroup with the cpu controller is mounted where the guest's vCPUs are (mount one, for example "
                "mount -t cgroup -o cpu cpu /sys/fs/cgroup/cpu, or use --brake auto-converge)");
}

}  // namespace

Result<std::vector<int>> find_tids(const GroupFiles& files, int pid, const std::vector<int>& named) {
    std::map<int, int> here;
    for (const std::string& tid : names_in(task_folder(files, pid))) {
        const std::string status = read_small(fmt::format("{}/{}/status", task_folder(files, pid), tid));
        if (const int inner = innermost_number(status); inner > 0) {
            here.emplace(inner, static_cast<int>(number_in(tid, 0)));
        }
    }
    std::vector<int> tids;
    for (const int name : named) {
        const auto found = here.find(name);
        if (found == here.end()) {
            return fail(ErrorKind::conflict,
                        fmt::format("vCPU thread {} of QEMU (process {}) is gone: it has ended or a vCPU was unplugged "
                                    "(try again)",
                                    name, pid));
        }
        tids.push_back(found->second);
    }
    return tids;
}

Result<std::vector<VcpuThread>> find_threads(const GroupFiles& files, int pid, const std::vector<int>& named) {
    SEGUE_TRY(tids, find_tids(files, pid, named));
    const auto mounts = cpu_mounts(files);
    std::vector<VcpuThread> threads;
    for (const int tid : tids) {
        SEGUE_TRY(thread, describe(files, mounts, pid, tid));
        threads.push_back(std::move(thread));
    }
    return threads;
}

RunTime run_time(const GroupFiles& files, int pid, int tid) {
    const std::string text = read_small(fmt::format("{}/{}/schedstat", task_folder(files, pid), tid));
    const auto fields = split(text, ' ');
    if (fields.size() < 2) return {};
    return {Duration{number_in(fields[0], 0)}, Duration{number_in(fields[1], 0)}};
}

}  // namespace segue

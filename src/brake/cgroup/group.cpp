#include "brake/cgroup/group.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace segue {
namespace {

/// Between reading who is in a group and moving them, a thread may make another.
constexpr int emptying_rounds_max = 8;

const char* members_file(GroupVersion version) { return version == GroupVersion::v1 ? "/tasks" : "/cgroup.threads"; }
const char* quota_file(GroupVersion version) { return version == GroupVersion::v1 ? "/cpu.cfs_quota_us" : "/cpu.max"; }
const char* burst_file(GroupVersion version) {
    return version == GroupVersion::v1 ? "/cpu.cfs_burst_us" : "/cpu.max.burst";
}

const char* no_quota(GroupVersion version) { return version == GroupVersion::v1 ? "-1\n" : "max\n"; }

void lift(GroupVersion version, const std::string& folder) {
    static_cast<void>(write_small(folder + quota_file(version), no_quota(version)));
}

bool is_denied(int error) { return error == EACCES || error == EPERM || error == EROFS; }

std::unexpected<Error> cannot(const std::string& what, int error) {
    if (is_denied(error)) {
        return fail(ErrorKind::refused, what + " is not permitted (run segue as root, or use --brake auto-converge)",
                    words_of(error));
    }
    return fail(ErrorKind::refused, what + " failed (look there, or use --brake auto-converge)", words_of(error));
}

/// The kernel's own table (sched_prio_to_weight): a group weighs for its siblings what its only thread weighed.
int weight_of(int nice) {
    static constexpr std::array<int, 40> weights{
        88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
        3906,  3121,  2501,  1991,  1586,  1277,  1024,  820,   655,   526,   423,  335,  272,  215,
        172,   137,   110,   87,    70,    56,    45,    36,    29,    23,    18,   15};
    return weights.at(static_cast<std::size_t>(std::clamp(nice, -20, 19) + 20));
}

void keep_weight(const std::string& folder, const VcpuThread& thread) {
    // Its absence costs the promise nothing: it is how the host shares out what is too little for all.
    if (thread.version == GroupVersion::v1) {
        static_cast<void>(write_small(folder + "/cpu.shares", std::to_string(weight_of(thread.nice))));
    } else {
        static_cast<void>(write_small(folder + "/cpu.weight.nice", std::to_string(thread.nice)));
    }
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

struct Limit {
    std::int64_t quota_us = -1;  ///< -1: none.
    std::int64_t period_us = 0;
};

Limit read_limit(const std::string& folder, GroupVersion version) {
    const std::string text = first_line(read_small(folder + quota_file(version)));
    if (version == GroupVersion::v1) {
        const std::string period = first_line(read_small(folder + "/cpu.cfs_period_us"));
        return {number_in(text, -1), number_in(period, 0)};
    }
    const auto words = split(text, ' ');
    if (words.empty()) return {};  // The root has no such file.
    return {number_in(words[0], -1), words.size() > 1 ? number_in(words[1], 0) : 0};
}

Result<void> check_quotas_above(const VcpuThread& thread, int vcpus, Share floor) {
    const double needed = vcpus * std::min(floor.ratio + share_margin, 1.0) + 1;
    for (std::string folder = home_of(thread); folder.size() >= thread.mount.size(); folder = parent_of(folder)) {
        const Limit limit = read_limit(folder, thread.version);
        if (limit.quota_us < 0 || limit.period_us <= 0) continue;
        const double cpus = static_cast<double>(limit.quota_us) / static_cast<double>(limit.period_us);
        if (cpus >= needed) continue;
        return fail(ErrorKind::conflict,
                    fmt::format("the quota of {} is {:.2f} CPUs, and {} vCPU{} at {:.0f} % with what moves the guest "
                                "need {:.2f}: the guest could get less than it was promised (raise {} there, or move "
                                "the VM out of that group)",
                                folder, cpus, vcpus, vcpus == 1 ? "" : "s", floor.ratio * 100, needed,
                                quota_file(thread.version) + 1));
    }
    return {};
}

/// A controller whose groups may hold single threads.
bool is_threaded(std::string_view controller) {
    return controller == "cpu" || controller == "cpuset" || controller == "perf_event" || controller == "pids";
}

Result<void> refuse_home(const std::string& home, const std::string& why) {
    return fail(ErrorKind::conflict,
                fmt::format("the vCPUs' group {} cannot be divided among threads: {} (start the VM in a group of its "
                            "own, or use --brake auto-converge)",
                            home, why));
}

/// Whether `home` can be the root, or a part, of a threaded subtree.
Result<void> check_threads_allowed(const std::string& home) {
    int error = 0;
    const std::string type = read_small(home + "/cgroup.type", &error);
    if (error == ENOENT) return {};  // The root: always allowed.
    if (type == "threaded" || type == "domain threaded") return {};
    if (type != "domain") return refuse_home(home, "its type is \"" + type + "\"");
    const std::string enabled = read_small(home + "/cgroup.subtree_control");
    for (const auto controller : split(enabled, ' ')) {
        if (is_threaded(controller)) continue;
        return refuse_home(home, fmt::format("it shares out {} among its groups", controller));
    }
    for (const std::string& name : names_in(home)) {
        const std::string child = home + "/" + name;
        if (read_small(child + "/cgroup.type") == "threaded") continue;
        if (read_small(child + "/cgroup.events").find("populated 1") == std::string::npos) continue;
        return refuse_home(home, fmt::format("its group {} has processes", name));
    }
    return {};
}

/// \return  Whether we had to.
Result<bool> enable_cpu(const std::string& home) {
    const std::string file = home + "/cgroup.subtree_control";
    const std::string enabled = read_small(file);
    const auto words = split(enabled, ' ');
    if (std::ranges::find(words, "cpu") != words.end()) return false;
    if (const int error = write_small(file, "+cpu"); error != 0) return cannot("enabling cpu in " + file, error);
    return true;
}

Result<void> move_in(const VcpuGroup& group) {
    const auto tid = std::to_string(group.thread.tid);
    const int error = write_small(group.folder + members_file(group.thread.version), tid);
    if (error == 0) return {};
    if (error == ESRCH) {
        return fail(ErrorKind::conflict,
                    fmt::format("vCPU thread {} is gone: it has ended or a vCPU was unplugged (try again)",
                                group.named));
    }
    return cannot(fmt::format("moving vCPU thread {} into {}", group.named, group.folder), error);
}

Result<void> open_files(VcpuGroup& group) {
    const std::string quota = group.folder + quota_file(group.thread.version);
    group.quota = Fd(::open(quota.c_str(), O_WRONLY | O_CLOEXEC));
    if (!group.quota && errno == ENOENT) {
        return fail(ErrorKind::unsupported,
                    fmt::format("this kernel knows no CPU quotas: {} is missing (use --brake auto-converge)", quota));
    }
    if (!group.quota) return cannot("opening " + quota, errno);
    group.folder_fd = Fd(::open(group.folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!group.folder_fd) return cannot("opening " + group.folder, errno);
    return {};
}

bool digits_only(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

bool is_our_group(std::string_view folder) {
    if (!folder.starts_with('/') || folder.ends_with('/')) return false;
    for (const auto step : split(folder, '/')) {
        if (step == "." || step == "..") return false;
    }
    std::string_view name = folder.substr(folder.rfind('/') + 1);
    constexpr std::string_view begin = "segue-";
    if (!name.starts_with(begin)) return false;
    name.remove_prefix(begin.size());
    const auto last = name.rfind('-');
    if (last == std::string_view::npos || last == 0) return false;
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
    if (name.substr(0, last).find_first_not_of(allowed) != std::string_view::npos) return false;
    const auto end = name.substr(last + 1);
    return end == "probe" || (end.starts_with("vcpu") && digits_only(end.substr(4)));
}

std::string parent_of(const std::string& folder) { return folder.substr(0, folder.rfind('/')); }

std::string home_of(const VcpuThread& thread) {
    return is_our_group(thread.group) ? parent_of(thread.group) : thread.group;
}

Result<void> check_home(const VcpuThread& thread, int vcpus, Share floor) {
    if (thread.version == GroupVersion::v2) {
        if (auto allowed = check_threads_allowed(home_of(thread)); !allowed) return allowed;
    }
    return check_quotas_above(thread, vcpus, floor);
}

Result<std::string> make_empty_group(const GroupFiles& files, GroupVersion version, const std::string& folder) {
    int error = files.make(folder);
    // Left behind by a process of our number that died.
    if (error == EEXIST && remove_group(files, version, folder)) error = files.make(folder);
    if (error != 0) return cannot("making the group " + folder, error);
    if (version == GroupVersion::v1) return folder;
    error = write_small(folder + "/cgroup.type", "threaded");
    if (error == 0) return folder;
    static_cast<void>(files.remove(folder));
    return cannot("making the group " + folder + " threaded", error);
}

Result<VcpuGroup> make_group(const GroupFiles& files, const VcpuThread& thread, const std::string& name) {
    const std::string home = home_of(thread);
    VcpuGroup group;
    group.thread = thread;
    SEGUE_TRY(folder, make_empty_group(files, thread.version, home + "/" + name));
    group.folder = folder;
    const auto finish = [&]() -> Result<void> {
        if (thread.version == GroupVersion::v2) {
            SEGUE_TRY(enabled, enable_cpu(home));
            group.enabled_cpu = enabled;
        }
        if (auto opened = open_files(group); !opened) return opened;
        keep_weight(folder, thread);
        group.burst = write_small(folder + burst_file(thread.version), "0") == 0;
        // One that a dead Segue left holds its thread. Moved out of it while it stood for that quota, a busy thread
        // stood for 0.3 s and more once the group was gone (kernel 6.18, 28 of 70 times); lifted before, 0 of 40.
        if (is_our_group(thread.group)) lift(thread.version, thread.group);
        return move_in(group);
    };
    if (auto done = finish(); !done) {
        static_cast<void>(remove_group(files, thread.version, folder));
        if (group.enabled_cpu) disable_cpu(home);
        return std::unexpected(done.error());
    }
    // Empty now, unless another thread was left in it too.
    if (is_our_group(thread.group)) static_cast<void>(files.remove(thread.group));
    return group;
}

namespace {

Result<void> written(const VcpuGroup& group, int error) {
    if (error == 0) return {};
    if (error == ENODEV || error == ENOENT) {
        return fail(ErrorKind::unavailable,
                    fmt::format("the brake's group {} was removed by somebody else", group.folder), words_of(error));
    }
    return fail(ErrorKind::unavailable, fmt::format("the quota of {} cannot be written", group.folder),
                words_of(error));
}

/// Two files. Between the two writes the larger of the two possible shares holds, so that it is never less than
/// both; a parent's quota may forbid that order.
int write_v1(const VcpuGroup& group, const Limit& now, const Quota& wanted) {
    const std::string period_path = group.folder + "/cpu.cfs_period_us";
    const auto quota = [&] { return write_small(group.quota, std::to_string(wanted.quota_us)); };
    const auto period = [&] { return write_small(period_path, std::to_string(wanted.period_us)); };
    const auto both = [&](bool begin_with_quota) {
        const int error = begin_with_quota ? quota() : period();
        if (error != 0) return error;
        return begin_with_quota ? period() : quota();
    };
    if (now.period_us == wanted.period_us) return quota();
    if (now.quota_us == wanted.quota_us) return period();
    if (now.quota_us < 0) return both(false);
    const double quota_first = static_cast<double>(wanted.quota_us) / static_cast<double>(now.period_us);
    const double period_first = static_cast<double>(now.quota_us) / static_cast<double>(wanted.period_us);
    const bool begin_with_quota = quota_first >= period_first;
    const int error = both(begin_with_quota);
    return error == EINVAL ? both(!begin_with_quota) : error;
}

int write_v2(const VcpuGroup& group, const Quota& wanted) {
    return write_small(group.quota, fmt::format("{} {}\n", wanted.quota_us, wanted.period_us));
}

/// The kernel takes no quota below the burst and no burst above the quota.
int write_quota(const VcpuGroup& group, const Limit& now, const Quota& wanted) {
    const bool v1 = group.thread.version == GroupVersion::v1;
    const std::string burst_path = group.folder + burst_file(group.thread.version);
    const std::int64_t burst = group.burst ? number_in(first_line(read_small(burst_path)), 0) : 0;
    const auto carry = [&] { return group.burst ? write_small(burst_path, std::to_string(wanted.quota_us)) : 0; };
    if (burst > wanted.quota_us) {
        if (const int error = carry(); error != 0) return error;
    }
    if (const int error = v1 ? write_v1(group, now, wanted) : write_v2(group, wanted); error != 0) return error;
    return burst < wanted.quota_us ? carry() : 0;
}

}  // namespace

Result<void> set_quota(const VcpuGroup& group, const std::optional<Quota>& quota) {
    // What is there, not what we wrote last: the guardian may have let go of a Segue that stood still.
    const Limit now = read_limit(group.folder, group.thread.version);
    if (!quota) {
        if (now.quota_us < 0) return {};
        return written(group, write_small(group.quota, no_quota(group.thread.version)));
    }
    if (now.quota_us == quota->quota_us && now.period_us == quota->period_us) return {};
    return written(group, write_quota(group, now, *quota));
}

Result<void> remove_group(const GroupFiles& files, GroupVersion version, const std::string& folder) {
    if (!is_our_group(folder)) return fail(ErrorKind::invalid, folder + " is no group of ours: it was left alone");
    lift(version, folder);
    const std::string above = parent_of(folder) + members_file(version);
    int error = 0;
    for (int round = 0; round < emptying_rounds_max; ++round) {
        const std::string members = read_small(folder + members_file(version));
        for (const auto tid : split(members, '\n')) {
            const int moved = write_small(above, tid);
            if (moved != 0 && moved != ESRCH) error = moved;
        }
        const int removed = files.remove(folder);
        if (removed == 0 || removed == ENOENT) return {};
        if (error == 0 && removed != EBUSY) error = removed;
        if (error != 0) break;
    }
    return fail(ErrorKind::unavailable,
                fmt::format("the group {} could not be removed; its quota is lifted and it does no harm", folder),
                words_of(error == 0 ? EBUSY : error));
}

void disable_cpu(const std::string& home) {
    // The kernel would take the quotas of another guest's groups away with it.
    const auto of_another = [&](const std::string& name) { return is_our_group(home + "/" + name); };
    if (std::ranges::any_of(names_in(home), of_another)) return;
    static_cast<void>(write_small(home + "/cgroup.subtree_control", "-cpu"));
}

}  // namespace segue

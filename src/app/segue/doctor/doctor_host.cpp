/// \file  Checks of this host's own: folders, kernel, clock, rights.

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "app/segue/doctor/doctor.hpp"
#include "app/segue/settings/settings_files.hpp"
#include "channel/tcp/tcp_info.hpp"
#include "io/fd.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

void add(Checkups& into, std::string check, Verdict verdict, std::string what, std::string remedy = {}) {
    into.push_back({std::move(check), verdict, std::move(what), std::move(remedy)});
}

std::string kernel_says(int error_number) { return std::generic_category().message(error_number); }

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// The folder itself, or where it would be made.
std::string nearest_existing(const std::string& folder) {
    std::error_code problem;
    fs::path path = fs::absolute(folder, problem);
    while (path.has_relative_path() && !fs::exists(path, problem)) path = path.parent_path();
    return path.string();
}

struct Filesystem {
    std::uint32_t magic;
    std::string_view name;
    bool of_network;
    bool of_memory;
};
/// Those that people have; numbers of linux/magic.h.
constexpr std::array filesystems = {
    Filesystem{0xef53, "ext4", false, false},        Filesystem{0x58465342, "xfs", false, false},
    Filesystem{0x9123683e, "btrfs", false, false},   Filesystem{0x2fc12fc1, "zfs", false, false},
    Filesystem{0x794c7630, "overlay", false, false}, Filesystem{0x01021994, "tmpfs", false, true},
    Filesystem{0x858458f6, "ramfs", false, true},    Filesystem{0x6969, "nfs", true, false},
    Filesystem{0xfe534d42, "smb", true, false},      Filesystem{0xff534d42, "cifs", true, false},
    Filesystem{0x00c36400, "ceph", true, false},     Filesystem{0x65735546, "fuse", true, false}};

/// Whether a child of ours may do it; what it changes ends with it.
template <class F>
bool child_may(F what) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(what() ? 0 : 1);
    if (child < 0) return false;
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

void check_state_folder(const std::string& folder, Checkups& into) {
    const std::string place = nearest_existing(folder);
    const std::string named = place == folder ? folder : fmt::format("{} (to be made in {})", folder, place);
    if (::access(place.c_str(), W_OK | X_OK) != 0) {
        return add(into, "state", Verdict::problem,
                   fmt::format("the state folder {} cannot be written: {}", named, kernel_says(errno)),
                   "run segue as root, or set $SEGUE_STATE to a folder of yours on a local disk");
    }
    struct statfs status{};
    if (::statfs(place.c_str(), &status) != 0) {
        return add(into, "state", Verdict::problem,
                   fmt::format("the state folder {} cannot be looked at: {}", named, kernel_says(errno)),
                   "set $SEGUE_STATE to a folder on a local disk");
    }
    const auto magic = static_cast<std::uint32_t>(status.f_type);
    const auto known = std::ranges::find(filesystems, magic, &Filesystem::magic);
    const std::string kind = known == filesystems.end() ? fmt::format("filesystem {:#x}", magic)
                                                        : std::string(known->name);
    if (known != filesystems.end() && known->of_network) {
        return add(into, "state", Verdict::problem,
                   fmt::format("the state folder {} is on {}, which other hosts may share and which may stall", named,
                               kind),
                   "set $SEGUE_STATE to a folder on a local disk: each host has a journal of its own");
    }
    if (known != filesystems.end() && known->of_memory) {
        return add(into, "state", Verdict::warning,
                   fmt::format("the state folder {} is on {}: after a power cut nobody knows what was under way", named,
                               kind),
                   "set $SEGUE_STATE to a folder on a disk");
    }
    constexpr std::uint64_t free_bytes_min = 64 * 1024 * 1024;
    const std::uint64_t free_bytes = std::uint64_t{status.f_bavail} * static_cast<std::uint64_t>(status.f_bsize);
    if (free_bytes < free_bytes_min) {
        return add(into, "state", Verdict::warning,
                   fmt::format("the state folder {} has {} MiB free, and a journal may take 20", named,
                               free_bytes / (1024 * 1024)), "make room on that filesystem");
    }
    add(into, "state", Verdict::ok, fmt::format("the state folder {} can be written, on {}", named, kind));
}

void check_journal(const std::string& folder, Checkups& into) {
    const std::string path = journal_path(folder);
    const auto journal = open_journal_read_only(path);
    if (!journal) {
        return add(into, "journal", Verdict::problem, "the journal cannot be opened: " + to_string(journal.error()),
                   "segue history says the same; if the file is broken, set it aside once every guest is known to run");
    }
    const auto open_moves = (*journal)->unfinished();
    if (!open_moves) {
        return add(into, "journal", Verdict::problem, "the journal cannot be read: " + to_string(open_moves.error()),
                   "look at the disk below " + path);
    }
    std::size_t under_way = 0;
    std::size_t lost = 0;
    for (const MoveRecord& move : *open_moves) {
        if (look_for(move.move.owner) != Liveness::gone) {
            ++under_way;
            continue;
        }
        ++lost;
        const auto job = static_cast<std::int64_t>(move.job);
        const bool source = move.move.role == MoveRole::source;
        add(into, "moves", Verdict::problem,
            fmt::format("job {} of {} is unfinished, and its segue is gone", job, move.move.vm),
            source ? fmt::format("segue recover {}", job)
                   : fmt::format("segue recover on {}, the source of that move", move.move.src.host));
    }
    add(into, "journal", Verdict::ok,
        fmt::format("the journal opens: {} moves under way, {} unfinished", under_way, lost));
}

void check_settings(const VmPlaces& places, Checkups& into) {
    const auto levels = read_levels(places, std::nullopt);
    const auto resolved = levels ? resolve_levels(*levels) : std::unexpected(levels.error());
    if (!resolved) {
        const std::string& message = resolved.error().message;
        return add(into, "settings", Verdict::problem, message.substr(0, message.find('\n')),
                   "segue config check tells everything that is wrong");
    }
    const bool any = levels->site || levels->host;
    add(into, "settings", Verdict::ok,
        any ? fmt::format("the settings in {} are understood", places.config_folder)
            : fmt::format("there are no settings in {}: the defaults hold", places.config_folder));
}

void check_brake(Checkups& into) {
    constexpr std::string_view remedy =
        "boot with cgroups mounted at /sys/fs/cgroup and the cpu controller in it, and run segue as root";
    const std::string controllers = first_line("/sys/fs/cgroup/cgroup.controllers");
    const bool second = (" " + controllers + " ").find(" cpu ") != std::string::npos;
    std::error_code problem;
    const bool first = fs::exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", problem) ||
                       fs::exists("/sys/fs/cgroup/cpu,cpuacct/cgroup.procs", problem) ||
                       fs::exists("/sys/fs/cgroup/cpu/cgroup.procs", problem);
    if (!second && !first) {
        return add(into, "brake", Verdict::warning,
                   "no cpu controller is found in /sys/fs/cgroup: a guest cannot be slowed down, and one that writes "
                   "faster than the link carries does not move", std::string(remedy));
    }
    const char* const folder = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    const int version = second ? 2 : 1;
    if (::access(folder, W_OK) != 0) {
        return add(into, "brake", Verdict::warning,
                   fmt::format("the cpu controller (cgroup v{}) cannot be written: {}", version, kernel_says(errno)),
                   std::string(remedy));
    }
    add(into, "brake", Verdict::ok,
        fmt::format("the cpu controller is there and can be written (cgroup v{})", version));
}

void check_clock(Checkups& into) {
    constexpr std::time_t year_2024 = 1'704'067'200;
    if (std::time(nullptr) < year_2024) {
        add(into, "clock", Verdict::problem, "the clock of this host shows a time before 2024",
            "set the clock: the journal and the marks of moved VMs carry its time");
        return;
    }
    timex state{};  // No modes: only read.
    const int synchronized = ::adjtimex(&state);
    const std::string source = first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    const std::string named = source.empty() ? "unknown" : source;
    // Each reading of these costs over a microsecond, and every time here is made of readings.
    if (source == "acpi_pm" || source == "jiffies" || source == "pit") {
        return add(into, "clock", Verdict::warning, fmt::format("the kernel reads its clock from {}", named),
                   "find out in the kernel's log why tsc was given up");
    }
    if (synchronized == TIME_ERROR) {
        return add(into, "clock", Verdict::warning,
                   "nothing keeps the clock of this host right: times of two hosts' journals cannot be compared",
                   "run chrony or systemd-timesyncd. No bound depends on it");
    }
    add(into, "clock", Verdict::ok, fmt::format("the clock is kept right, and read from {}", named));
}

void check_network(Checkups& into) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const TcpPatience patience{std::chrono::seconds{5}, std::chrono::seconds{5}, std::chrono::seconds{5}};
    if (!socket || !set_tcp_options(socket.get(), mebibytes(1), patience)) {
        return add(into, "network", Verdict::problem,
                   "the kernel does not take the options of the stream (TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT): " +
                       kernel_says(errno), "a kernel of 4.20 or newer has them");
    }
    if (!set_pacing(socket.get(), mebibytes_per_second(1)) || !read_tcp_counters(socket.get())) {
        return add(into, "network", Verdict::problem,
                   "the kernel does not pace a connection or does not count it (SO_MAX_PACING_RATE, TCP_INFO): " +
                       kernel_says(errno), "a kernel of 4.20 or newer does");
    }
    add(into, "network", Verdict::ok,
        "the kernel paces, counts and cuts connections as the stream needs (TCP_USER_TIMEOUT, SO_MAX_PACING_RATE)");
}

void check_limits_of_guardian(Checkups& into) {
    const bool locked = child_may([] { return ::mlockall(MCL_CURRENT) == 0; });
    const bool real_time = child_may([] {
        sched_param param{};
        param.sched_priority = ::sched_get_priority_min(SCHED_FIFO);
        return ::sched_setscheduler(0, SCHED_FIFO, &param) == 0;
    });
    if (!locked || !real_time) {
        return add(into, "rights", Verdict::warning,
                   fmt::format("the guardian gets {}{}{}: on a host short of memory or CPU it may come late",
                               locked ? "" : "no locked memory", locked || real_time ? "" : " and ",
                               real_time ? "" : "no real-time priority"),
                   "run segue as root, or raise the limits memlock and rtprio; in a container give it IPC_LOCK and "
                   "SYS_NICE");
    }
    add(into, "rights", Verdict::ok, "the guardian may lock its memory and has real-time priority");
}

void check_kvm(Checkups& into) {
    std::error_code problem;
    if (!fs::exists("/dev/kvm", problem)) {
        return add(into, "kvm", Verdict::warning, "/dev/kvm is not there: guests are emulated, and slow",
                   "load kvm_intel or kvm_amd; in a guest ask for nested virtualization");
    }
    if (::access("/dev/kvm", R_OK | W_OK) != 0) {
        return add(into, "kvm", Verdict::warning, "/dev/kvm cannot be opened: " + kernel_says(errno),
                   "run segue as root, or as a member of the group kvm");
    }
    const Fd kvm{::open("/dev/kvm", O_RDWR | O_CLOEXEC)};
    if (::ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        return add(into, "kvm", Verdict::warning, "/dev/kvm is there, but is not KVM's: guests are emulated, and slow",
                   "load kvm_intel or kvm_amd; in a container, give it the host's device");
    }
    add(into, "kvm", Verdict::ok, "/dev/kvm answers");
}

}  // namespace segue

#include "hypervisor/qemu/process.hpp"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <cerrno>
#include <cstring>
#include <utility>

namespace segue::qemu {
namespace {

// By number: glibc 2.36 declares its wrappers without C linkage.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

bool has_thread(pid_t pid, pid_t thread) {
    const std::string path = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread);
    return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

std::optional<Process> Process::with_threads(pid_t pid, const std::vector<pid_t>& threads) {
    if (pid <= 0 || threads.empty()) return std::nullopt;
    Fd pidfd(open_pidfd(pid));
    if (!pidfd) return std::nullopt;
    for (const pid_t thread : threads) {
        if (!has_thread(pid, thread)) return std::nullopt;
    }
    Process process(pid, std::move(pidfd));
    // Alive after /proc was read: then the number still belonged to the process that the pidfd holds.
    if (process.dead()) return std::nullopt;
    return process;
}

bool Process::dead() const noexcept {
    pollfd entry{pidfd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) > 0;
}

Result<void> Process::kill() const {
    if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0 || errno == ESRCH) return {};
    const int reason = errno;
    return fail(ErrorKind::refused, "QEMU's process " + std::to_string(pid_) + " could not be killed",
                std::strerror(reason));
}

std::string Process::working_directory() const {
    std::array<char, PATH_MAX> target{};
    const std::string link = "/proc/" + std::to_string(pid_) + "/cwd";
    const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
    return length <= 0 ? std::string{} : std::string(target.data(), static_cast<std::size_t>(length));
}

std::int64_t Process::resident_bytes() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
    std::int64_t total_pages = 0;
    std::int64_t resident_pages = 0;
    if (!(file >> total_pages >> resident_pages)) return 0;
    return resident_pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace segue::qemu

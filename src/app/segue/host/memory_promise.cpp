#include "app/segue/host/memory_promise.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "hypervisor/qemu/host.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view ending = ".needs";

std::string folder_in(const std::string& state_folder) { return state_folder + "/receive"; }

/// Its process has ended: nobody will take that memory.
bool abandoned(const fs::path& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return true;
    if (::flock(file.get(), LOCK_SH | LOCK_NB) != 0) return errno != EWOULDBLOCK;
    ::unlink(path.c_str());
    return true;
}

std::int64_t still_needed(const fs::path& path) {
    std::ifstream file(path);
    std::int64_t needs = 0, taken = 0;
    pid_t pid = 0;
    if (!(file >> needs >> pid >> taken)) return 0;
    const std::int64_t now = qemu::memory_taken_by(pid).count;
    if (now == 0) return 0;
    return std::clamp<std::int64_t>(needs - (now - taken), 0, std::max<std::int64_t>(needs, 0));
}

}  // namespace

MemoryPromise::MemoryPromise(const std::string& state_folder, const std::string& move, Bytes needs, pid_t pid,
                             Bytes taken)
    : path_(fmt::format("{}/{}{}", folder_in(state_folder), move, ending)) {
    ::mkdir(folder_in(state_folder).c_str(), 0700);
    const std::string draft = path_ + ".new";
    file_ = Fd(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    const std::string text = fmt::format("{} {} {}\n", needs.count, pid, taken.count);
    // Locked before it is seen by its name, or a reader would take it for what somebody left.
    const bool made = file_ && ::flock(file_.get(), LOCK_EX | LOCK_NB) == 0 &&
                      ::write(file_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                      ::rename(draft.c_str(), path_.c_str()) == 0;
    if (made) return;
    ::unlink(draft.c_str());
    file_.reset();
}

MemoryPromise::~MemoryPromise() {
    if (file_) ::unlink(path_.c_str());
}

Bytes promised_to_others(const std::string& state_folder, const std::string& move) {
    Bytes all;
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(folder_in(state_folder), problem)) {
        const fs::path& path = entry.path();
        if (path.extension() != ending || path.stem() == move || abandoned(path)) continue;
        all += Bytes{still_needed(path)};
    }
    return all;
}

}  // namespace segue

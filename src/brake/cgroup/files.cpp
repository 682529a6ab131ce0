#include "brake/cgroup/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <system_error>

namespace segue {
namespace {

constexpr std::size_t small_bytes_max = 64 * 1024;
constexpr mode_t folder_mode = 0755;

bool is_kernels(const std::string& folder) {
    struct statfs status{};
    if (::statfs(folder.c_str(), &status) != 0) return false;
    return status.f_type == CGROUP_SUPER_MAGIC || status.f_type == CGROUP2_SUPER_MAGIC;
}

}  // namespace

GroupFiles kernel_files() {
    return {"/proc",
            [](const std::string& folder) { return ::mkdir(folder.c_str(), folder_mode) == 0 ? 0 : errno; },
            [](const std::string& folder) { return ::rmdir(folder.c_str()) == 0 ? 0 : errno; }, is_kernels};
}

std::string read_small(const std::string& path, int* error) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t count = fd ? 1 : -1;
    while (fd && text.size() < small_bytes_max) {
        count = ::read(fd.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    if (error != nullptr) *error = count < 0 ? errno : 0;
    if (count < 0) return {};
    if (text.ends_with('\n')) text.pop_back();
    return text;
}

int write_small(const std::string& path, std::string_view text) {
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
    return fd ? write_small(fd, text) : errno;
}

int write_small(const Fd& file, std::string_view text) {
    ssize_t count = 0;
    do {
        count = ::pwrite(file.get(), text.data(), text.size(), 0);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? errno : 0;
}

std::string words_of(int error) { return std::generic_category().message(error); }

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
    if (!open) return names;
    while (const dirent* entry = ::readdir(open.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    std::ranges::sort(names);
    return names;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const auto end = std::min(text.find(separator), text.size());
        if (end > 0) parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

long long number_in(std::string_view text, long long otherwise) {
    long long number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? number : otherwise;
}

}  // namespace segue

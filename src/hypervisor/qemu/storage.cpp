#include "hypervisor/qemu/storage.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <memory>
#include <sstream>
#include <tuple>
#include <vector>

#include "io/fd.hpp"

namespace segue::qemu {
namespace {

/// Volumes on volumes on multipath on disks are 4.
constexpr int layers_max = 8;

std::string text_of_file(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

/// The first line, without blanks around it.
std::string word_of_file(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    const auto first = line.find_first_not_of(" \t");
    const auto last = line.find_last_not_of(" \t");
    return first == std::string::npos ? std::string{} : line.substr(first, last - first + 1);
}

std::string device_text(unsigned major_number, unsigned minor_number) {
    return fmt::format("{}:{}", major_number, minor_number);
}

struct Closer {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, Closer> opened(::opendir(folder.c_str()));
    while (const dirent* entry = opened ? ::readdir(opened.get()) : nullptr) {
        const std::string name = static_cast<const char*>(entry->d_name);
        if (name != "." && name != "..") names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
}

/// As the process itself would open it: its root, its mounts, and links that lead nowhere else. By descriptor alone.
Fd look_up(pid_t pid, const std::string& path) {
    if (!path.starts_with('/')) return {};
    const Fd root(::open(fmt::format("/proc/{}/root", pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return {};
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT;
    return Fd(static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
}

/// mpath-3..., as multipath names what the kernel calls naa....
std::string plain_wwid(std::string wwid) {
    std::ranges::transform(wwid, wwid.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    for (const auto& [prefix, name] : {std::pair{"mpath-3", "naa."}, std::pair{"mpath-2", "eui."}}) {
        if (wwid.starts_with(prefix)) wwid = name + wwid.substr(7);
    }
    std::ranges::replace(wwid, ',', '_');
    std::ranges::replace(wwid, ' ', '_');
    return wwid;
}

std::string wwid_of_layer(const std::string& folder, int layer) {
    if (layer > layers_max) return {};
    if (const std::string part = word_of_file(folder + "/partition"); !part.empty()) {
        const std::string whole = wwid_of_layer(folder + "/..", layer + 1);
        // Of a volume's partition nothing is known that would name it.
        return whole.empty() || whole.find(' ') != std::string::npos ? std::string{} : whole + " part " + part;
    }
    const std::string mapped = word_of_file(folder + "/dm/uuid");
    if (mapped.starts_with("mpath-")) return plain_wwid(mapped);
    if (!mapped.empty()) {
        std::string leaves;
        for (const std::string& name : names_in(folder + "/slaves")) {
            std::string below = wwid_of_layer(folder + "/slaves/" + name, layer + 1);
            if (below.empty()) return {};
            // Volumes on volumes: what matters is what lies at the bottom.
            if (const auto on = below.find(" on "); on != std::string::npos) below.erase(0, on + 4);
            std::ranges::replace(below, ' ', '_');
            leaves += (leaves.empty() ? "" : ",") + below;
        }
        if (leaves.empty()) return {};
        std::string volume = mapped;
        std::ranges::replace(volume, ' ', '_');
        return volume + " on " + leaves;
    }
    for (const char* place : {"/wwid", "/device/wwid"}) {
        if (const std::string wwid = word_of_file(folder + place); !wwid.empty()) return plain_wwid(wwid);
    }
    return {};
}

std::string unescape(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned code = 0;
        const char* const digits = text.data() + i + 1;
        const bool octal = text[i] == '\\' && i + 3 < text.size() &&
                           std::from_chars(digits, digits + 3, code, 8).ptr == digits + 3;
        if (octal) i += 3;
        plain += octal ? static_cast<char>(code) : text[i];
    }
    return plain;
}

Bytes device_size(const std::string& device) {
    std::int64_t sectors = 0;
    const std::string text = word_of_file("/sys/dev/block/" + device + "/size");
    std::from_chars(text.data(), text.data() + text.size(), sectors);
    return {sectors * 512};
}

}  // namespace

std::pair<std::string, std::string> mount_of(std::string_view mountinfo, std::uint64_t mount_id) {
    const std::string wanted = std::to_string(mount_id);
    while (!mountinfo.empty()) {
        const auto end = std::min(mountinfo.find('\n'), mountinfo.size() - 1);
        std::string_view line = mountinfo.substr(0, end);
        mountinfo.remove_prefix(end + 1);
        if (!line.starts_with(wanted) || !line.substr(wanted.size()).starts_with(' ')) continue;
        const auto dash = line.find(" - ");
        if (dash == std::string_view::npos) return {};
        line.remove_prefix(dash + 3);
        const auto blank = line.find(' ');
        if (blank == std::string_view::npos) return {};
        const std::string_view rest = line.substr(blank + 1);
        return {unescape(line.substr(0, blank)), unescape(rest.substr(0, rest.find(' ')))};
    }
    return {};
}

std::string wwid_of(const std::string& sysfs_folder) { return wwid_of_layer(sysfs_folder, 0); }

OpenFiles::OpenFiles(pid_t pid) : pid_(pid), mounts_(text_of_file(fmt::format("/proc/{}/mountinfo", pid))) {
    const std::string folder = fmt::format("/proc/{}/fd/", pid);
    for (const std::string& name : names_in(folder)) {
        struct stat status {};
        if (::stat((folder + name).c_str(), &status) != 0) continue;
        if (S_ISREG(status.st_mode)) {
            open_.emplace(device_text(major(status.st_dev), minor(status.st_dev)), std::to_string(status.st_ino));
        } else if (S_ISBLK(status.st_mode)) {
            open_.emplace(device_text(major(status.st_rdev), minor(status.st_rdev)), "");
        }
    }
}

Storage OpenFiles::at(const std::string& path) const {
    const Fd file = look_up(pid_, path);
    struct statx status {};
    if (!file || ::statx(file.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &status) != 0) return {};
    Storage found;
    found.block = S_ISBLK(status.stx_mode);
    if (!found.block && !S_ISREG(status.stx_mode)) return {};
    if (found.block) {
        found.device = device_text(status.stx_rdev_major, status.stx_rdev_minor);
        found.size = device_size(found.device);
        found.wwid = wwid_of("/sys/dev/block/" + found.device);
    } else {
        found.device = device_text(status.stx_dev_major, status.stx_dev_minor);
        found.inode = std::to_string(status.stx_ino);
        found.size = {static_cast<std::int64_t>(status.stx_size)};
        std::tie(found.filesystem, found.source) = mount_of(mounts_, status.stx_mnt_id);
    }
    found.seen = open_.contains({found.device, found.inode});
    return found.seen ? found : Storage{};
}

bool OpenFiles::on_huge_pages(const std::string& path) const {
    const Fd file = look_up(pid_, path);
    struct statfs status {};
    return file && ::fstatfs(file.get(), &status) == 0 && status.f_type == HUGETLBFS_MAGIC;
}

}  // namespace segue::qemu

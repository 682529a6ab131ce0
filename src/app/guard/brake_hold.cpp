#include "app/guard/brake_hold.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace segue::guard {
namespace {

/// Between reading who is in a group and moving them, a thread may make another.
constexpr int emptying_rounds_max = 8;
/// Links to a folder that has none in it: its name and its own dot.
constexpr nlink_t no_folders = 2;

void write_to(int folder, const char* path, std::string_view text) noexcept {
    const int file = ::openat(folder, path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    static_cast<void>(!::write(file, text.data(), text.size()));
    ::close(file);
}

/// One number a line in the group's list of members; each is written into the parent's. `list` is up to 4 KiB of
/// it: the rest comes in the next round.
void move_members(int folder, int parent, const char* list) noexcept {
    char text[4096];
    const int file = ::openat(folder, list, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    const ssize_t length = ::read(file, text, sizeof text);
    ::close(file);
    std::string_view rest(text, length > 0 ? static_cast<std::size_t>(length) : 0);
    for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
        write_to(parent, list, rest.substr(0, end));
        rest.remove_prefix(end + 1);
    }
}

void close_if_open(int& fd) noexcept {
    if (fd >= 0) ::close(fd);
    fd = -1;
}

}  // namespace

bool BrakeHold::take(std::string_view words, int quota, int folder) noexcept {
    if (quota < 0 || words.empty() || (words[0] != '1' && words[0] != '2') || words.size() > words_max) return false;
    const bool v2 = words[0] == '2';
    words.remove_prefix(1);
    const bool takes_back_cpu = words.starts_with('+');
    if (takes_back_cpu) words.remove_prefix(1);
    std::size_t at = 0;
    while (at < count_ && !groups_[at].name.is(words)) ++at;
    if (at == groups_.size()) return false;
    Group& group = groups_[at];
    if (at == count_) {
        ++count_;
    } else {
        close_if_open(group.quota);
        close_if_open(group.folder);
    }
    group.quota = quota;
    group.folder = folder;
    group.v2 = v2;
    group.takes_back_cpu = takes_back_cpu;
    group.name.clear();
    for (const char c : words) group.name.push(c);
    return true;
}

void BrakeHold::lift() noexcept {
    for (std::size_t at = 0; at < count_; ++at) {
        const std::string_view off = groups_[at].v2 ? "max\n" : "-1\n";
        static_cast<void>(!::pwrite(groups_[at].quota, off.data(), off.size(), 0));
    }
}

void BrakeHold::remove() noexcept {
    lift();
    for (std::size_t at = 0; at < count_; ++at) remove(groups_[at]);
    for (std::size_t at = 0; at < count_; ++at) take_back_cpu(groups_[at]);
    count_ = 0;
}

/// Once all groups are gone. With groups left below it, another guest's may be among them, and would lose their quotas.
void BrakeHold::take_back_cpu(Group& group) noexcept {
    struct stat status {};
    if (group.folder >= 0 && ::fstat(group.folder, &status) == 0 && status.st_nlink <= no_folders) {
        write_to(group.folder, "cgroup.subtree_control", "-cpu");
    }
    close_if_open(group.folder);
}

void BrakeHold::remove(Group& group) noexcept {
    close_if_open(group.quota);
    if (group.folder < 0) return;
    const int parent = ::openat(group.folder, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char name[words_max + 1] = {};
    group.name.view().copy(name, words_max);
    const char* list = group.v2 ? "cgroup.threads" : "tasks";
    for (int round = 0; parent >= 0 && round < emptying_rounds_max; ++round) {
        move_members(group.folder, parent, list);
        if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno != EBUSY) break;
    }
    ::close(group.folder);
    group.folder = parent;
    if (!group.takes_back_cpu) close_if_open(group.folder);
}

}  // namespace segue::guard

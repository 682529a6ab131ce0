#include "store/sqlite/owner_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <string_view>

#include "io/fd.hpp"
#include "io/loop.hpp"

namespace segue {
namespace {

/// The first 1 KiB of a file of /proc, which is all of what is read here.
std::string read_proc(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 1024> buffer{};
    const ssize_t count = fd ? ::read(fd.get(), buffer.data(), buffer.size()) : 0;
    return {buffer.data(), static_cast<std::size_t>(count > 0 ? count : 0)};
}

struct Stat {
    char state = 0;
    std::uint64_t start_ticks = 0;
};

std::optional<Stat> read_stat(std::int64_t pid) {
    const std::string text = read_proc(fmt::format("/proc/{}/stat", pid));
    // The name (field 2) may hold anything, ')' and blanks included: fields are counted behind the last ')'.
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos || name_end + 2 >= text.size()) return std::nullopt;
    std::string_view rest = std::string_view(text).substr(name_end + 2);
    Stat stat;
    stat.state = rest.front();
    constexpr int state_field = 3;
    constexpr int start_field = 22;
    for (int field = state_field; field < start_field; ++field) {
        const std::size_t blank = rest.find(' ');
        if (blank == std::string_view::npos) return std::nullopt;
        rest.remove_prefix(blank + 1);
    }
    const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), stat.start_ticks);
    return problem == std::errc() ? std::optional(stat) : std::nullopt;
}

}  // namespace

std::string boot_id_of_this_host() {
    std::string id = read_proc("/proc/sys/kernel/random/boot_id");
    if (id.ends_with('\n')) id.pop_back();
    return id;
}

JournalStamp stamp_now() {
    static const std::string boot_id = boot_id_of_this_host();
    return {std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now()), boot_id,
            now_on_this_host()};
}

MoveOwner process_of(std::int64_t pid) {
    const auto stat = pid > 0 ? read_stat(pid) : std::nullopt;
    return {pid, stat ? stat->start_ticks : 0, boot_id_of_this_host()};
}

Instant started_at(const MoveOwner& process) {
    constexpr std::uint64_t ns_per_s = 1'000'000'000;
    const auto per_second = static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
    return {Duration{static_cast<std::int64_t>(process.start_ticks * (ns_per_s / per_second))}};
}

Result<MoveOwner> this_process() {
    MoveOwner owner = process_of(::getpid());
    if (owner.start_ticks == 0 || owner.boot_id.empty()) {
        return fail(ErrorKind::refused, "/proc cannot be read, so that nobody could tell later whether this process "
                                        "lives; mount it");
    }
    return owner;
}

Liveness look_for(const MoveOwner& owner) {
    if (owner.boot_id != boot_id_of_this_host()) return Liveness::gone;
    const auto stat = read_stat(owner.pid);
    if (stat) {
        const bool ended = stat->state == 'Z' || stat->state == 'X';
        return stat->start_ticks == owner.start_ticks && !ended ? Liveness::alive : Liveness::gone;
    }
    // It may end between the two looks; then the second one is right.
    return ::kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH ? Liveness::gone : Liveness::unknown;
}

}  // namespace segue

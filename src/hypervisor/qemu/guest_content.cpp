#include "hypervisor/qemu/guest_content.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "io/fd.hpp"

namespace segue::qemu {
namespace {

constexpr std::uint64_t looks = 4096;
constexpr std::uint64_t page_there = std::uint64_t{1} << 63;
constexpr std::uint64_t page_swapped = std::uint64_t{1} << 62;
constexpr std::size_t page_size_max = 65'536;

std::optional<std::uint64_t> hexadecimal(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// "7f00-7f80 rw-p ..."; nothing for a line that is no such mapping.
std::optional<Mapping> private_data(std::string_view line) {
    const auto dash = line.find('-');
    const auto blank = line.find(' ');
    if (dash == std::string_view::npos || blank == std::string_view::npos || dash > blank) return std::nullopt;
    if (!line.substr(blank + 1).starts_with("rw-p")) return std::nullopt;
    const auto from = hexadecimal(line.substr(0, dash));
    const auto to = hexadecimal(line.substr(dash + 1, blank - dash - 1));
    if (!from || !to || *to <= *from) return std::nullopt;
    return Mapping{*from, *to};
}

class Looker {
public:
    Looker(pid_t pid, std::size_t page)
        : pid_(pid),
          page_(page),
          pagemap_(::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC)) {}

    /// Whether something other than zero is in the page; nothing where that cannot be seen.
    [[nodiscard]] std::optional<bool> filled(std::uint64_t address) {
        std::uint64_t entry = 0;
        const auto at = static_cast<off_t>(address / page_ * sizeof(entry));
        if (!pagemap_ || ::pread(pagemap_.get(), &entry, sizeof(entry), at) != sizeof(entry)) return std::nullopt;
        if ((entry & page_swapped) != 0) return true;  // Nobody swaps out what is zero.
        if ((entry & page_there) == 0) return false;
        const iovec here{bytes_.data(), page_};
        const iovec there{reinterpret_cast<void*>(address), page_};
        if (::process_vm_readv(pid_, &here, 1, &there, 1, 0) != static_cast<ssize_t>(page_)) return std::nullopt;
        return std::any_of(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(page_),
                           [](char byte) { return byte != 0; });
    }

private:
    pid_t pid_;
    std::size_t page_;
    Fd pagemap_;
    std::array<char, page_size_max> bytes_{};
};

}  // namespace

std::optional<Mapping> ram_mapping(std::string_view maps, Bytes memory) {
    std::optional<Mapping> best;
    while (!maps.empty()) {
        const auto end = std::min(maps.find('\n'), maps.size());
        const auto found = private_data(maps.substr(0, end));
        maps.remove_prefix(std::min(end + 1, maps.size()));
        if (!found || memory.count <= 0 || found->size() < static_cast<std::uint64_t>(memory.count)) continue;
        if (!best || found->size() < best->size()) best = found;
    }
    return best;
}

std::optional<Bytes> content_of(pid_t pid, Bytes memory) {
    std::ifstream file(fmt::format("/proc/{}/maps", pid));
    const std::string maps{std::istreambuf_iterator<char>(file), {}};
    const auto ram = ram_mapping(maps, memory);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (!ram || page > page_size_max) return std::nullopt;
    const std::uint64_t pages = ram->size() / page;
    const std::uint64_t count = std::min(looks, pages);
    Looker looker(pid, page);
    std::minstd_rand dice;
    std::uint64_t filled = 0;
    // One of each equal part: what lies together counts as evenly as it can.
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t first = pages * i / count;
        const std::uint64_t behind = pages * (i + 1) / count;
        const auto seen = looker.filled(ram->from + (first + dice() % (behind - first)) * page);
        if (!seen) return std::nullopt;
        filled += *seen ? 1U : 0U;
    }
    const double part = static_cast<double>(filled) / static_cast<double>(count);
    return std::min(memory, Bytes{static_cast<std::int64_t>(part * static_cast<double>(ram->size()))});
}

}  // namespace segue::qemu

#pragma once
/// \file  The kernel's small files: read and written whole, with its own words when it refuses.
///
/// Cost: three system calls each. A cgroup file answers at once, but moving a thread between groups waits for every
/// CPU to pass a quiet point (tens of milliseconds were seen): never on the event loop.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/fd.hpp"

namespace segue {

/// How groups are made, removed and recognised, and where processes are shown. Tests on an imitation of the kernel's
/// files put their own in.
struct GroupFiles {
    std::string proc;
    std::function<int(const std::string& folder)> make;       ///< 0 or errno.
    std::function<int(const std::string& folder)> remove;     ///< 0 or errno.
    std::function<bool(const std::string& folder)> is_group;  ///< Whether it is a folder of the kernel's.
};
[[nodiscard]] GroupFiles kernel_files();

/// At most 64 KiB, without the last newline. Empty, and `*error` set, when it cannot be read.
[[nodiscard]] std::string read_small(const std::string& path, int* error = nullptr);
/// 0 or errno.
[[nodiscard]] int write_small(const std::string& path, std::string_view text);
[[nodiscard]] int write_small(const Fd& file, std::string_view text);
[[nodiscard]] std::string words_of(int error);
/// What is in a folder, in order; empty when it cannot be read.
[[nodiscard]] std::vector<std::string> names_in(const std::string& folder);

/// The parts of `text` between `separator`s, empty ones left out.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
/// The number that `text` is, or `otherwise`.
[[nodiscard]] long long number_in(std::string_view text, long long otherwise);

}  // namespace segue

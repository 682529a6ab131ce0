#pragma once
/// \file  What `segue vm ...` was asked for. Values only.

#include <string>
#include <string_view>
#include <vector>

#include "units/duration.hpp"

namespace segue {

struct VmWords {
    enum class Verb { start, stop, list, show, check };
    Verb verb = Verb::list;
    std::vector<std::string> what;  ///< FILE or NAME; several only for check.
    bool json = false;
    bool forget_move = false;
    bool now = false;
    Duration wait = std::chrono::seconds{60};  ///< For the guest to power down.
};

/// Whether an argument of `segue vm` means a file: it holds a slash or ends in .toml.
[[nodiscard]] bool is_vm_file_word(std::string_view word);

}  // namespace segue

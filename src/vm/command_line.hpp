#pragma once
/// \file  From a Description to the command that starts its QEMU on one host. Pure.
///
/// `{key}` in a word of `command` or a value of `env` becomes the value of that key: of the host's own table, else
/// of the table of its name up to the first dot, else of [host.default]. `{{key}}` stands for `{key}` itself; any
/// other brace is left as it is, so that QEMU's JSON needs no quoting.
/// Thread: any. Errors: Problems, with the line of the word.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "vm/description.hpp"

namespace segue::vm {

/// What a unix socket's address takes, without its closing zero.
inline constexpr std::size_t socket_path_bytes_max = 107;

/// The three monitors of a QEMU that Segue starts, in the VM's folder.
struct Monitors {
    std::string control;  ///< segue's, or segue receive's.
    std::string guard;    ///< The guardian's.
    std::string spare;    ///< For questions and people.
};
[[nodiscard]] Monitors monitors_in(const std::string& folder);

/// `invalid` where the monitors would not fit there: the folder is relative, too long or holds a comma.
[[nodiscard]] Result<void> check_folder(const std::string& folder);

struct Place {
    std::string host;
    std::string folder;  ///< Of this VM on that host; checked by `check_folder`.
    std::string uuid;
    bool incoming = false;  ///< It waits for a move: -S -incoming defer.
};

struct CommandLine {
    std::vector<std::string> words;
    std::vector<std::string> environment;  ///< NAME=VALUE; what the description adds.
};
[[nodiscard]] Parsed<CommandLine> command_line(const Description& description, const Place& place);

/// The keys between braces in `text`, in order.
[[nodiscard]] std::vector<std::string> placeholders_in(std::string_view text);

}  // namespace segue::vm

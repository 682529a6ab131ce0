#pragma once
/// \file  What a VM is, as its file says it (docs/vm-file.md): TOML text in, a Description out. Pure.
///
/// A description is the same text on every host; what differs is filled in by `{key}` placeholders
/// (command_line.hpp). Everything that is wrong with a text is told at once.
/// Thread: any. Errors: Problems, never empty, ordered by line.

#include <cstddef>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vm/limits.hpp"

namespace segue::vm {

/// It travels in one line of the receive protocol (64 KiB), where escapes may double it.
inline constexpr std::size_t description_bytes_max = 24 * 1024;
inline constexpr std::size_t name_bytes_max = 64;

struct Problem {
    int line = 0;      ///< 0: no line in particular.
    std::string what;  ///< One sentence, remedy included, without the file's name.
    int column = 0;    ///< 0: no column in particular.
    friend auto operator<=>(const Problem&, const Problem&) = default;
};
using Problems = std::vector<Problem>;

template <class T>
using Parsed = std::expected<T, Problems>;

/// A text with the line on which it stands.
struct Word {
    std::string text;
    int line = 0;
};

using HostValues = std::map<std::string, std::string>;

struct Description {
    std::string name;
    std::string uuid;             ///< Lower case; empty: drawn at the first start.
    std::vector<Word> command;    ///< The program and its arguments, placeholders and all.
    std::map<std::string, Word> env;
    bool shared_storage = false;  ///< Its image paths are the same storage on all hosts.
    Limits limits;
    std::map<std::string, HostValues> hosts;  ///< "default" among them, if it is there.
};

[[nodiscard]] Parsed<Description> parse_description(std::string_view text);

/// "web1.toml:7: WHAT" a line, or "site.toml:7:3: WHAT" where there is a column, without a newline at the end.
[[nodiscard]] std::string render(const Problems& problems, std::string_view file);

/// Letters, digits, - _ . ; not "." or ".." nor anything that begins with a dot or a dash: it names a folder.
[[nodiscard]] bool is_vm_name(std::string_view name);

/// 8-4-4-4-12 hex digits, of any case.
[[nodiscard]] bool is_uuid(std::string_view text);

/// Why a word cannot stand in `command`: what is Segue's to say, or would keep a move from working. Empty: it can.
[[nodiscard]] std::string why_not_in_command(std::string_view word, std::string_view next);

}  // namespace segue::vm

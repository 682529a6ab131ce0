#pragma once
/// \file  The command for the destination of a VM that somebody else started, from its own command line. Pure.
///
/// What cannot be the same on another host is translated where that is certain, and refused by its name where not.
/// What is not found here is found by comparing both QEMUs, before anything is changed.
/// Thread: any.

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "vm/path_change.hpp"

namespace segue::vm {

/// What a descriptor that its starter handed to QEMU is.
struct HandedFd {
    std::string tap;   ///< Name of the interface; empty: no tap.
    std::string path;  ///< Of a file or device; empty: none that can be opened again.
};

struct ForeignGuest {
    std::vector<std::string> argv;
    std::string program;                   ///< Absolute: what to start where argv[0] needs PATH.
    std::string folder;                    ///< Its working directory.
    std::vector<std::string> environment;  ///< NAME=VALUE, of /proc; only what QEMU itself reads is taken.
    std::string machine_type;              ///< Resolved: never an alias.
    std::map<std::string, std::string> devices;  ///< What is plugged in now: type by id.
    std::map<int, HandedFd> fds;
    std::vector<PathChange> paths;  ///< Folders that have another name there.
    std::string monitor;            ///< The monitor that it is moved by, on this host.
};

/// Sentences, each with its remedy.
using ForeignProblems = std::vector<std::string>;

/// \return  The words: -S -incoming defer, and a monitor of Segue's own that is the first of all.
[[nodiscard]] std::expected<std::vector<std::string>, ForeignProblems> foreign_command(const ForeignGuest& guest);

/// The path of that monitor on the destination.
[[nodiscard]] std::string monitor_of_segue(const std::string& monitor, const std::vector<PathChange>& paths);

/// `text` with each path in it that begins with one of the folders changed; the first change that fits counts.
[[nodiscard]] std::string change_paths(std::string_view text, const std::vector<PathChange>& paths);

}  // namespace segue::vm

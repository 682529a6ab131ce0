#pragma once
/// \file  Whether something on this host would start the source's QEMU again when it ends. After a move that would be a
///        second, stale copy of the guest, so it is looked for before and refused unless --on-success deals with it.
///
/// The rule, in this order (docs/safety.md has it for operators):
///   1. The QEMU is in a systemd service whose Restart is not `no`, and that service's main process is the QEMU or one
///      it descends from without a terminal between: found. Where systemd cannot be asked, any service is found but the
///      one that segue itself is in. A scope of libvirt's or Proxmox's: found.
///   2. Its parents, upwards: a process known to start its children again: found. A shell whose script has a `while` or
///      an `until`, or that has no terminal and a script that cannot be read: found. Other shells and wrappers (sudo,
///      env, ...) are looked through. An interactive shell, or a first process of a host or a session, ends the search.
///      Anything else ends it too, with a note.
/// Thread: any; asking systemd takes up to 2 s. Errors: none; what cannot be read is said in the note.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/request.hpp"

namespace segue {

/// A process between the QEMU and the first one of its host.
struct Ancestor {
    int pid = 0;
    std::string name;                   ///< As the kernel has it: at most 15 characters.
    std::vector<std::string> words;     ///< Its command line.
    bool terminal = false;              ///< It has a controlling one.
    std::string folder;                 ///< Where it works; empty where that cannot be seen.
    std::optional<std::string> script;  ///< Of a shell: what it was given to run, the first 64 KiB.
};

/// What systemd says of a service.
struct ServiceFacts {
    std::string restart;  ///< "no", "always", "on-failure", ...
    int main_pid = 0;     ///< 0: none.
};

struct SupervisorView {
    std::vector<Ancestor> line;  ///< The QEMU itself, its parent, and so on.
    std::string unit;            ///< The innermost service or scope of its cgroup; empty: none.
    std::string slice;           ///< The unit above that.
    std::string own_unit;        ///< The same of this process.
    std::optional<ServiceFacts> service;  ///< None: could not be asked.
};

struct SupervisorVerdict {
    std::optional<Finding> finding;
    std::string note;  ///< For the operator, where nothing is certain. May be empty.
};

/// By its command line: the name of a script's process is the script's.
[[nodiscard]] bool is_shell(const Ancestor& process);

/// Pure.
[[nodiscard]] SupervisorVerdict judge_supervisor(const SupervisorView& view);

/// Innermost service or scope first, then what is above it, from the text of a /proc/PID/cgroup. Empty: none.
struct UnitPath {
    std::string unit;
    std::string slice;
};
[[nodiscard]] UnitPath unit_in(std::string_view cgroup_text);

/// \param pid  Of the source's QEMU; 0: it cannot be seen from here.
[[nodiscard]] SupervisorVerdict find_supervisor(int pid);

}  // namespace segue

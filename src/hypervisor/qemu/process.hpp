#pragma once
/// \file  QEMU as a process of this host, held by a pidfd so that it cannot be mistaken for another.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "io/fd.hpp"

namespace segue::qemu {

class Process {
public:
    /// The process `pid` if it has all of `threads` (QEMU's own word for its vCPUs); nothing otherwise. That
    /// is the proof that it is QEMU: the peer of a socket is whoever called listen(), which may be a
    /// manager that passed it on, and another pid namespace has other numbers.
    [[nodiscard]] static std::optional<Process> with_threads(pid_t pid, const std::vector<pid_t>& threads);

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Readable once the process is dead.
    [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
    /// Another descriptor of the same, the caller's to close; -1 on failure.
    [[nodiscard]] int duplicate_pidfd() const noexcept { return pidfd_.duplicate().release(); }
    [[nodiscard]] bool dead() const noexcept;
    /// SIGKILL. A process that is dead already is no error.
    [[nodiscard]] Result<void> kill() const;
    /// Its working directory, or empty when that cannot be read.
    [[nodiscard]] std::string working_directory() const;
    /// Resident memory, in bytes; 0 when that cannot be read.
    [[nodiscard]] std::int64_t resident_bytes() const;

private:
    Process(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

    pid_t pid_ = 0;
    Fd pidfd_;
};

}  // namespace segue::qemu

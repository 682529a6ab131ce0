#pragma once
/// \file  A QEMU that `segue receive` or `segue vm start` starts: a process of its own session, with a
///        clean environment.
///
/// It is forked first and runs the command only when told: by then the guardian holds its pidfd, so that there is
/// no moment at which the death of `segue receive` leaves a QEMU behind.
/// Thread: the loop's. The destructor leaves a running QEMU alone and takes one that never ran with it.

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.hpp"
#include "io/fd.hpp"

namespace segue {

/// The path P of the first `-qmp unix:P[,...]` of a command that starts QEMU. `invalid` where there is none, or
/// where the command would not stay the process that was started (-daemonize).
[[nodiscard]] Result<std::string> monitor_in(const std::vector<std::string>& command);

/// The unix sockets on which a command that starts QEMU would listen, as it names them.
[[nodiscard]] std::vector<std::string> sockets_in(const std::vector<std::string>& command);

/// What a QEMU finds where it starts.
struct ProcessPlace {
    std::vector<std::string> environment;  ///< NAME=VALUE, besides PATH and LC_ALL, which these may replace.
    std::string folder;                    ///< Its working directory; empty: ours.
};

class QemuProcess {
public:
    /// Forks. \param log_path  What QEMU says on its standard output and error. Logs of other moves in the same folder
    /// (named by their 32 hex digits) are taken away when the QEMU that wrote them has ended.
    [[nodiscard]] static Result<QemuProcess> prepare(std::vector<std::string> command, std::string log_path,
                                                     ProcessPlace place = {});
    QemuProcess(QemuProcess&&) = default;
    QemuProcess& operator=(QemuProcess&&) = default;

    void run();
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] Fd duplicate_pidfd() const noexcept { return pidfd_.duplicate(); }
    [[nodiscard]] bool dead() const noexcept;
    /// SIGKILL; waits up to a second for its end, and takes its log away.
    void end();
    /// The end of what it said, on one line; empty when it said nothing.
    [[nodiscard]] std::string last_words() const;
    void forget_log() const;

private:
    QemuProcess() = default;

    pid_t pid_ = 0;
    Fd pidfd_;
    Fd go_;  ///< Closing it unwritten ends a child that has not run the command yet.
    std::string log_path_;
};

}  // namespace segue

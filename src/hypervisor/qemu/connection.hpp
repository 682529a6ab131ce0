#pragma once
/// \file  One client connection to one QEMU monitor.
///
/// Rules: every command is answered exactly once through its callback, on the loop thread, never from
/// inside `execute` itself; on a broken connection with `unavailable`, at its deadline with `timed_out`
/// (a reply that comes later is dropped). At most limits::qmp_outstanding_max in-band commands are on
/// the wire, others wait in order; an out-of-band command never waits. Events come with arrival stamps.
/// A monitor that does not greet within `greeting_timeout` is held by somebody: the error names the
/// holder's pid and program, and what to configure (a second -qmp socket).
/// Kinds in on_ready: `conflict` held by a process that could be named; `timed_out` no greeting, holder
/// unknown or QEMU blocked; `unavailable` nobody listens; `refused` no permission; `invalid` bad path;
/// `corrupt` no monitor. A refused command is `refused`, one that QEMU does not know `unsupported`.
/// Commands may be given before on_ready: they wait for it. A command that timed out on the wire keeps
/// its place among the outstanding until QEMU's late reply; one with a descriptor waits for the one
/// before (QEMU keeps only the last descriptor it read). The destructor calls nobody: commands without
/// an answer are dropped. It may run inside any callback.
/// Thread: the loop's. Ownership: holds its socket; the loop must outlive it.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>

#include "base/result.hpp"
#include "hypervisor/qemu/codec.hpp"
#include "io/fd.hpp"
#include "io/loop.hpp"
#include "units/duration.hpp"

namespace segue::qemu {

class Connection {
public:
    using OnReply = std::function<void(Result<boost::json::value>)>;

    struct Callbacks {
        /// Greeted and out-of-band enabled where offered (or the reason why not). Exactly once.
        std::function<void(Result<Greeting>)> on_ready;
        std::function<void(const QmpEvent&, Instant arrived_at)> on_event;
        /// The connection is gone after it was ready; all commands have been answered before.
        std::function<void(Error)> on_lost;
    };

    /// Begins to connect to the unix socket at `path`. `side` is "source" or "destination", for errors.
    Connection(Loop& loop, std::string path, std::string side, Duration greeting_timeout, Callbacks callbacks);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void execute(std::string_view name, boost::json::object arguments, Duration timeout, OnReply on_reply);
    /// The same, and passes a duplicate of `fd` with it (SCM_RIGHTS; for getfd).
    void execute_with_fd(std::string_view name, boost::json::object arguments, int fd, Duration timeout,
                         OnReply on_reply);
    /// exec-oob: overtakes everything. `unsupported` where the monitor does not offer it.
    void execute_out_of_band(std::string_view name, boost::json::object arguments, Duration timeout,
                             OnReply on_reply);

    /// The process that listens on the socket (SO_PEERCRED), 0 when it is in a pid namespace out of sight.
    [[nodiscard]] pid_t peer_pid() const noexcept;
    [[nodiscard]] bool out_of_band() const noexcept;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

/// "pid 1234 (virsh)" for whoever holds the monitor at `path`, or empty when it cannot be told.
[[nodiscard]] std::string describe_monitor_holder(const std::string& path);

}  // namespace segue::qemu

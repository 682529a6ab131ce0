#pragma once
/// \file  The destination side of a migration behind `segue receive` on another host: the port of
///        hypervisor/guest.hpp over receive::Client and the command that carries it.
///
/// It decides nothing. Port rules hold: no callback from inside of `submit`, each command answered once.
/// Thread: the loop's; the loop must outlive this. Any callback may destroy it.

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "app/segue/words/dst_host.hpp"
#include "hypervisor/guest.hpp"
#include "io/loop.hpp"
#include "migration/request.hpp"
#include "receive/client.hpp"

namespace segue {

class RemoteDst {
public:
    using Ready = std::expected<void, Finding>;
    using OnAnswer = std::function<void(Result<GuestAnswer>)>;
    using OnNotice = std::function<void(const GuestNotice&)>;
    /// What the other side, or the command that leads to it, says to the operator; with its name before it.
    using OnNote = std::function<void(const std::string&)>;

    /// Starts the command and greets; `on_ready` exactly once, after the greeting and three round trips.
    RemoteDst(Loop& loop, const DstHost& host, receive::ClientPlan plan, std::function<void(Ready)> on_ready,
              OnNotice on_notice, OnNote on_note);
    /// Says bye, if that was not done, and leaves the command to end by itself; one that never greeted is told to end.
    ~RemoteDst();
    RemoteDst(const RemoteDst&) = delete;
    RemoteDst& operator=(const RemoteDst&) = delete;

    void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer);
    /// Says bye, with how the move ended in the words of docs/json-output.md, and why. Nobody is called from here on
    /// but `on_left`, once: when the other side has ended what it had for this move, or there is no connection left by
    /// which that could be seen (true), or it did not within `leave_max` (false).
    void leave(const std::string& outcome, const std::string& reason, std::function<void(bool)> on_left);
    /// It ends its QEMU, which takes up to 2 s of it, and closes its journal.
    static constexpr Duration leave_max = std::chrono::seconds{5};
    /// Its process is on another host.
    [[nodiscard]] int duplicate_pidfd() const { return -1; }
    /// The longest of three questions after the greeting, answers included; 0 before `on_ready`.
    [[nodiscard]] Duration round_trip() const;
    /// What it said of itself; empty before `on_ready`.
    [[nodiscard]] const std::optional<receive::Hello>& peer() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

/// The greeting of this program. `move` only for the source's side.
[[nodiscard]] receive::Hello our_hello(std::string version, std::optional<receive::MoveId> move);

}  // namespace segue

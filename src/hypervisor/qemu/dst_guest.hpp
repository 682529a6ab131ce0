#pragma once
/// \file  The destination side of a migration, spoken over QMP. Implements the port of hypervisor/guest.hpp.
///
/// Thread: the loop's. Ownership: owns its monitor connection and a pidfd of QEMU where it can be seen;
/// the loop must outlive it. It translates and never decides (port rule 3).

#include <functional>
#include <memory>
#include <string>

#include "hypervisor/guest.hpp"
#include "io/loop.hpp"

namespace segue::qemu {

class DstGuest {
public:
    using OnAnswer = std::function<void(Result<GuestAnswer>)>;
    using OnNotice = std::function<void(const GuestNotice&)>;

    /// Connects to the monitor; `on_ready` exactly once (an error names the side and the remedy).
    DstGuest(Loop& loop, std::string monitor_path, std::function<void(Result<void>)> on_ready, OnNotice on_notice);
    ~DstGuest();
    DstGuest(const DstGuest&) = delete;
    DstGuest& operator=(const DstGuest&) = delete;

    /// Answered exactly once, later.
    void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer);

    /// The connection that the next DstListen hands to QEMU instead of having it listen itself. Stays the
    /// caller's, open until that command was answered; then QEMU has it as its own.
    void set_stream(int fd);

    /// A pidfd of the destination's QEMU for the guardian (a duplicate, the caller's to close); -1 before
    /// `on_ready` or where its process is out of sight.
    [[nodiscard]] int duplicate_pidfd() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue::qemu

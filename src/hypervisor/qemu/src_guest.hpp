#pragma once
/// \file  The source side of a migration, spoken over QMP. Implements the port of hypervisor/guest.hpp.
///
/// Thread: the loop's. Ownership: owns its monitor connection and a pidfd of QEMU where it can be seen;
/// the loop must outlive it. It translates and never decides (port rule 3).

#include <functional>
#include <memory>
#include <string>

#include "hypervisor/guest.hpp"
#include "io/loop.hpp"

namespace segue::qemu {

class SrcGuest {
public:
    using OnAnswer = std::function<void(Result<GuestAnswer>)>;
    using OnNotice = std::function<void(const GuestNotice&)>;

    /// Connects to the monitor; `on_ready` exactly once (an error names the side and the remedy).
    SrcGuest(Loop& loop, std::string monitor_path, std::function<void(Result<void>)> on_ready, OnNotice on_notice);
    ~SrcGuest();
    SrcGuest(const SrcGuest&) = delete;
    SrcGuest& operator=(const SrcGuest&) = delete;

    /// Answered exactly once, later.
    void submit(const SrcCommand& command, Duration timeout, OnAnswer on_answer);
    /// The descriptor that SrcTakeStream will hand over; stays the caller's.
    void set_stream(int fd);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue::qemu

#pragma once
/// \file  `segue receive`'s end of the guardian beside the destination QEMU: starts the process, writes the
///        board, claims the guest.
///
/// The guardian (app/guard) is in a session of its own and outlives `segue receive`. This object owns the
/// mapped board, the control socket and a pidfd of the guardian.
/// Thread: the loop's. Errors: `unavailable` with the reason when it could not be started.

#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "io/loop.hpp"
#include "units/duration.hpp"

namespace segue {

class DstGuardClient {
public:
    /// \param on_gone  It ended though it was neither released nor had lost the claim. At most once.
    DstGuardClient(Loop& loop, std::string program, std::function<void()> on_gone);
    ~DstGuardClient();
    DstGuardClient(const DstGuardClient&) = delete;
    DstGuardClient& operator=(const DstGuardClient&) = delete;

    /// Starts the process and answers, later, once it watches or could not be started. Once.
    /// \param qemu_pidfd  Of the destination's QEMU; stays the caller's.
    void start(int qemu_pidfd, Duration timeout, std::function<void(Result<void>)> on_ready);
    [[nodiscard]] bool started() const;

    /// Writes the board; rings when `armed` changed. Allowed before `start` was answered.
    void note(bool armed, Instant alive_at);
    /// Compare-and-set: after `true` it never kills this QEMU.
    [[nodiscard]] bool claim();
    /// It may leave.
    void release();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue

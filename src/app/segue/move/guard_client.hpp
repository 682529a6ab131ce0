#pragma once
/// \file  Segue's end of the guardian: starts the process, writes the board, claims the verdict.
///
/// The guardian (app/guard) is in a session of its own and outlives Segue. This object owns the mapped
/// board, the control socket and a pidfd of the guardian.
/// Thread: the loop's. Errors: `unavailable` with the reason when it could not be started.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "brake/cgroup/cgroup_brake.hpp"
#include "guard/port.hpp"
#include "io/loop.hpp"

namespace segue {

class GuardClient {
public:
    struct Where {
        std::string program;  ///< Path of segue-guard.
        std::string src_monitor;
        std::optional<std::string> guard_monitor;  ///< A monitor of the source for the guardian alone.
    };

    GuardClient(Loop& loop, Where where, std::function<void(const GuardNotice&)> on_notice);
    ~GuardClient();
    GuardClient(const GuardClient&) = delete;
    GuardClient& operator=(const GuardClient&) = delete;

    /// Starts the process and answers once it watches (calibrated) or could not be started.
    /// \param dst_pidfd  Of the destination's QEMU; stays the caller's.
    void start(int dst_pidfd, Duration timeout, std::function<void(Result<GuardReady>)> on_ready);

    void brief(const std::string& put_back_script);
    void take_stream(int fd);
    /// The groups by which the guest is braked (BrakePort::held); the descriptors stay the caller's. False if the
    /// guardian could not be given all of them: then do not brake.
    [[nodiscard]] bool take_brake(const std::vector<HeldGroup>& groups);
    /// Writes the board and rings when the stage or the pass changed.
    void note(const GuardNote& note);
    [[nodiscard]] GuardClaim claim_word();
    [[nodiscard]] GuardClaim claim_rollback();
    /// Stage `over`: the guardian leaves.
    void release();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// The guardian beside this very program, or what SEGUE_GUARD names.
[[nodiscard]] std::string find_guard_program();

}  // namespace segue

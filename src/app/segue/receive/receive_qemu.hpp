#pragma once
/// \file  The destination QEMU of `segue receive` on real parts: attached or started, with the guardian beside it.
///
/// Thread: the loop's. The destructor leaves QEMU and the guardian as they are.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/segue/process/qemu_process.hpp"
#include "hypervisor/guest.hpp"
#include "io/fd.hpp"
#include "io/loop.hpp"
#include "store/journal.hpp"

namespace segue {

class ReceiveQemu {
public:
    struct Callbacks {
        std::function<void(const GuestNotice&)> on_notice;
        std::function<void()> on_guardian_gone;
    };
    using OnReady = std::function<void(Result<void>)>;
    using OnAnswer = std::function<void(Result<GuestAnswer>)>;

    ReceiveQemu(Loop& loop, std::string guard_program, Callbacks callbacks);
    ~ReceiveQemu();
    ReceiveQemu(const ReceiveQemu&) = delete;
    ReceiveQemu& operator=(const ReceiveQemu&) = delete;

    /// Answers, later, once its monitor has greeted and, if `guarded`, the guardian stands beside it.
    void attach(const std::string& monitor, bool guarded, OnReady on_ready);
    /// The same of a QEMU that is started; a start that fails leaves no process. It is guarded, armed, before it
    /// runs its first instruction. \param log_path  For what it says.
    void start(const std::vector<std::string>& command, const std::string& log_path, ProcessPlace place,
               OnReady on_ready);
    /// 0 before it is ready, or where its process is out of sight.
    [[nodiscard]] pid_t pid() const;

    /// What a QEMU that we started and that is dead said last; empty when it said nothing. Its log is deleted.
    [[nodiscard]] std::string take_last_words();

    /// What an earlier session left: DstKill ends it even if its monitor cannot be reached.
    void know(MoveOwner process);

    /// \pre Ready, but for DstKill.
    void submit(const DstCommand& command, Duration timeout, OnAnswer on_answer);
    /// Hands the data connection to it.
    void take_stream(Fd connection, Duration timeout, std::function<void(Result<void>)> on_taken);

    /// For the guardian (dst_guard_client.hpp). What came before it was ready does not count as silence.
    void note(bool armed, Instant alive_at);
    [[nodiscard]] bool claim();
    /// The guardian may leave.
    void release();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue

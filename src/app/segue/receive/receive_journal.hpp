#pragma once
/// \file  The destination's records of one move, in this host's journal: what receive::Session writes and reads,
///        in the journal's own steps.
///
/// begun is `prepared`; accepted, ran and tombstone have steps of their own (a tombstone after accepted is
/// `refused`); `listening` is added here, with the QEMU's pid and start time, by which it is found again.
/// Thread: the loop's; the disk is waited for on the journal's thread.

#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "io/loop.hpp"
#include "receive/session_event.hpp"
#include "store/journal.hpp"

namespace segue {

class ReceiveJournal {
public:
    /// Waits for the disk: nothing stands yet. An error says what is wrong with the journal.
    [[nodiscard]] static Result<std::unique_ptr<ReceiveJournal>> open(Loop& loop, const std::string& state_folder);
    ~ReceiveJournal();
    ReceiveJournal(const ReceiveJournal&) = delete;
    ReceiveJournal& operator=(const ReceiveJournal&) = delete;

    using OnRecalled = std::function<void(Result<receive::Recalled>)>;
    using OnWritten = std::function<void(Result<void>)>;

    /// What is known of `move`, which all later calls are about. Another session of it that lives is told to stop,
    /// after 3 s killed, and seen gone before. \param src_host  As the source calls itself.
    void recall(const receive::MoveId& move, std::string src_host, OnRecalled on_recalled);
    /// The QEMU that an earlier session left, once recalled; pid 0 where it was not written down.
    [[nodiscard]] const MoveOwner& left_qemu() const;
    /// Of a VM that is moved by its definition. Before `begun` is written.
    void know_vm(std::string name);
    /// Of the QEMU that was attached or started; goes with the steps to come.
    void know_qemu(pid_t pid);
    /// Answered later. \param monitor  Only `begun` needs it.
    void write(receive::Record record, const std::string& monitor, OnWritten on_written);
    /// Not waited for, but on the disk with the next `accepted`.
    void write_listening();
    /// The move is over here: nothing can be appended any more. Nothing is done where the journal says that
    /// something is left for `segue recover`. \param how  Counts where the guest did not run here.
    void close(int exit_status, receive::HowEnded how, OnWritten on_written);

private:
    struct Impl;
    explicit ReceiveJournal(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue

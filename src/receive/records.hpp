#pragma once
/// \file  What one session reads and writes in the journal of the destination's host: the rules, over the port to
///        the journal (docs/journal-format.md). Run by `segue receive` on the journal's thread and by the simulator.
///
/// Thread: any one at a time; the calls wait for the journal. Errors: the journal's own, and `conflict` for a record
/// that does not belong to this session's move as it is.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "receive/session_event.hpp"
#include "store/journal.hpp"

namespace segue::receive {

/// Where a move's QEMU is, as its steps say; later ones win.
struct LeftQemu {
    std::string monitor;
    MoveOwner process;  ///< pid 0 while it is not known.
};
[[nodiscard]] LeftQemu left_qemu(const MoveRecord& record);
/// A step that says so.
[[nodiscard]] MoveStep step_with(StepKind kind, JournalStamp at, const LeftQemu& qemu);

/// All but `qemu_alive`, which the host must say.
[[nodiscard]] Recalled recalled_from(const MoveRecord& record);

class Records {
public:
    explicit Records(MoveOwner self) : self_(std::move(self)) {}

    /// Before all else.
    void session_of(segue::MoveId move, std::string src_host);
    void know_vm(std::string name) { move_.vm = std::move(name); }

    /// The record of this move, if there is one; whoever holds it must be seen gone before it is taken.
    [[nodiscard]] Result<std::optional<MoveRecord>> find(Journal& journal) const;
    /// As it is once it is ours; a closed one is only read.
    [[nodiscard]] Result<MoveRecord> take(Journal& journal, JobId job);

    /// \param step  Of `record`'s kind (step_with); that of `begun` names the monitor. A tombstone that comes after
    /// `accepted` is written as `refused`, and one that is there already is no error.
    [[nodiscard]] Result<void> write(Journal& journal, Record record, const MoveStep& step);
    /// Where it is missing, `accepted` will be refused: that is the net.
    [[nodiscard]] Result<void> write_listening(Journal& journal, const MoveStep& step);
    /// The move is over here, unless something is left for `segue recover`. \param alive  Whether its QEMU lives.
    /// \param how  Counts where the guest did not run here.
    [[nodiscard]] Result<void> close(Journal& journal, const std::function<bool(const MoveRecord&)>& alive,
                                     int exit_status, const HowEnded& how, const JournalStamp& at);

private:
    [[nodiscard]] Result<void> begin(Journal& journal, const MoveStep& first);
    [[nodiscard]] Result<void> bury(Journal& journal, MoveStep step);

    MoveOwner self_;
    NewMove move_;
    std::optional<JobId> job_;
};

/// The step that `record` is written as.
[[nodiscard]] StepKind step_of(Record record) noexcept;

}  // namespace segue::receive

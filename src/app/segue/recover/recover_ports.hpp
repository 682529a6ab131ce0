#pragma once
/// \file  Both sides of a move as `segue recover` finds them: a source whose monitor may be free only in a moment,
///        and a destination that may be far, slow or gone.
///
/// Thread: the loop's; the loop must outlive these. No callback comes from inside of a constructor or `submit`.

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "app/segue/destination/dst_port.hpp"
#include "app/segue/move/on_success.hpp"
#include "hypervisor/qemu/src_guest.hpp"
#include "io/loop.hpp"
#include "store/journal.hpp"

namespace segue {

/// "qmp:/run/a.qmp" without its scheme.
[[nodiscard]] std::string monitor_path(const std::string& place);

/// Whether the QEMU that listened at `path` is proven to have ended: the host was started again since the record's
/// last step, nobody listens at a socket that is there, or the socket is gone and so is `pid` (0: not known).
[[nodiscard]] bool qemu_is_gone(const MoveRecord& record, const std::string& path, std::int64_t pid);

/// The pid of the source's QEMU as the journal has it, or 0.
[[nodiscard]] std::int64_t recorded_source_pid(const MoveRecord& record);

/// Its --on-success as the record has it, with `command` for /bin/sh.
[[nodiscard]] OnSuccess on_success_of(const MoveRecord& record, std::string command);

/// Lets go of the brake that the record tells of (`brake` of a step: BrakeReady::undo), if there is one. Safe at any
/// time, also while the guest runs and while a guardian does the same.
[[nodiscard]] Result<void> undo_recorded_brake(const MoveRecord& record);

/// Opens the source's monitor, again and again while the dead segue's guardian may still hold it.
class SourceOpener {
public:
    struct Opened {
        std::unique_ptr<qemu::SrcGuest> guest;  ///< Null: gone, or why not.
        bool gone = false;
        std::string trouble;
    };
    using OnNotice = std::function<void(const GuestNotice&)>;

    /// `on_opened` exactly once, unless this is destroyed before. `on_notice` from then on.
    SourceOpener(Loop& loop, const MoveRecord& record, std::function<void(Opened)> on_opened, OnNotice on_notice);
    ~SourceOpener();
    SourceOpener(const SourceOpener&) = delete;
    SourceOpener& operator=(const SourceOpener&) = delete;

private:
    void open();
    void on_ready(const Result<void>& ready);
    void tell(Opened opened);

    Loop& loop_;
    MoveRecord record_;
    std::string path_;
    std::function<void(Opened)> on_opened_;
    OnNotice on_notice_;
    Instant give_up_at_;
    std::unique_ptr<qemu::SrcGuest> guest_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// The destination, asked before it is known whether it can be reached: commands wait, each to its own deadline.
class LateDst {
public:
    LateDst(Loop& loop, const MoveRecord& record, const std::string& segue_version,
            std::function<void(const GuestNotice&)> on_notice, std::function<void(const std::string&)> on_note);
    ~LateDst();
    LateDst(const LateDst&) = delete;
    LateDst& operator=(const LateDst&) = delete;

    void submit(const DstCommand& command, Duration timeout, DstPort::OnAnswer on_answer);

private:
    struct Waiting {
        DstCommand command;
        Instant deadline;
        DstPort::OnAnswer on_answer;
        Loop::TimerId timer{};
    };
    enum class State { opening, open, gone, unreachable };

    void open_near(DstPortCallbacks told);
    void open_far(const std::string& segue_version, DstPortCallbacks told);
    void on_ready(const std::expected<void, Finding>& ready);
    void settle(State state);
    void answer_soon(DstPort::OnAnswer on_answer, Result<GuestAnswer> value);
    [[nodiscard]] Result<GuestAnswer> answer_without(const DstCommand& command) const;

    Loop& loop_;
    MoveRecord record_;
    State state_ = State::opening;
    std::string trouble_;
    std::list<Waiting> waiting_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::unique_ptr<DstPort> port_;
};

}  // namespace segue

#pragma once
/// \file  How the source is made to run again, and what is put right afterwards (DESIGN.md section 4
///        point 8). When, is guard/rules.hpp.

#include "app/guard/monitor.hpp"
#include "guard/board.hpp"

namespace segue::guard {

/// What the guardian holds of one move. Descriptors are -1 where there is none.
struct Holdings {
    const char* src_monitor = nullptr;
    const char* guard_monitor = nullptr;  ///< Null: only the one that Segue holds.
    int control = -1;
    int segue = -1;   ///< pidfd
    int dst = -1;     ///< pidfd of the destination QEMU, if it is on this host.
    int stream = -1;  ///< Our duplicate of the migration stream.
};

class Rescue {
public:
    Rescue(Board& board, Holdings& held, Monitor& monitor) noexcept
        : board_(board), held_(held), monitor_(monitor) {}

    /// Shuts the stream down, if there is one. Harmless at every stage at which the verdict is rollback:
    /// while copying the move just fails; at `pre-switchover` it changes nothing (migrate_cancel does);
    /// after `migrate-continue` it is what frees QEMU's main loop; a stream that was read to its end
    /// has no effect left. So it is one rule, it needs no monitor and no answer, and a destination on
    /// another host learns by it at once that it may go.
    void cut_stream() noexcept;

    /// Until the guest is seen running on the source (or standing as somebody wished). \pre the verdict
    /// is rollback. False: `trouble()` says why.
    [[nodiscard]] bool bring_back() noexcept;

    /// After `bring_back`, Segue dead: no destination, no migration left in QEMU, its settings as
    /// they were. False if something of it is left undone (`trouble()`).
    [[nodiscard]] bool clean_up() noexcept;

    /// The board's put_back lines, one by one. False if not all were accepted.
    [[nodiscard]] bool put_back() noexcept;

    /// Tells the switches that the guest is here, if it had been stopped. Once.
    void announce() noexcept;

    [[nodiscard]] bool guest_stood() const noexcept { return guest_stood_; }
    [[nodiscard]] bool dst_killed() const noexcept { return dst_killed_; }
    [[nodiscard]] std::string_view trouble() const noexcept { return trouble_.view(); }

private:
    enum class Step { again, runs, hopeless };

    [[nodiscard]] bool reach_monitor(Instant until) noexcept;
    [[nodiscard]] Step one_attempt(Instant until, int attempt) noexcept;
    [[nodiscard]] bool whole_copy_may_be_there() const noexcept;
    [[nodiscard]] Step judge(const Answer& status, Instant until, int attempt) noexcept;
    [[nodiscard]] Step let_run(Instant until) noexcept;
    [[nodiscard]] bool await_no_migration() noexcept;
    void kill_dst() noexcept;
    void say(std::string_view trouble, std::string_view detail = {}) noexcept;

    Board& board_;
    Holdings& held_;
    Monitor& monitor_;
    bool guest_stood_ = false;
    bool dst_killed_ = false;
    bool announced_ = false;
    Word<160> trouble_;
};

}  // namespace segue::guard

#pragma once
/// \file  The guardian beside the destination QEMU: ends it unless its word is accepted.
///
/// Control messages (SOCK_SEQPACKET). From `segue receive`: any, "look at the board". To it: `W` watching.

#include "app/guard/os.hpp"
#include "guard/dst_board.hpp"
#include "guard/dst_rules.hpp"

namespace segue::guard {

/// Descriptors that it was started with.
struct DstHoldings {
    int control = -1;
    int receive = -1;  ///< pidfd.
    int qemu = -1;     ///< pidfd.
};

class DstGuardian {
public:
    DstGuardian(DstBoard& board, const DstHoldings& held) noexcept : board_(board), held_(held) {}

    /// Until QEMU is accepted, dead or let go. The process's exit status.
    [[nodiscard]] int run() noexcept;

private:
    [[nodiscard]] DstView look() noexcept;
    void wait(Instant until) noexcept;
    /// False where it may not kill.
    [[nodiscard]] bool end_qemu() noexcept;

    DstBoard& board_;
    DstHoldings held_;
    int timer_ = -1;
    bool control_open_ = true;
    bool receive_dead_ = false;
};

}  // namespace segue::guard

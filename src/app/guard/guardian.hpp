#pragma once
/// \file  The guardian of one move: watches the board, Segue and the source, and acts when the rules say so.
///
/// Control messages (SOCK_SEQPACKET). Segue to guardian: `S` + the stream's descriptor (SCM_RIGHTS);
/// `F` + words + the descriptors of a brake's quota file and group (brake_hold.hpp); `D`: look at the board.
/// Guardian to Segue: `W` watching, `H` needs help now, `B` rolled back or failed (look at the board).

#include <cstdint>

#include "app/guard/brake_hold.hpp"
#include "app/guard/monitor.hpp"
#include "app/guard/rescue.hpp"
#include "guard/board.hpp"
#include "guard/rules.hpp"

namespace segue::guard {

class Guardian {
public:
    Guardian(Board& board, const Holdings& held) noexcept
        : board_(board), held_(held), rescue_(board, held_, monitor_) {}

    /// Until the move is over or undone. The process's exit status.
    [[nodiscard]] int run() noexcept;

private:
    [[nodiscard]] bool open_timer() noexcept;
    void connect() noexcept;
    void calibrate() noexcept;
    void set_timer(Instant at) noexcept;
    [[nodiscard]] Duration timer_lateness() noexcept;
    [[nodiscard]] View look() noexcept;
    void wait(Instant until) noexcept;
    void take_control() noexcept;
    void take_message(char kind, std::string_view text, int first, int second) noexcept;
    void pass_fault_points() noexcept;

    void roll_back(RollbackReason reason) noexcept;
    [[nodiscard]] bool rely_on_segue() noexcept;
    void finish_rollback(bool runs) noexcept;
    /// \return  When to look again.
    [[nodiscard]] Instant look_after_brake(const View& view) noexcept;
    [[nodiscard]] int end_alone() noexcept;
    [[nodiscard]] int end_before_start() noexcept;
    [[nodiscard]] bool segue_dead() noexcept;
    void set_state(GuardState state) noexcept;
    void notify(char message) noexcept;

    Board& board_;
    Holdings held_;
    Monitor monitor_;
    Rescue rescue_;
    int timer_ = -1;
    bool control_open_ = true;
    bool segue_dead_ = false;
    bool try_own_ = false;
    enum class Outcome { none, rolled_back, failed } outcome_ = Outcome::none;
    BrakeHold brake_;
};

}  // namespace segue::guard

#pragma once
/// \file  The guardian beside the destination QEMU in virtual time: the very rules of guard/dst_rules.hpp on the very
///        board. One for each `segue receive`; it outlives that.

#include <functional>
#include <memory>

#include "app/sim/clock.hpp"
#include "guard/dst_board.hpp"
#include "guard/dst_rules.hpp"
#include "hypervisor/sim/agenda.hpp"
#include "hypervisor/sim/rng.hpp"

namespace segue::sim {

class DstGuardian : public std::enable_shared_from_this<DstGuardian> {
public:
    struct Host {
        std::function<bool()> qemu_alive;
        std::function<void()> kill_qemu;
        std::function<void(const std::string&)> log;
        bool knows_no_deadline = false;  ///< Planted.
    };
    DstGuardian(Agenda& agenda, const HostClock& clock, Rng rng, Host host)
        : agenda_(agenda), clock_(clock), rng_(rng), host_(std::move(host)) {}

    [[nodiscard]] bool alive() const { return alive_; }
    void die() { alive_ = false; }
    [[nodiscard]] guard::DstBoard& board() { return board_; }
    [[nodiscard]] bool armed() const { return board_.armed.load() != 0; }

    void note(bool armed, Instant alive_at);
    [[nodiscard]] bool claim();
    void release();
    void receive_died();
    void look();

private:
    void look_at(Instant when);

    Agenda& agenda_;
    const HostClock& clock_;
    Rng rng_;
    Host host_;
    guard::DstBoard board_;
    bool alive_ = true;
    bool receive_alive_ = true;
    std::uint64_t timer_ = 0;
};

}  // namespace segue::sim

#pragma once
/// \file  The destination's host in virtual time: its disk and journal, its clock, its QEMU (of the world), and every
///        `segue receive` that ever ran there with the guardian that it started. The real receive::Session decides;
///        here are the duties of app/segue/receive/receive_shell.cpp, and the checks of what a session must never do.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/sim/clock.hpp"
#include "app/sim/control_link.hpp"
#include "app/sim/disk.hpp"
#include "app/sim/dst_guardian.hpp"
#include "hypervisor/sim/world.hpp"
#include "receive/codec.hpp"
#include "receive/session.hpp"

namespace segue::sim {

class DstReceive;

class DstHost {
public:
    struct Callbacks {
        std::function<void(std::string_view who, const std::string& what)> log;
        std::function<void(std::string)> violation;
        std::function<void(StepKind)> on_step;  ///< Asked to be written.
    };
    DstHost(World& world, const Plan& plan, Callbacks callbacks);
    ~DstHost();
    DstHost(const DstHost&) = delete;
    DstHost& operator=(const DstHost&) = delete;

    /// Starts `segue receive` at the far end of `link`.
    void connect(std::shared_ptr<ControlLink> link);
    /// For the world's hooks.
    void on_qemu(const GuestNotice& notice);
    [[nodiscard]] bool take_stream();

    // Faults. False: there was nothing to hurt.
    bool kill_receive();
    bool freeze_receive(bool frozen);
    bool kill_guardian();
    void lose_power();
    [[nodiscard]] HostDisk& disk() { return disk_; }

    [[nodiscard]] bool guardian_alive() const;
    [[nodiscard]] bool receive_alive() const;
    /// Its record of the move, if there is one.
    [[nodiscard]] std::optional<MoveRecord> record();

private:
    friend class DstReceive;
    [[nodiscard]] DstReceive* newest() const;

    World& world_;
    const Plan& plan_;
    Callbacks callbacks_;
    Rng rng_;
    HostClock clock_;
    HostDisk disk_;
    std::string boot_id_ = "boot-b-1";
    std::vector<std::shared_ptr<DstReceive>> all_;
    std::vector<std::shared_ptr<DstGuardian>> guardians_;
};

}  // namespace segue::sim

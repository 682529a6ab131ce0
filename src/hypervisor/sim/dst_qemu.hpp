#pragma once
/// \file  The destination QEMU: waits, takes the stream, loads, stands paused until it is continued,
///        exits when its stream ends early.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hypervisor/sim/context.hpp"
#include "hypervisor/sim/link.hpp"
#include "hypervisor/sim/memory.hpp"
#include "hypervisor/sim/monitor.hpp"

namespace segue::sim {

class DstQemu {
public:
    DstQemu(Context& context, Link& link, const Memory& memory, Rng rng);

    [[nodiscard]] Monitor& monitor() { return monitor_; }
    void submit(const DstCommand& command, Monitor::Reply on_answer);
    /// `segue receive` starts it: only where the plan says so, once.
    void start();
    [[nodiscard]] bool frozen() const { return frozen_; }
    [[nodiscard]] RunState run_state() const { return run_state_; }
    /// Reads what has arrived; true while it waits for more.
    bool tick();
    void die(const std::string& why);
    void freeze(bool frozen);
    void refuse_cont() { refuses_cont_ = true; }
    [[nodiscard]] bool listening() const { return listening_ && context_.truth.dst_alive; }

    /// Sends the end of the return path to the source.
    std::function<void()> on_loaded;

private:
    [[nodiscard]] Result<GuestAnswer> facts() const;
    void cont(const Monitor::Reply& reply);
    void load();
    void let_run();

    Context& context_;
    Link& link_;
    const Memory& memory_;
    Rng rng_;
    MainLoop loop_;
    Monitor monitor_;
    RunState run_state_ = RunState::inmigrate;
    bool autostart_ = true;
    bool listening_ = false;
    bool frozen_ = false;
    bool whole_ = false;   ///< Everything was read.
    bool loaded_ = false;
    bool refuses_cont_ = false;
    std::vector<std::uint32_t> generation_;
};

}  // namespace segue::sim

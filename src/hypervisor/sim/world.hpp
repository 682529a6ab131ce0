#pragma once
/// \file  One simulated world: a guest, two QEMUs, the stream between them and the guardian, in virtual
///        time, from a seed. It answers the same ports as the real parts, obeys the same rules, and has
///        faults that can be set off at any instant.
///
/// Thread: none. Cost: one tick a millisecond of virtual time while a migration is under way.

#include <functional>
#include <optional>

#include "channel/channel.hpp"
#include "hypervisor/sim/brake.hpp"
#include "hypervisor/sim/context.hpp"
#include "hypervisor/sim/dst_qemu.hpp"
#include "hypervisor/sim/guardian.hpp"
#include "hypervisor/sim/link.hpp"
#include "hypervisor/sim/memory.hpp"
#include "hypervisor/sim/src_qemu.hpp"

namespace segue::sim {

class World {
public:
    World(const Plan& plan, Hooks hooks);
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    [[nodiscard]] Agenda& agenda() { return context_.agenda; }
    [[nodiscard]] const Plan& plan() const { return context_.plan; }
    [[nodiscard]] const Truth& truth() const { return context_.truth; }
    [[nodiscard]] guard::Verdict verdict() const { return context_.verdict(); }
    [[nodiscard]] const Guardian& guardian() const { return guardian_; }
    [[nodiscard]] Rng rng(std::string_view label) const { return Rng(context_.plan.seed).stream(label); }
    [[nodiscard]] MigrationStatus src_status() const { return src_.status(); }
    [[nodiscard]] bool dst_listens() const { return dst_.listening(); }

    // The ports. Answers come later, each at most once; what is lost is never answered.
    using OnGuest = Monitor::Reply;
    void submit(const BrakeCommand& command, Brake::OnAnswer on_answer) { brake_.submit(command,
        std::move(on_answer)); }
    using OnStream = std::function<void(Result<StreamSample>)>;
    void submit(const SrcCommand& command, OnGuest on_answer);
    void submit(const DstCommand& command, OnGuest on_answer);
    void submit(const StreamCommand& command, OnStream on_answer);
    void submit(const GuardCommand& command, Guardian::OnAnswer on_answer) { guardian_.submit(command, on_answer); }

    /// The destination's journal has it on its disk.
    void note_accepted() { context_.truth.accepted = true; }
    void note_tombstone() { context_.truth.tombstone = true; }
    void note_fenced() { context_.truth.fenced = true; }

    // Faults.
    void link_factor(double factor);  ///< Of its rate; 0 is black.
    void lose_return_path() { return_path_lost_ = true; }
    void freeze_dst(bool frozen);
    void kill_dst() { dst_.die("killed by the fault"); }
    void kill_src() { src_.die(); }
    void lose_src_monitor();
    /// Another process connects, after the one before has ended.
    void reopen_src_monitor();
    [[nodiscard]] DstQemu& dst() { return dst_; }
    void slow_flush(Duration length) { src_.slow_flush(length); }
    void slow_images(Duration length) { context_.plan.qemu.image_flush = length; }
    [[nodiscard]] Duration image_flush() const { return context_.plan.qemu.image_flush; }
    void lift_brake(std::string_view who) { brake_.lift(who); }
    void starve_src_thread(bool starved) { src_.starve(starved); }
    void hurry_guest(double times) { memory_.hurry(times); }
    void freeze_src_loop(bool frozen) { src_.freeze_loop(frozen); }  ///< Its main loop; its threads go on.
    void kill_segue();
    void segue_exits() { guardian_.segue_died(); }
    /// The source's host: both QEMU and guardian are gone, and nobody hears of it. The wire is to be black.
    void lose_src_power();
    void kill_guardian() { guardian_.die(); }
    void refuse_dst_cont() { dst_.refuse_cont(); }

private:
    void tick();
    void wake();

    Context context_;
    Rng rng_;
    Link link_;
    Memory memory_;
    SrcQemu src_;
    DstQemu dst_;
    Guardian guardian_;
    Brake brake_;
    bool ticking_ = false;
    bool return_path_lost_ = false;
    Instant last_tick_;
};

}  // namespace segue::sim

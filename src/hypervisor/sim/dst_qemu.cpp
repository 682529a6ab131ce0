#include "hypervisor/sim/dst_qemu.hpp"

#include <algorithm>

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::uint16_t data_port = 4444;
Result<GuestAnswer> done() { return GuestAnswer{Done{}}; }

}  // namespace

DstQemu::DstQemu(Context& context, Link& link, const Memory& memory, Rng rng)
    : context_(context), link_(link), memory_(memory), rng_(rng.stream("dst")),
      monitor_(context.agenda, loop_, rng.stream("dst-monitor")) {
    // What was never received is a zero page, which is what a chunk never written is.
    generation_.assign(memory.chunks(), 0);
    if (context_.plan.remote.used && context_.plan.remote.by_command) context_.truth.dst_alive = false;
}

void DstQemu::start() {
    context_.truth.dst_alive = true;
    context_.log("dst", "QEMU started");
}

void DstQemu::submit(const DstCommand& command, Monitor::Reply on_answer) {
    if (std::holds_alternative<DstKill>(command)) {
        // A signal from the host that it runs on; answered when the process is seen dead.
        const auto kill = [this, on_answer = std::move(on_answer)] {
            context_.agenda.after(rng_.between(milliseconds{1}, milliseconds{5}), [this, on_answer] {
                die("killed");
                on_answer(done());
            });
        };
        if (monitor_.passable()) kill();
        return;
    }
    monitor_.send(
        [this, command](const Monitor::Reply& reply) {
            struct Visitor {
                DstQemu& q;
                const Monitor::Reply& reply;
                void operator()(const DstInspect&) { reply(q.facts()); }
                void operator()(const DstClearAutostart&) { q.autostart_ = false; reply(done()); }
                void operator()(const DstPrepare&) { reply(done()); }
                void operator()(const DstListen& c) {
                    if (q.listening_) {
                        reply(fail(ErrorKind::refused, "The incoming migration has already been started"));
                        return;
                    }
                    q.listening_ = true;
                    reply(GuestAnswer{DataAddress{c.address.host, data_port}});
                }
                void operator()(const DstAwaitStream&) { reply(done()); }
                void operator()(const DstRun&) { q.cont(reply); }
                void operator()(const DstReadRunState&) { reply(GuestAnswer{q.run_state_}); }
                void operator()(const DstKill&) {}
                void operator()(const DstPutBack&) { reply(done()); }
                void operator()(const DstReadTruth&) {
                    reply(GuestAnswer{DstTruth{.alive = true, .run_state = q.run_state_}});
                }
            };
            std::visit(Visitor{*this, reply}, command);
        },
        false, std::move(on_answer));
}

Result<GuestAnswer> DstQemu::facts() const {
    GuestFacts facts;
    facts.version = "10.0.13";
    facts.name = "sim";
    facts.uuid = "5e60e000-0000-4000-8000-000000000001";
    facts.run_state = run_state_;
    facts.run_state_word = run_state_ == RunState::inmigrate ? "inmigrate" : "other";
    facts.machine_type = "pc-i440fx-7.2";
    facts.cpu_type = "qemu64-x86_64-cpu";
    facts.vcpus = 2;
    facts.memory = context_.plan.guest.memory;
    facts.images = {{"disk0", "/images/sim.raw"}};
    facts.auto_converge = true;
    facts.out_of_band = true;
    facts.pid = 200;
    return GuestAnswer{facts};
}

void DstQemu::cont(const Monitor::Reply& reply) {
    if (context_.verdict() != guard::Verdict::word) {
        context_.violation("the destination was told to run while the verdict was not `word`");
    }
    if (!context_.truth.completed_at) {
        context_.violation("the destination was told to run before the source had said `completed`");
    }
    if (!loaded_) {
        autostart_ = true;
        reply(done());
        return;
    }
    if (refuses_cont_) {
        context_.log("dst", "cont refused");
        reply(fail(ErrorKind::refused, "Failed to get \"write\" lock", "Is another process using the image?"));
        return;
    }
    // Images are opened and vCPUs started under the lock: nothing else is served meanwhile.
    loop_.hold();
    context_.agenda.after(context_.plan.qemu.dst_cont, [this, reply] {
        let_run();
        reply(done());
        loop_.release();
    });
}

void DstQemu::let_run() {
    if (!context_.truth.dst_alive || run_state_ == RunState::running) return;
    run_state_ = RunState::running;
    std::size_t stale = 0;
    for (std::size_t i = 0; i < generation_.size(); ++i) stale += generation_[i] != memory_.generation(i) ? 1U : 0U;
    context_.truth.dst_ever_ran = true;
    context_.truth.dst_has_latest = stale == 0;
    if (stale != 0) context_.violation("the destination runs with " + std::to_string(stale) + " stale chunks");
    context_.log("dst", "RESUME");
    context_.dst_vcpus(true);
    monitor_.notify(DstResumed{});
}

void DstQemu::freeze(bool frozen) {
    frozen_ = frozen;
    loop_.freeze(frozen);
}

void DstQemu::load() {
    context_.agenda.after(context_.plan.qemu.load, [this] {
        if (!context_.truth.dst_alive) return;
        loop_.serve([this] {
            if (loaded_) return;
            loaded_ = true;
            run_state_ = RunState::paused;
            context_.log("dst", "loaded");
            if (on_loaded) on_loaded();
            if (autostart_) let_run();
        });
    });
}

bool DstQemu::tick() {
    if (!context_.truth.dst_alive || !listening_ || !link_.connected()) return false;
    if (frozen_) return !whole_;
    while (const auto parcel = link_.read(true)) {
        if (parcel->is_chunk) generation_[parcel->chunk] = parcel->generation;
        if (parcel->last) {
            whole_ = true;
            load();
        }
    }
    if (!whole_ && link_.end_of_file()) die("load of migration failed");
    return !whole_;
}

void DstQemu::die(const std::string& why) {
    if (!context_.truth.dst_alive) return;
    context_.truth.dst_alive = false;
    run_state_ = RunState::other;
    loop_.end();
    link_.dst_closed();
    context_.log("dst", "QEMU ended: " + why);
    context_.dst_vcpus(false);
    context_.agenda.after(rng_.between(microseconds{50}, microseconds{600}), [this] {
        if (monitor_.on_notice) {
            monitor_.on_notice(DstDied{});
            monitor_.on_notice(DstLost{Error{ErrorKind::unavailable, "connection closed", {}}});
        }
        monitor_.close();
    });
}

}  // namespace segue::sim

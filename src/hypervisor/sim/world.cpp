#include "hypervisor/sim/world.hpp"

#include <utility>

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration step_copying = milliseconds{2};
constexpr Duration step_blackout = microseconds{250};

}  // namespace

World::World(const Plan& plan, Hooks hooks)
    : context_{.plan = plan, .agenda = {}, .hooks = std::move(hooks), .truth = {}, .board = {}},
      rng_(Rng(plan.seed).stream("world")), link_(plan.link), memory_(plan.guest, rng_.stream("memory")),
      src_(context_, link_, memory_, rng_), dst_(context_, link_, memory_, rng_),
      guardian_(context_, link_, src_, dst_, rng_), brake_(context_, rng_) {
    context_.lift_brake = [this](std::string_view who) { brake_.lift(who); };
    const auto to_segue = [this](const GuestNotice& notice) {
        if (context_.hooks.guest) context_.hooks.guest(notice);
    };
    src_.segue_monitor().on_notice = to_segue;
    dst_.monitor().on_notice = to_segue;
    if (context_.plan.remote.used) {
        dst_.monitor().on_notice = [this](const GuestNotice& notice) {
            if (context_.hooks.dst_guest) context_.hooks.dst_guest(notice);
        };
    }
    dst_.monitor().passable = [this] { return !context_.plan.far || !link_.black(); };
    dst_.on_loaded = [this] {
        if (return_path_lost_) return;
        const auto arrive = [this](const auto& self) -> void {
            if (return_path_lost_) return;
            if (link_.black()) {  // TCP sends it again when the wire is back.
                context_.agenda.after(milliseconds{50}, [self] { self(self); });
                return;
            }
            src_.return_path_shut();
        };
        context_.agenda.after(link_.round_trip() / 2, [arrive] { arrive(arrive); });
    };
}

void World::submit(const SrcCommand& command, OnGuest on_answer) {
    src_.submit(src_.segue_monitor(), command, std::move(on_answer));
    if (std::holds_alternative<SrcStart>(command)) wake();
}

void World::submit(const DstCommand& command, OnGuest on_answer) { dst_.submit(command, std::move(on_answer)); }

void World::submit(const StreamCommand& command, OnStream on_answer) {
    struct Visitor {
        World& w;
        OnStream& on_answer;
        void operator()(const StreamConnect& c) const {
            const Duration delay = w.link_.round_trip() * 3 / 2;
            w.context_.agenda.after(delay, [w = &w, on_answer = on_answer, cap = c.cap] {
                if (w->link_.black()) return;
                const auto& hooks = w->context_.hooks;
                const bool taken = hooks.take_stream ? hooks.take_stream() : w->dst_.listening();
                if (!taken) {
                    on_answer(fail(ErrorKind::unavailable, "connection refused"));
                    return;
                }
                w->link_.connect();
                if (cap) w->link_.pace(pacing_for(*cap, {1448}));
                on_answer(w->link_.sample(w->context_.agenda.now()));
            });
        }
        void operator()(const StreamPace& c) const {
            w.link_.pace(c.cap ? std::optional(pacing_for(*c.cap, {1448})) : std::nullopt);
        }
        void operator()(const StreamLimitSilence& c) const { w.link_.limit_silence(c.silence); }
        void operator()(const StreamRead&) const {
            const auto sample = w.link_.sample(w.context_.agenda.now());
            w.context_.agenda.after(microseconds{5}, [on_answer = on_answer, sample] { on_answer(sample); });
        }
        void operator()(const StreamCut&) const {
            w.context_.log("stream", "cut");
            if (w.context_.plan.planted != Planted::cancel_instead_of_cut) w.link_.cut();
            if (w.link_.connected()) w.wake();
        }
    };
    std::visit(Visitor{*this, on_answer}, command);
}

void World::wake() {
    if (ticking_) return;
    ticking_ = true;
    last_tick_ = context_.agenda.now();
    context_.agenda.after(step_copying, [this] { tick(); });
}

void World::tick() {
    const Instant now = context_.agenda.now();
    const Duration step = now - last_tick_;
    last_tick_ = now;
    link_.advance(now, step);
    const bool src_busy = src_.tick();
    const bool dst_busy = dst_.tick();
    if (!src_busy && !dst_busy && link_.quiet()) {
        ticking_ = false;
        return;
    }
    // A stream that nobody reads or cuts any more is looked at rarely.
    const Duration rest = src_busy ? step_copying : milliseconds{5};
    context_.agenda.after(src_.in_blackout() ? step_blackout : rest, [this] { tick(); });
}

void World::link_factor(double factor) {
    link_.set_factor(factor);
    if (factor > 0) dst_.monitor().flush();
}

void World::freeze_dst(bool frozen) {
    context_.log("fault", frozen ? "the destination stands still" : "the destination goes on");
    dst_.freeze(frozen);
}

void World::lose_src_monitor() {
    context_.agenda.after(microseconds{50}, [this] {
        if (!src_.segue_monitor().open()) return;
        src_.segue_monitor().close();
        if (context_.hooks.guest) context_.hooks.guest(SrcLost{Error{ErrorKind::unavailable, "connection closed", {}}});
    });
}

void World::reopen_src_monitor() {
    if (context_.truth.src_alive) src_.segue_monitor().reopen();
}

void World::lose_src_power() {
    guardian_.die();
    src_.die();
}

void World::kill_segue() {
    context_.truth.segue_died_at = context_.agenda.now();
    guardian_.segue_died();
}

}  // namespace segue::sim

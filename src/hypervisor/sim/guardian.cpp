#include "hypervisor/sim/guardian.hpp"

#include <algorithm>

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration look_pause = milliseconds{2};
/// A queued connection was greeted this long after the holder died (measured).
constexpr Duration greeting = microseconds{300};

}  // namespace

Guardian::Guardian(Context& context, Link& link, SrcQemu& src, DstQemu& dst, Rng rng)
    : context_(context), link_(link), src_(src), dst_(dst), rng_(rng.stream("guardian")) {
    src_.guard_monitor().on_notice = [this](const GuestNotice& notice) {
        if (!monitor_ready() || !alive_) return;
        if (std::holds_alternative<SrcStopped>(notice)) stop_seen_ = context_.agenda.now();
        if (std::holds_alternative<SrcResumed>(notice)) {
            stop_seen_.reset();
            resume_seen_ = true;
        }
        look();
    };
}

bool Guardian::monitor_ready() const {
    return src_.guard_monitor().open() && (context_.plan.guard.own_monitor || !src_.segue_monitor().open());
}

void Guardian::tell_segue(const GuardNotice& notice) {
    context_.agenda.after(rng_.between(microseconds{20}, microseconds{200}), [this, notice] {
        if (context_.hooks.guard) context_.hooks.guard(notice);
    });
}

void Guardian::submit(const GuardCommand& command, OnAnswer on_answer) {
    struct Visitor {
        Guardian& g;
        OnAnswer& on_answer;
        void answer(Result<GuardAnswer> value, Duration delay) const {
            g.context_.agenda.after(delay, [on_answer = on_answer, value = std::move(value)] { on_answer(value); });
        }
        void operator()(const GuardStart&) const {
            if (!g.context_.plan.guard.starts) {
                return answer(fail(ErrorKind::unavailable, "segue-guard could not be started"), milliseconds{5});
            }
            g.started_ = true;
            const auto& plan = g.context_.plan.guard;
            const Duration trip = plan.own_monitor ? Duration{microseconds{600}} : Duration{0};
            answer(GuardAnswer{GuardReady{plan.own_monitor, plan.lateness_worst, trip}}, milliseconds{30});
        }
        void operator()(const GuardBrief&) const { g.script_ = true; }
        void operator()(const GuardTakeBrake&) const {}
        void operator()(const GuardTakeStream&) const { g.holds_stream_ = true; }
        void operator()(const GuardClaimWord&) const {
            if (g.context_.plan.planted == Planted::word_without_claim) {
                return answer(GuardAnswer{GuardClaim{.ours = true}}, microseconds{2});
            }
            if (g.context_.truth.word_at) g.context_.violation("the word was claimed twice");
            const bool ours = guard::claim_word(g.board());
            if (ours) g.context_.truth.word_at = g.context_.agenda.now();
            g.context_.log("board", ours ? "word" : "word refused: rollback");
            answer(GuardAnswer{GuardClaim{.ours = ours}}, microseconds{2});
        }
        void operator()(const GuardClaimRollback&) const {
            const auto claim = guard::try_rollback(g.board());
            const bool ours = claim != guard::RollbackClaim::too_late;
            g.context_.log("board", ours ? "rollback" : "rollback refused: word");
            answer(GuardAnswer{GuardClaim{ours, claim == guard::RollbackClaim::already}}, microseconds{2});
        }
        void operator()(const GuardNote& note) const { g.take(note); }
        void operator()(const GuardRelease&) const {
            g.board().stage.store(static_cast<std::uint32_t>(guard::Stage::over));
            g.released_ = true;
            g.look();
        }
    };
    std::visit(Visitor{*this, on_answer}, command);
}

void Guardian::take(const GuardNote& note) {
    auto& b = board();
    if (note.ran_at) {
        b.ran_at_ns.store(note.ran_at->since_boot.count());
        if (!context_.truth.src_runs && !context_.truth.standings.empty() &&
            *note.ran_at > context_.truth.standings.back().from) {
            context_.violation("Segue noted a proof that the guest ran from after it had stopped");
        }
    }
    if (note.budget) b.budget_ns.store(note.budget->count());
    if (note.pass) b.pass.store(*note.pass);
    if (note.source_runs) b.source_runs.store(1);
    if (note.undoing_at) b.undoing_at_ns.store(note.undoing_at->since_boot.count());
    if (note.stage) b.stage.store(static_cast<std::uint32_t>(*note.stage));
    look();
}

void Guardian::look_at(Instant when) {
    const auto number = ++timer_;
    context_.agenda.at(when, [this, number] {
        if (number == timer_) look();
    });
}

void Guardian::look() {
    if (!started_ || !alive_ || left_ || busy_) return;
    guard::View view;
    view.now = context_.agenda.now();
    view.verdict = context_.verdict();
    view.stage = stage();
    view.ran_at = {Duration{board().ran_at_ns.load()}};
    view.budget = Duration{board().budget_ns.load()};
    view.segue_alive = !segue_dead_;
    view.own_monitor = monitor_ready();
    view.source_runs = board().source_runs.load() != 0 || outcome_ == true;
    view.stood_before = false;
    view.stop_seen_at = stop_seen_;
    const auto advice = guard::advise(view);
    switch (advice.action) {
        case guard::Action::leave: return leave();
        case guard::Action::put_back: return put_back();
        case guard::Action::wait:
            if (advice.wake_at - view.now < std::chrono::hours{1}) look_at(advice.wake_at + late());
            return;
        case guard::Action::roll_back:
            if (context_.plan.planted == Planted::guardian_never_fires) return;
            if (!outcome_) return roll_back(advice.reason);
            if (segue_dead_) clean_up();
            return;
    }
}

void Guardian::segue_died() {
    segue_dead_ = true;
    src_.segue_monitor().close();
    // Killed by the guardian itself while it relies on it: its own loop goes on.
    context_.agenda.after(late() / 4 + greeting, [this] { look(); });
}

void Guardian::die() {
    alive_ = false;
    context_.log("guard", "died");
    tell_segue(GuardDied{});
}

void Guardian::leave() {
    left_ = true;
    context_.log("guard", "leaves");
}

void Guardian::kill_dst() {
    if (context_.plan.guard.dst_killable) dst_.die("killed by the guardian");
}

void Guardian::roll_back(guard::RollbackReason reason) {
    if (!guard::claim_rollback(board())) return;
    busy_ = true;
    board().rollback_reason.store(static_cast<std::uint32_t>(reason));
    context_.log("guard", "rolls back: " + std::string(guard::to_string(reason)));
    if (!monitor_ready() && !segue_dead_) {
        if (holds_stream_ && context_.plan.planted != Planted::cancel_instead_of_cut) link_.cut();
        tell_segue(GuardNeedsHelp{reason});
        return rely_on_segue(context_.agenda.now());
    }
    bring_back();
}

void Guardian::rely_on_segue(Instant began) {
    if (!alive_) return;
    if (board().source_runs.load() != 0) return brought_back();
    const Instant until = guard::leave_it_to_segue_until(began, stage(), {Duration{board().undoing_at_ns.load()}});
    if (!segue_dead_ && context_.agenda.now() < until) {
        context_.agenda.after(milliseconds{1}, [this, began] { rely_on_segue(began); });
        return;
    }
    if (!segue_dead_) {
        context_.log("guard", "kills Segue, which did not help");
        segue_dead_ = true;
        if (context_.hooks.segue_killed) context_.hooks.segue_killed();
        src_.segue_monitor().close();
    }
    context_.agenda.after(greeting, [this] { bring_back(); });
}

void Guardian::bring_back() {
    if (!alive_) return;
    resume_seen_ = false;
    if (context_.plan.planted == Planted::cancel_instead_of_cut) return attempt(0);
    if (holds_stream_) link_.cut();
    if (stage() >= guard::Stage::continued) {
        src_.submit(src_.guard_monitor(), SrcCommand{SrcYank{}}, [](const Result<GuestAnswer>&) {});
    }
    attempt(0);
}

void Guardian::attempt(int number) {
    if (!alive_) return;
    if (resume_seen_) return brought_back();
    if (!context_.truth.src_alive || number > 100000) return leave();
    src_.submit(src_.guard_monitor(), SrcCommand{SrcCancel{}}, [](const Result<GuestAnswer>&) {});
    src_.submit(src_.guard_monitor(), SrcCommand{SrcReadRunState{}}, [this, number](const Result<GuestAnswer>& answer) {
        if (!alive_ || outcome_) return;
        const auto* value = answer ? std::get_if<RunState>(&*answer) : nullptr;
        if (value != nullptr) return judge(*value, number);
        context_.agenda.after(look_pause, [this, number] { attempt(number + 1); });  // It may have died meanwhile.
    });
}

void Guardian::judge(RunState state, int number) {
    if (state == RunState::running || resume_seen_) return brought_back();
    if (state == RunState::postmigrate || state == RunState::paused) {
        if (state == RunState::postmigrate) kill_dst();
        src_.submit(src_.guard_monitor(), SrcCommand{SrcRun{}}, [](const Result<GuestAnswer>&) {});
    }
    context_.agenda.after(look_pause, [this, number] { attempt(number + 1); });
}

void Guardian::brought_back() {
    if (outcome_) return;
    outcome_ = true;
    busy_ = false;
    context_.log("guard", "rolled back: the guest runs on the source");
    tell_segue(GuardRolledBack{true, static_cast<guard::RollbackReason>(board().rollback_reason.load())});
    look();
}

/// Segue is dead and the guest runs: no destination, no migration left, settings as they were.
void Guardian::clean_up() {
    if (busy_) return;
    busy_ = true;
    kill_dst();
    src_.submit(src_.guard_monitor(), SrcCommand{SrcAwaitForgotten{}}, [this](const Result<GuestAnswer>&) {
        if (!alive_) return;
        if (context_.truth.src_alive && !context_.truth.src_runs) {
            // It had stopped by itself just before the cancel.
            outcome_.reset();
            return bring_back();
        }
        put_back();
    });
}

void Guardian::put_back() {
    busy_ = true;
    if (!script_) return leave();
    src_.submit(src_.guard_monitor(), SrcCommand{SrcPutBack{}}, [this](const Result<GuestAnswer>&) { leave(); });
}

}  // namespace segue::sim

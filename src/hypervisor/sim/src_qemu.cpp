#include "hypervisor/sim/src_qemu.hpp"

#include <algorithm>
#include <cmath>

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// One iteration of the migration thread ends after this at the latest (MAX_WAIT).
constexpr Duration iteration_max = milliseconds{50};

Result<GuestAnswer> done() { return GuestAnswer{Done{}}; }

}  // namespace

SrcQemu::SrcQemu(Context& context, Link& link, Memory& memory, Rng rng)
    : context_(context), link_(link), memory_(memory), rng_(rng.stream("src")),
      segue_(context.agenda, loop_, rng.stream("src-monitor-segue")),
      guard_(context.agenda, loop_, rng.stream("src-monitor-guard")) {
    pending_.assign(memory_.chunks(), 0);
}

void SrcQemu::notify(const GuestNotice& notice) {
    segue_.notify(notice);
    guard_.notify(notice);
}

void SrcQemu::set_status(MigrationStatus status) {
    status_ = status;
    static constexpr const char* words[] = {"none",      "setup",  "active",     "pre-switchover", "device",
                                            "completed", "failed", "cancelling", "cancelled",      "other"};
    context_.log("src", std::string("migration ") + words[static_cast<std::size_t>(status)]);
    if (status == MigrationStatus::pre_switchover) context_.truth.held_at = context_.agenda.now();
    if (status == MigrationStatus::completed) context_.truth.completed_at = context_.agenda.now();
    notify(SrcStatusChanged{status});
}

void SrcQemu::let_run() {
    if (!context_.truth.src_alive || run_state_ == RunState::running) return;
    work();
    const bool stale = context_.truth.dst_ever_ran && !context_.truth.fenced;
    if (stale) context_.violation("a stale copy of the guest was started on the source");
    run_state_ = RunState::running;
    context_.src_vcpus(true);
    context_.log("src", "RESUME");
    notify(SrcResumed{});
}

void SrcQemu::die() {
    if (!context_.truth.src_alive) return;
    context_.truth.src_alive = false;
    context_.truth.src_migration_open = false;
    ++attempt_;
    status_ = MigrationStatus::failed;
    loop_.end();
    context_.src_vcpus(false);
    context_.log("src", "QEMU died");
    link_.cut();
    context_.agenda.after(microseconds{300}, [this] {
        if (context_.hooks.guest) context_.hooks.guest(SrcDied{});
        if (segue_.on_notice) segue_.on_notice(SrcLost{Error{ErrorKind::unavailable, "connection closed", {}}});
        segue_.close();
        guard_.close();
    });
}

/// As `quit`: answered by its end.
void SrcQemu::quit(const Monitor::Reply& reply) {
    if (context_.truth.src_runs) context_.violation("the source was ended while its guest runs");
    if (!context_.truth.dst_runs && context_.truth.dst_alive) {
        context_.violation("the source was ended before the guest ran on the destination");
    }
    context_.truth.src_ended = true;
    context_.agenda.after(rng_.between(milliseconds{5}, milliseconds{60}), [this, reply] {
        reply(done());
        die();
    });
}

// ---- commands --------------------------------------------------------------------------------------

void SrcQemu::submit(Monitor& monitor, const SrcCommand& command, Monitor::Reply on_answer) {
    monitor.send(work_of(command), std::holds_alternative<SrcYank>(command), std::move(on_answer));
}

Monitor::Work SrcQemu::work_of(const SrcCommand& command) {
    return [this, command](const Monitor::Reply& reply) {
        struct Visitor {
            SrcQemu& q;
            const Monitor::Reply& reply;
            void operator()(const SrcInspect&) { reply(q.facts()); }
            void operator()(const SrcSampleDirtying& c) {
                if (q.context_.plan.qemu.first_sample_fails && !std::exchange(q.sampled_, true)) {
                    return reply(fail(ErrorKind::timed_out, "not in time: the end of a sample that is not ours"));
                }
                const double noise = 0.8 + 0.4 * q.rng_.unit();
                const double work_s = to_seconds(c.interval) * q.context_.plan.guest.busy;
                const Bytes distinct = q.memory_.distinct_in(from_seconds(work_s));
                const ByteRate rate = scale(distinct / c.interval, noise);
                q.context_.agenda.after(c.interval, [reply = reply, rate] { reply(GuestAnswer{rate}); });
            }
            void operator()(const SrcPrepare& c) { reply(q.prepare(c)); }
            void operator()(const SrcTakeStream&) { q.has_stream_ = true; reply(done()); }
            void operator()(const SrcStop&) { q.stop(reply); }
            void operator()(const SrcStart&) { reply(q.start()); }
            void operator()(const SrcReadProgress&) { reply(GuestAnswer{q.progress()}); }
            void operator()(const SrcAllowSwitchover& c) { reply(q.allow(c)); }
            void operator()(const SrcContinue&) { q.go_on(reply); }
            void operator()(const SrcCancel&) { reply(q.cancel()); }
            void operator()(const SrcYank&) { reply(q.yank()); }
            void operator()(const SrcRun&) { q.run(reply); }
            void operator()(const SrcReadRunState&) { reply(GuestAnswer{q.run_state_}); }
            void operator()(const SrcAwaitForgotten&) { q.await_forgotten(reply); }
            void operator()(const SrcPutBack&) { reply(q.put_back()); }
            void operator()(const SrcAnnounce&) { reply(done()); }
            void operator()(const SrcEnd&) { q.quit(reply); }
        };
        std::visit(Visitor{*this, reply}, command);
    };
}

Result<GuestAnswer> SrcQemu::facts() const {
    GuestFacts facts;
    facts.version = context_.plan.qemu.native_switchover_bandwidth ? "10.0.13" : "7.2.22";
    facts.name = "sim";
    facts.uuid = "5e60e000-0000-4000-8000-000000000001";
    facts.run_state = run_state_;
    facts.run_state_word = run_state_ == RunState::running ? "running" : "other";
    facts.migration = status_;
    facts.machine_type = "pc-i440fx-7.2";
    facts.cpu_type = "qemu64-x86_64-cpu";
    facts.vcpus = 2;
    facts.vcpu_threads = {101, 102};
    facts.memory = context_.plan.guest.memory;
    facts.images = {{"disk0", "/images/sim.raw"}};
    facts.native_switchover_bandwidth = context_.plan.qemu.native_switchover_bandwidth;
    facts.brief_samples = facts.native_switchover_bandwidth;
    facts.auto_converge = true;
    facts.out_of_band = true;
    facts.pid = 100;
    facts.put_back_script = "put back\n";
    return GuestAnswer{facts};
}

Result<GuestAnswer> SrcQemu::prepare(const SrcPrepare& command) {
    if (registered_) return fail(ErrorKind::refused, "there is a migration in progress");
    context_.truth.src_changed = true;
    downtime_limit_ms_ = 1;
    // As the driver does: with a switchover bandwidth of QEMU's own our socket alone paces.
    const bool native = context_.plan.qemu.native_switchover_bandwidth;
    max_bandwidth_ = command.cap && !native ? static_cast<double>(command.cap->per_second) : 0;
    switchover_bandwidth_ = 0;
    return done();
}

Result<GuestAnswer> SrcQemu::start() {
    if (registered_) return fail(ErrorKind::refused, "there is a migration in progress");
    if (!has_stream_ || link_.broken_at_src()) return fail(ErrorKind::refused, "no such descriptor");
    registered_ = true;
    context_.truth.src_migration_open = true;
    set_status(MigrationStatus::setup);
    worked_until_ = context_.agenda.now();
    const auto attempt = ++attempt_;
    context_.agenda.after(rng_.between(milliseconds{1}, milliseconds{4}), [this, attempt] {
        if (attempt != attempt_ || status_ != MigrationStatus::setup) return;
        std::fill(pending_.begin(), pending_.end(), std::uint8_t{1});
        pending_count_ = pending_.size();
        std::size_t ignored = 0;
        std::vector<std::uint8_t> scratch(pending_.size(), 1);
        memory_.sync_into(scratch, ignored);
        syncs_ = 1;
        notify(SrcPassBegan{1});
        set_status(MigrationStatus::active);
        threshold_ = 0;
        window_began_ = wrote_at_ = context_.agenda.now();
        window_written_ = 0;
        next_check_ = window_began_ + iteration_max;
    });
    return done();
}

Result<GuestAnswer> SrcQemu::allow(const SrcAllowSwitchover& command) {
    context_.truth.src_changed = true;
    const bool native = context_.plan.qemu.native_switchover_bandwidth;
    const double rate = static_cast<double>(native ? command.bandwidth.per_second : command.cap.per_second);
    if (rate <= 0) return fail(ErrorKind::invalid, "the switchover bandwidth must be above 0");
    if (native) switchover_bandwidth_ = rate;
    if (!native) max_bandwidth_ = rate;
    const double budget = static_cast<double>(command.budget.count);
    downtime_limit_ms_ = rate > 0 ? std::clamp(std::floor(budget / rate * 1e3), 1.0, 2e6) : 1;
    return done();
}

void SrcQemu::go_on(const Monitor::Reply& reply) {
    if (status_ != MigrationStatus::pre_switchover) {
        reply(fail(ErrorKind::refused, "migration is not in state pre-switchover"));
        return;
    }
    set_status(MigrationStatus::device);
    loop_.hold();
    all_written_ = false;
    if (context_.plan.planted != Planted::final_sync_left_out) memory_.sync_into(pending_, pending_count_);
    ++syncs_;
    device_left_ = context_.plan.qemu.device_state.count;
    if (context_.plan.qemu.continue_answered_late) {
        loop_.serve([reply] { reply(done()); });
    } else {
        reply(done());
    }
}

Result<GuestAnswer> SrcQemu::cancel() {
    const auto attempt = attempt_;
    switch (status_) {
        case MigrationStatus::setup:
        case MigrationStatus::active:
            set_status(MigrationStatus::cancelling);
            link_.cut();
            context_.agenda.after(rng_.between(milliseconds{1}, milliseconds{5}), [this, attempt] {
                if (attempt != attempt_) return;
                set_status(MigrationStatus::cancelled);
                ended();
            });
            break;
        case MigrationStatus::pre_switchover:
        case MigrationStatus::device:
            // In `device` this is reached only once everything was written: the destination may complete.
            set_status(MigrationStatus::cancelling);
            link_.cut();
            context_.agenda.after(rng_.between(microseconds{100}, microseconds{900}), [this, attempt] {
                if (attempt != attempt_) return;
                as_before();
                set_status(MigrationStatus::cancelled);
                ended();
            });
            break;
        case MigrationStatus::none:
        case MigrationStatus::completed:
        case MigrationStatus::failed:
        case MigrationStatus::cancelling:
        case MigrationStatus::cancelled:
        case MigrationStatus::other: break;
    }
    return done();
}

Result<GuestAnswer> SrcQemu::yank() {
    if (!registered_) return fail(ErrorKind::refused, "instance not found");
    if (context_.plan.planted == Planted::cancel_instead_of_cut) {
        loop_.serve([this] { static_cast<void>(cancel()); });
    } else {
        link_.cut();
    }
    return done();
}

/// Pause, drain and flush under the lock, then the answer.
void SrcQemu::stop(const Monitor::Reply& reply) {
    if (run_state_ != RunState::running) return reply(done());
    loop_.hold();
    work();
    run_state_ = RunState::paused;
    context_.src_vcpus(false);
    const auto& plan = context_.plan.qemu;
    context_.agenda.after(plan.pause, [this] {
        if (!context_.truth.src_alive) return;
        context_.log("src", "STOP");
        notify(SrcStopped{});
    });
    context_.agenda.after(plan.pause + plan.drain_and_flush, [this, reply] {
        context_.truth.flushed_at = context_.agenda.now();
        reply(done());
        loop_.release();
    });
}

/// What an ended migration makes of a guest that it had stopped: one that ran runs again; one that was paused is left
/// in the migration's own state by QEMU 7.2, and as it was by 8.2 and later.
void SrcQemu::as_before() {
    if (ran_before_) return let_run();
    run_state_ = context_.plan.qemu.native_switchover_bandwidth ? RunState::paused : RunState::postmigrate;
}

void SrcQemu::run(const Monitor::Reply& reply) {
    if (status_ == MigrationStatus::pre_switchover) {
        context_.violation("the source was continued at pre-switchover, with its migration still going");
    }
    if (context_.verdict() == guard::Verdict::word && context_.truth.dst_alive) {
        context_.violation("the source was continued although the word was said and the destination lives");
    }
    loop_.hold();
    context_.agenda.after(rng_.between(microseconds{200}, milliseconds{2}), [this, reply] {
        let_run();
        reply(done());
        loop_.release();
    });
}

Result<GuestAnswer> SrcQemu::put_back() {
    const bool over = status_ == MigrationStatus::none || status_ == MigrationStatus::completed ||
                      ended_without_move(status_);
    if (!over) return fail(ErrorKind::refused, "there is a migration in progress");
    if (registered_) context_.violation("capabilities were touched before QEMU had cleaned up its migration");
    if (context_.plan.planted != Planted::put_back_left_out) context_.truth.src_changed = false;
    return done();
}

void SrcQemu::await_forgotten(const Monitor::Reply& reply) {
    if (!registered_) {
        reply(done());
        return;
    }
    context_.agenda.after(milliseconds{10}, [this, reply] {
        loop_.serve([this, reply] { await_forgotten(reply); });
    });
}

SrcProgress SrcQemu::progress() const {
    SrcProgress out;
    out.status = status_;
    out.remaining = {pending_bytes()};
    out.sent = {link_.written()};
    out.total = context_.plan.guest.memory;
    out.dirty_syncs = syncs_;
    if (status_ == MigrationStatus::failed) out.error = "Unable to write to socket";
    return out;
}

}  // namespace segue::sim

// The migration thread of the source QEMU (qemu.md 1.1 to 1.5).
#include <algorithm>
#include <cmath>

#include "hypervisor/sim/src_qemu.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration window = milliseconds{100};
constexpr Duration iteration_max = milliseconds{50};

}  // namespace

/// The guest works up to now.
void SrcQemu::work() {
    const Instant now = context_.agenda.now();
    const double works = std::min(context_.plan.guest.busy, context_.truth.src_share);
    if (context_.truth.src_runs) memory_.run(from_seconds(to_seconds(now - worked_until_) * works));
    worked_until_ = now;
}

bool SrcQemu::tick() {
    if (!context_.truth.src_alive) return false;
    work();
    if (status_ == MigrationStatus::active && !stopping_ && !starved_) copy();
    if (status_ == MigrationStatus::device && !failing_) send_rest();
    return registered_ && status_ != MigrationStatus::completed;
}

bool SrcQemu::send_pending(std::int64_t& budget) {
    while (budget > 0) {
        if (chunk_left_ == 0) {
            if (pending_count_ == 0) return true;
            while (pending_[cursor_] == 0) cursor_ = (cursor_ + 1) % pending_.size();
            pending_[cursor_] = 0;
            --pending_count_;
            chunk_now_ = Parcel{0, false, cursor_, memory_.generation(cursor_), true};
            chunk_left_ = memory_.wire_bytes(cursor_);
        }
        const auto n = std::min({chunk_left_, budget, link_.room()});
        if (n <= 0) return false;
        link_.write(n);
        window_written_ += n;
        budget -= n;
        chunk_left_ -= n;
        if (chunk_left_ == 0) link_.mark(chunk_now_);
    }
    return pending_count_ == 0 && chunk_left_ == 0;
}

void SrcQemu::copy() {
    if (link_.broken_at_src()) return fail_migration();
    const Instant now = context_.agenda.now();
    if (now < silent_until_) return;
    const bool blocked = link_.room() == 0;
    std::int64_t budget = INT64_MAX;
    if (max_bandwidth_ >= 10) {
        budget = std::max<std::int64_t>(0, static_cast<std::int64_t>(max_bandwidth_ / 10) - window_written_);
    }
    const bool rate_spent = budget == 0;
    if (const ByteRate writes = context_.plan.qemu.writes; writes.per_second > 0) {
        budget = std::min(budget, (writes * (now - wrote_at_)).count);
        wrote_at_ = now;
    }
    // A thread that is blocked in write() closes no window and checks nothing.
    for (int rounds = 0; rounds < 3 && !rate_spent; ++rounds) {
        const bool emptied = send_pending(budget);
        if (!emptied && now < next_check_) break;
        if (check()) return;
        if (pending_count_ == 0) break;
    }
    // What a link that waits for QEMU is given goes out at once.
    if (context_.plan.qemu.writes.per_second > 0) link_.advance(now, Duration{0});
    if (!blocked || rate_spent) {
        if (now - window_began_ >= window) close_window();
    }
}

/// The test between two iterations; true when the guest is being stopped.
bool SrcQemu::check() {
    next_check_ = context_.agenda.now() + iteration_max;
    double pending = static_cast<double>(pending_bytes());
    if (pending < threshold_) {
        memory_.sync_into(pending_, pending_count_);
        pending = static_cast<double>(pending_bytes());
        ++syncs_;
        silent_until_ = context_.agenda.now() + context_.plan.qemu.sync_silence;
        notify(SrcPassBegan{syncs_});
    }
    // With a threshold of zero nothing is ever below it: no sync, and at zero pending the stop.
    if (pending > 0 && pending >= threshold_) return false;
    if (chunk_left_ > 0) return false;
    begin_stop();
    return true;
}

void SrcQemu::close_window() {
    const Instant now = context_.agenda.now();
    const double ms = to_seconds(now - window_began_) * 1e3;
    const double per_ms = static_cast<double>(window_written_) / ms;
    const double expected = switchover_bandwidth_ > 0 ? std::floor(switchover_bandwidth_ / 1000) : per_ms;
    threshold_ = expected * downtime_limit_ms_;
    window_began_ = now;
    window_written_ = 0;
}

void SrcQemu::begin_stop() {
    stopping_ = true;
    loop_.hold();
    const auto attempt = attempt_;
    const auto& plan = context_.plan.qemu;
    context_.agenda.after(rng_.between(microseconds{50}, milliseconds{1}), [this, attempt, &plan] {
        if (attempt != attempt_) return;
        work();
        ran_before_ = run_state_ == RunState::running;
        run_state_ = RunState::finish_migrate;
        if (ran_before_) context_.src_vcpus(false);
        context_.agenda.after(plan.pause, [this, attempt] {
            if (attempt != attempt_ || !ran_before_) return;
            context_.log("src", "STOP");
            notify(SrcStopped{});
        });
        context_.agenda.after(plan.pause + plan.drain_and_flush, [this, attempt] {
            if (attempt != attempt_) return;
            stopping_ = false;
            set_status(MigrationStatus::pre_switchover);
            loop_.release();
        });
    });
}

void SrcQemu::send_rest() {
    if (link_.broken_at_src()) return fail_migration();
    if (all_written_) return;
    std::int64_t budget = INT64_MAX;
    if (!send_pending(budget)) return;
    const auto n = std::min(device_left_, link_.room());
    link_.write(n);
    device_left_ -= n;
    if (device_left_ > 0) return;
    all_written_ = true;
    Parcel end;
    end.last = true;
    link_.mark(end);
    loop_.release();
}

void SrcQemu::fail_migration() {
    failing_ = true;
    const auto attempt = attempt_;
    // One that was paused before is none that the migration has stopped.
    const bool stood = run_state_ != RunState::running && run_state_ != RunState::paused;
    // RESUME came 1.1 to 15 ms after a yank (measured).
    const Duration delay = stood ? rng_.between(microseconds{900}, milliseconds{14}) : milliseconds{1};
    if (!stood) {
        set_status(MigrationStatus::failed);
        ended();
        return;
    }
    context_.agenda.after(delay, [this, attempt] {
        if (attempt != attempt_ || status_ != MigrationStatus::device) return;
        set_status(MigrationStatus::failed);
        as_before();
        ended();
        loop_.release();
    });
}

void SrcQemu::return_path_shut() {
    if (status_ != MigrationStatus::device || !all_written_ || link_.broken_at_src()) return;
    run_state_ = RunState::postmigrate;
    set_status(MigrationStatus::completed);
    ended();
}

/// The thread is gone; what it held is cleaned up a little later.
void SrcQemu::ended() {
    const auto attempt = ++attempt_;
    failing_ = false;
    stopping_ = false;
    has_stream_ = false;
    const Duration delay = status_ == MigrationStatus::completed ? milliseconds{2} : context_.plan.qemu.forget;
    context_.agenda.after(delay, [this, attempt] {
        if (attempt != attempt_) return;
        registered_ = false;
        context_.truth.src_migration_open = false;
    });
}

}  // namespace segue::sim

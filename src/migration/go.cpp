// When the guest may stop: the budget, what a blackout would cost now, and go.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "guard/board.hpp"
#include "migration/migration.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr Duration change_max = std::chrono::seconds{5};
constexpr Duration flush_max = std::chrono::seconds{60};
/// What may be pending while the bandwidth is not known (DESIGN.md section 4 point 5).
constexpr Bytes blind_budget = mebibytes(1);
constexpr ByteRate blind_rate = mebibytes_per_second(1);
constexpr Duration answers_remembered = std::chrono::seconds{1};
/// Pausing the vCPUs and being told of it.
constexpr Duration pause_margin = std::chrono::milliseconds{5};
/// The smallest budget told, as time at the cap.
constexpr Duration least_budget = std::chrono::milliseconds{2};
constexpr Duration flush_every = std::chrono::seconds{1};
/// The guest is held so long at most while its images are written back after go.
constexpr Duration flush_held_max = std::chrono::seconds{3};
/// Or all tries of as long as max downtime: a flush that takes longer would leave it no room.
constexpr Duration flush_waited_max = std::chrono::seconds{30};
/// A disk that cannot be flushed within the charge in so many tries will not be at the stop either.
constexpr int flushes_before_go_max = 5;

}  // namespace

/// The proof that the guest ran is as old as QEMU's last answer was slow (around a dirty sync it holds its lock
/// for tens of milliseconds): the stop is charged with the slowest answer of late.
void Migration::note_answer_time(Duration took) {
    answer_times_.push_back({now_, took});
    while (now_ - answer_times_.front().at > answers_remembered) answer_times_.pop_front();
}

Duration Migration::stop_charge() const {
    Duration slowest{0};
    for (const auto& answer : answer_times_) slowest = std::max(slowest, answer.took);
    return std::max(costs_.stop, slowest + progress_every_switching + pause_margin);
}

Bytes Migration::queue_lately() const {
    Bytes most{0};
    for (const auto& seen : queues_) most = std::max(most, seen.waiting);
    return most;
}

std::optional<ByteRate> Migration::blackout_bandwidth() const {
    const auto segment = stream_ ? stream_->segment : Bytes{0};
    // The user's word decides (seed 004); it counts frames, like every rate of ours.
    if (request_.bounds.switchover_bandwidth) return pacing_for(*request_.bounds.switchover_bandwidth, segment);
    // A path that stood still for a moment and flows again is not unknown.
    const Duration stop = std::max(stop_charge(), costs_.stop + stall_charge());
    const Duration for_bytes = request_.bounds.max_downtime - reserve_ - stop - costs_.load - costs_.handover;
    auto measured = bandwidth_.cautious_while_it_flows(for_bytes);
    if (!measured) measured = seen_.cautious_while_it_flows(for_bytes);
    if (measured && request_.bounds.max_bandwidth) {
        measured = std::min(*measured, pacing_for(*request_.bounds.max_bandwidth, segment));
    }
    return measured;
}

Migration::Budgets Migration::budgets_now() const {
    const auto bandwidth = blackout_bandwidth();
    if (!bandwidth || bandwidth->per_second <= 0) return {blind_budget, blind_budget, blind_budget};
    const Bytes tail = dirtied_at_stop(outlook());
    const auto with = [&](Duration stop, ByteRate rate) {
        const FixedCosts costs{stop, costs_.load, costs_.handover};
        // What already waits in the socket goes out first and is not QEMU's to count.
        return pending_budget(request_.bounds.max_downtime, reserve_, costs, rate, tail) - queue_lately();
    };
    const Duration by_qemu = stop_charge();
    // Until pre-switchover the limiter of a QEMU without a switchover bandwidth of its own holds it to the cap.
    ByteRate at_first = *bandwidth;
    if (request_.bounds.max_bandwidth && !src_->native_switchover_bandwidth) {
        const Bytes segment = stream_ ? stream_->segment : Bytes{0};
        at_first = std::min(at_first, pacing_for(*request_.bounds.max_bandwidth, segment));
    }
    // Stopped by us a braked guest is let go in time, and the proof that it ran is as young as the stop itself. Where
    // QEMU stops it, a vCPU that stands for its quota delays that, and QEMU's answers where it holds the lock: both end
    // when it runs again, so one stall is charged, not two.
    return {with(by_qemu, *bandwidth), with(braked_stop_charge(costs_, src_->memory), at_first),
            with(std::max(by_qemu, costs_.stop + stall_charge()), *bandwidth)};
}

void Migration::refresh_budget() {
    if (stop_sent_) return;
    const Budgets now = budgets_now();
    const auto moved_much = [](Bytes to, Bytes from) {
        return std::abs(to.count - from.count) * 20 > std::abs(from.count);
    };
    if (!moved_much(now.free, budgets_.free) && !moved_much(now.braked, budgets_.braked) &&
        !moved_much(now.delayed, budgets_.delayed)) {
        return;
    }
    budgets_ = now;
    if (stopping_allowed_ && !allow_in_flight_ && !stopped_by_us_) send_allowance();
}

Duration Migration::blackout_forecast(Bytes pending) const {
    const auto bandwidth = blackout_bandwidth();
    Bytes all = pending;
    if (stream_) all += stream_->unacked + stream_->not_sent;
    const Duration bytes = bandwidth && bandwidth->per_second > 0 ? all / *bandwidth : Duration{0};
    return bytes + costs_.load + costs_.handover;
}

void Migration::allow_switchover(const std::string& because) {
    if (stopping_allowed_ || go_wanted_) return;
    decided("go", because);
    go_wanted_ = true;
    go_wanted_at_ = now_;
    if (src_->images.empty()) return send_allowance();
    // A flush that is under way already began before go: on_flushed asks for one more.
    flushes_ = 0;
    if (!flush_in_flight_) flush_images();
}

// What the host still holds of the images is written back all along, so that the flush at the stop is short
// even when a quiet guest lets QEMU stop it before go.
void Migration::keep_images_flushed() {
    if (request_.non_live || src_->images.empty() || flush_in_flight_ || go_wanted_ || now_ < next_flush_) return;
    flush_images();
}

void Migration::flush_images() {
    flush_in_flight_ = true;
    submit(FlushImages{src_->images}, flush_max, &Migration::on_flushed);
}

/// Nobody decides meanwhile: a disk that takes its time must not keep the guest held, nor the move for ever.
void Migration::await_images() {
    const Duration waited = now_ - go_wanted_at_;
    if (waited >= std::max<Duration>(flush_waited_max, flushes_before_go_max * request_.bounds.max_downtime)) {
        return undo(Outcome::failed, fmt::format("writing back its disk images has not ended in {}", to_text(waited)));
    }
    if (waited < flush_held_max) return;
    share_before_silence_.reset();
    grant(all_of_it);
    pass_share_ = share_;  // This round has just begun.
}

void Migration::on_flushed(const Result<AnswerValue>& answer) {
    flush_in_flight_ = false;
    next_flush_ = now_ + flush_every;
    if (stage_ != MigrationStage::copying || !go_wanted_) return;
    const auto* flushed = answer_as<Flushed>(answer);
    const Duration took = flushed ? flushed->took : flush_max;
    // The first may have written back much, or begun before go; a later one shows what the stop would pay.
    if (flushes_++ == 0 || (took > costs_.stop && flushes_ < flushes_before_go_max)) return flush_images();
    const Duration needed = took + costs_.load + std::max(costs_.handover, reserve_);
    if (needed >= request_.bounds.max_downtime) {
        return undo(
            Outcome::downtime_exceeded,
            fmt::format("writing back its disk images takes {}, which --max-downtime {} does not leave room for",
                        to_text(took), to_text(request_.bounds.max_downtime)));
    }
    costs_.stop = std::max(costs_.stop, took);
    refresh_budget();
    send_allowance();
}

/// A budget of nothing (QEMU answers too late just now) means "not now", as before go; told as it is, an emulated
/// threshold that small would take the bandwidth down with it.
Bytes Migration::told_budget(ByteRate cap) const { return std::max(budgets_.delayed, cap * least_budget); }

void Migration::send_allowance() {
    const auto bandwidth = blackout_bandwidth();
    const auto highest = bandwidth_.at_quantile(1.0);
    // Where nothing gets through just now, or nothing was measured yet, so little that only the blind budget passes.
    const ByteRate now_at = std::max(bandwidth ? *bandwidth : highest.value_or(ByteRate{0}), blind_rate);
    // Where QEMU must guess, its guess is kept below what the stream can carry by its own limiter.
    // In a silence what the stream once was: a limiter that follows it down would keep it there.
    const ByteRate most = std::max(bandwidth ? highest.value_or(now_at) : fastest_, now_at);
    const ByteRate cap = request_.bounds.max_bandwidth.value_or(scale(most, 1.25));
    if (!stopping_allowed_) note({.stage = guard::Stage::switching});
    stopping_allowed_ = true;
    allow_in_flight_ = true;
    allowed_cap_ = cap;
    allowed_budget_ = told_budget(cap);
    submit(SrcCommand{SrcAllowSwitchover{allowed_budget_, now_at, cap}}, change_max, &Migration::on_allowed);
}

void Migration::on_allowed(const Result<AnswerValue>& answer) {
    allow_in_flight_ = false;
    if (stage_ != MigrationStage::copying) return;
    // The budget may have changed while the source took the one before.
    if (answer && told_budget(allowed_cap_) != allowed_budget_ && !stopped_by_us_) return send_allowance();
    if (answer) return;
    if (outcome_unknown(answer.error().kind)) return;  // It stops or it does not; both are watched for.
    undo(Outcome::failed, "the source did not take the switchover settings: " + to_string(answer.error()));
}

}  // namespace segue

// What an operator does when Segue is gone and the journal is not closed: `segue recover`, again if it must be.
#include <fmt/format.h>

#include <utility>

#include "app/sim/run.hpp"
#include "receive/limits.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// What is still on its way when Segue has ended gets this long to show.
constexpr Duration settle = seconds{4};
/// The guardian has had its time.
constexpr Duration guardian_max = seconds{20};
constexpr int recovers_max = 6;
/// A `segue receive` that hears nothing leaves after a minute.
constexpr Duration peer_silence_max = receive::peer_silence_max + settle;
/// A destination that does not answer is waited for for more than a minute.
constexpr Duration recover_max = seconds{300};

}  // namespace

std::optional<MoveRecord> Run::src_record() {
    const auto record = src_disk_.journal().load(job_);
    return record ? std::optional(*record) : std::nullopt;
}

bool Run::recover_needed() {
    const auto record = src_record();
    return record && !record->ended;
}

void Run::after_segue() {
    if (std::exchange(over_, true)) return;
    until_ = now() + seconds{20} + settle + peer_silence_max;
    agenda().after(settle, [this] {
        if (!scenario_.recover_early) heal();
        recover_when_quiet(now());
    });
}

void Run::recover_when_quiet(Instant since) {
    const auto& guardian = world_.guardian();
    const bool busy = guardian.started() && guardian.alive() && !guardian.left();
    if (busy && now() - since < guardian_max) {
        agenda().after(milliseconds{100}, [this, since] { recover_when_quiet(since); });
        return;
    }
    if (!finished_at_ && struck_with_.size() <= 1) {
        for (auto& what : check_without_segue(scenario_, world_, result_.struck)) violation(std::move(what));
    }
    if (recover_needed()) return recover();
    heal();
}

void Run::recover() {
    // An owner that lives is left alone.
    if (!recovers_.empty() && recovers_.back()->alive()) return;
    if (recovers_.size() >= recovers_max) {
        until_ = now() + settle;
        return;
    }
    const auto record = src_record();
    const MoveOwner self{static_cast<std::int64_t>(recovers_.size()) + 2, 2, boot_id_};
    const auto taken = src_disk_.journal().take_over(job_, record->move.owner, self);
    if (!taken && !healed_) return recover_again(seconds{3});
    if (!taken) violation("recover could not take the move over: " + to_string(taken.error()));
    until_ = now() + recover_max;
    who_ = "recover";
    log("segue", "begins");
    RecoveryCase what;
    what.record = *src_record();
    what.remote = scenario_.plan.remote.used;
    // Only when it was asked and did not answer.
    what.fenced = scenario_.lost_for_good && result_.struck && recovered_ && recovered_->outcome == Outcome::unknown;
    if (what.fenced) world_.note_fenced();
    what.source = world_.truth().src_alive ? RecoveryCase::Source::reachable : RecoveryCase::Source::gone;
    recoveries_.push_back(std::make_unique<Recovery>(std::move(what)));
    Recovery* recovery = recoveries_.back().get();
    Machine machine{[recovery](Instant at) { return recovery->start(at); },
                    [recovery](const Event& event, Instant at) { return recovery->step(event, at); },
                    [recovery] { return recovery->wake_at(); }, [recovery] { return recovery->finished(); }};
    world_.reopen_src_monitor();
    if (!dst_host_ && world_.truth().dst_alive) world_.dst().monitor().reopen();
    recovers_.push_back(std::make_unique<Process>(world_, src_disk_, std::move(machine), Process::Job{job_, self},
                                                  rng_.stream("recover"), callbacks(true)));
    if (recovers_.size() == 1 && scenario_.recover_killed) {
        agenda().after(*scenario_.recover_killed, [this] {
            if (!recovers_.front()->alive()) return;
            log("fault", "recover is killed");
            recovers_.front()->kill();
            recover_again(milliseconds{300});
        });
    }
    recovers_.back()->start(connect(true));
}

void Run::recover_again(Duration pause) {
    until_ = now() + pause + settle;
    agenda().after(pause, [this] {
        heal();
        if (recover_needed()) recover();
    });
}

void Run::recovered(const Summary& summary) {
    recovered_ = summary;
    until_ = now() + settle + peer_silence_max;
    log("segue", fmt::format("{}, guest on {}: {}", to_string(summary.outcome), to_string(summary.guest_on),
                             summary.error));
}

}  // namespace segue::sim

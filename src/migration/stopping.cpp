// Stopping a braked guest. QEMU looks only every 50 ms of sending whether little enough is left, and a vCPU that
// stands for its quota delays QEMU's own stop by as much as the brake stalls. So Segue stops such a guest itself as
// soon as what is left by its own count fits, and lets go while QEMU is at it. QEMU goes on sending, finds at its next
// look that it may switch over, and the last check follows at pre-switchover as ever (docs/adr/0010).
#include <fmt/format.h>

#include <algorithm>

#include "migration/migration.hpp"
#include "model/count.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

/// Its disks are drained and flushed, which nothing can interrupt.
constexpr Duration stop_answer_max = std::chrono::seconds{30};
constexpr Duration state_answer_max = std::chrono::milliseconds{500};
/// The brake's own reading of how long the vCPUs ran; what is older is not counted with.
constexpr Duration reading_age_max = std::chrono::milliseconds{100};
constexpr double most_bytes = 1e15;

}  // namespace

/// What the guest has dirtied since the last dirty sync, which QEMU's count does not hold; rather too much.
std::optional<Bytes> Migration::dirtied_since_sync() const {
    if (!worked_ || !worked_at_sync_ || now_ - worked_->at > reading_age_max) return std::nullopt;
    const Outlook known = outlook();
    const double since_reading_s = to_seconds(now_ - worked_->at) * std::min(share_.ratio, known.busy.ratio);
    const double work_s = to_seconds(worked_->worked - worked_at_sync_->worked) + since_reading_s;
    const double counted = counted_since_sync(known, work_s, to_seconds(now_ - worked_at_sync_->at));
    return Bytes{static_cast<std::int64_t>(std::min(counted, most_bytes))};
}

void Migration::stop_when_it_fits() {
    const bool held = share_ < all_of_it && grants_in_flight_ == 0;
    if (!held || !stopping_allowed_ || stop_sent_ || stopped_by_us_ || budgets_.braked.count <= 0) return;
    // Of pass 1 nobody knows yet what it leaves.
    if (passes_.size() < 2) return;
    const auto fresh = dirtied_since_sync();
    if (!fresh || *fresh > scale(budgets_.braked, counted_part_max)) return;
    if (progress_.remaining + *fresh > budgets_.braked) return;
    decided("stop", fmt::format("{} left and at most {} dirtied since the last dirty sync fit the {} that may be "
                                "pending", to_text(progress_.remaining), to_text(*fresh), to_text(budgets_.braked)));
    stop_sent_ = true;
    stop_sent_at_ = now_;
    syncs_at_stop_ = progress_.dirty_syncs;
    // The first answer tells that QEMU's main loop has come to what stands behind it.
    submit(SrcCommand{SrcReadRunState{}}, state_answer_max, &Migration::on_stop_reached);
    submit(SrcCommand{SrcStop{}}, stop_answer_max, &Migration::on_stopped_braked);
    // The blackout's bytes are on their way from here on.
    pace_for_blackout();
}

/// A vCPU that stands for its quota stops only when it runs again: from here to the stop it may.
void Migration::on_stop_reached(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::copying) return;
    const auto* state = answer_as<RunState>(answer);
    if (!state) return;  // STOP itself lets go as well.
    stop_reached_ = true;
    if (*state == RunState::running && !stopped_by_us_) {
        ran_at_ = stop_sent_at_;  // It ran when the question was asked.
        note({.ran_at = ran_at_});
    }
    let_go();
}

void Migration::on_stopped_braked(const Result<AnswerValue>& answer) {
    stop_answered_ = answer || !outcome_unknown(answer.error().kind);
    if (answer) {
        stood_at_ = now_;
        return;
    }
    if (stage_ != MigrationStage::copying || outcome_unknown(answer.error().kind)) return;  // The deadline is watched.
    undo(Outcome::failed, "the source did not stop the guest: " + to_string(answer.error()));
}

/// QEMU serves its monitors in turns: what the guardian asked after our `stop` may be answered before that is served,
/// and a guest that runs then is stopped all the same. What this monitor answers later stands behind it.
bool Migration::stop_may_come() const {
    return stopping_braked() && !stop_answered_ && !source_lost_ && !source_dead_;
}

/// The first dirty sync after the stop counts exactly: what does not fit then is not waited for.
void Migration::heed_what_is_left() {
    if (!stopped_by_us_ || progress_.dirty_syncs <= syncs_at_stop_) return;
    if (const auto why = stands_too_long(progress_.remaining)) undo(late(), *why);
}

}  // namespace segue

#include "api/job_state.hpp"

namespace segue::job {
namespace {

std::optional<MigrationStage> stage_of(std::string_view word) {
    for (int i = 0; i <= static_cast<int>(MigrationStage::finished); ++i) {
        const auto stage = static_cast<MigrationStage>(i);
        if (to_string(stage) == word) return stage;
    }
    return std::nullopt;
}

}  // namespace

State::State(Identity identity, Instant now) : began_(now) {
    latest_.job = identity.job;
    latest_.vm = std::move(identity.vm);
    latest_.src = std::move(identity.src);
    latest_.dst = std::move(identity.dst);
    latest_.max_downtime = identity.max_downtime;
    latest_.timeout = identity.timeout;
}

void State::note(const Report& report, Instant now) {
    if (const auto* stage = std::get_if<StageReport>(&report)) {
        stage_ = stage_of(stage->stage).value_or(stage_);
        word_ = word_ || stage_ == MigrationStage::handing_over;
        undone_ = undone_ || stage_ == MigrationStage::undoing;
        moved_ = moved_ || (stage_ == MigrationStage::closing && !undone_);
        began_ = now - stage->elapsed;
    } else if (const auto* progress = std::get_if<ProgressReport>(&report)) {
        began_ = now - progress->elapsed;
        latest_.pass = progress->pass;
        latest_.left = progress->left;
        latest_.sent = progress->sent;
        latest_.out = progress->out;
        latest_.dirtying = progress->dirtying;
        latest_.blackout_now = progress->blackout_now;
    }
}

bool State::switching() const {
    return stage_ == MigrationStage::held || stage_ == MigrationStage::continued || stage_ == MigrationStage::loaded ||
           stage_ == MigrationStage::handing_over;
}

Status State::status(Instant now) const {
    Status status = latest_;
    status.stage = to_string(stage_);
    status.guest_on = moved_ ? "destination" : word_ && !undone_ ? "unknown" : "source";
    status.elapsed = now - began_;
    return status;
}

Reply State::answer(const Request& request, Instant now) const {
    if (std::holds_alternative<StatusRequest>(request)) return status(now);
    return answer_cancel();
}

Reply State::answer_cancel() const {
    switch (stage_) {
        case MigrationStage::inspecting:
        case MigrationStage::sampling:
        case MigrationStage::guarding:
        case MigrationStage::preparing:
        case MigrationStage::copying:
        case MigrationStage::held:
        case MigrationStage::continued:
        case MigrationStage::loaded: return Cancelling{};
        case MigrationStage::handing_over: return Refused{"too late: the hand-over word may have been sent"};
        case MigrationStage::undoing: return Refused{"it is being undone already"};
        case MigrationStage::closing:
        case MigrationStage::finished: break;
    }
    if (moved_) return Refused{"too late: the guest runs on the destination"};
    return Refused{undone_ ? "it is undone already, and the guest runs on the source" : "it has ended already"};
}

}  // namespace segue::job

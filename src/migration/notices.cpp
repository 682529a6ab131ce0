// What both sides say unasked, stage by stage.
#include "migration/migration.hpp"

namespace segue {

void Migration::on_src_status(MigrationStatus status) {
    migration_ended_ = migration_ended_ || ended_without_move(status);
    if (stage_ < MigrationStage::copying || stage_ > MigrationStage::loaded) return;
    switch (status) {
        case MigrationStatus::pre_switchover:
            if (stage_ == MigrationStage::copying) on_held();
            break;
        case MigrationStatus::completed:
            if (stage_ != MigrationStage::loaded) on_completed();
            break;
        case MigrationStatus::failed:
        case MigrationStatus::cancelled:
            undo(Outcome::failed, progress_.error.empty()
                                      ? "the source's QEMU ended the migration"
                                      : "the source's QEMU ended the migration: " + progress_.error);
            break;
        case MigrationStatus::none:
        case MigrationStatus::setup:
        case MigrationStatus::active:
        case MigrationStatus::device:
        case MigrationStatus::cancelling:
        case MigrationStatus::other: break;
    }
}

void Migration::on_src_stopped() {
    if (!migrate_sent_) return;
    stopped_by_us_ = true;
    source_running_ = false;
    let_go();
}

void Migration::on_src_resumed() {
    source_running_ = true;
    if (!migrate_sent_) return;
    if (stage_ == MigrationStage::undoing) return source_runs();
    if (stage_ >= MigrationStage::copying && stage_ <= MigrationStage::loaded && stopped_by_us_) {
        // It runs again without our doing: QEMU failed the migration, or the guardian rolled back.
        undo(Outcome::failed, "the source resumed the guest by itself");
    }
}

void Migration::on_src_lost(const Error& error) {
    source_lost_ = true;
    if (stage_ == MigrationStage::guarding || stage_ == MigrationStage::preparing ||
        (stage_ >= MigrationStage::copying && stage_ <= MigrationStage::continued)) {
        undo(Outcome::failed, "the source's monitor was lost: " + to_string(error));
    }
}

void Migration::on_src_died() {
    source_lost_ = true;
    source_dead_ = true;
    if (stage_ == MigrationStage::closing && summary_.guest_on == GuestOn::source) {
        // Rolled back, and then gone while things were put back.
        summary_.outcome = Outcome::guest_crashed;
        summary_.guest_on = GuestOn::nowhere;
        undo_why_ += "; then the source's QEMU ended";
        crashed_ = true;
        return;
    }
    // From `loaded` on the destination holds a whole copy: it is run, not thrown away.
    if (stage_ >= MigrationStage::loaded && stage_ != MigrationStage::undoing) return;
    if (stage_ == MigrationStage::finished) return;
    undo_outcome_ = Outcome::guest_crashed;
    undo_why_ = "the source's QEMU ended while it owned the guest";
    summary_.outcome = Outcome::guest_crashed;
    summary_.guest_on = GuestOn::nowhere;
    if (stage_ < MigrationStage::guarding) {
        summary_.error = undo_why_ + "; the guest runs nowhere: start it again";
        return finish();
    }
    crashed_ = true;
    close();
}

void Migration::on_dst_resumed() {
    if (stage_ == MigrationStage::handing_over) on_moved();
}

void Migration::on_dst_lost(const Error& error) {
    if (stage_ == MigrationStage::handing_over) return word_lost("its monitor was lost: " + to_string(error));
    if (stage_ >= MigrationStage::guarding && stage_ < MigrationStage::handing_over) {
        undo(Outcome::failed, "the destination's monitor was lost: " + to_string(error));
    }
}

void Migration::on_dst_died() {
    dst_dead_ = true;
    if (stage_ == MigrationStage::closing && summary_.outcome == Outcome::moved) {
        summary_.outcome = Outcome::guest_crashed;
        summary_.guest_on = GuestOn::nowhere;
        undo_why_ = "the guest moved; then the destination's QEMU ended";
        crashed_ = true;
        return;
    }
    if (stage_ == MigrationStage::handing_over) return word_lost("its QEMU ended");
    if (stage_ >= MigrationStage::guarding && stage_ < MigrationStage::handing_over) {
        undo(Outcome::failed, "the destination's QEMU ended");
    }
}

}  // namespace segue

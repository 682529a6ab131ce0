// The table of what can strike when, with the reason for every cell that is left out.
#include <algorithm>

#include "app/sim/scenario.hpp"

namespace segue::sim {
namespace {

bool before_the_stop(Moment m) {
    return m <= Moment::copying || m == Moment::any_time || m == Moment::step_guarding || m == Moment::step_preparing ||
           m == Moment::step_migrate || m == Moment::step_dst_prepared || m == Moment::step_dst_listening;
}

bool before_the_word(Moment m) {
    return before_the_stop(m) || m == Moment::stopping || m == Moment::held || m == Moment::continued ||
           m == Moment::loaded || m == Moment::step_held || m == Moment::step_continued || m == Moment::step_word;
}

bool guardian_stands(Moment m) {
    // Not yet; it leaves when a word is claimed; and it is released.
    const bool not_yet = m == Moment::inspecting || m == Moment::sampling || m == Moment::step_dst_prepared;
    return !not_yet && m != Moment::step_answered_refused && m != Moment::step_closed;
}

bool dst_guardian_stands(Moment m) {
    // It comes after its record; and it leaves when its QEMU is dead, which is what a word is refused on.
    return m != Moment::step_dst_prepared && m != Moment::step_answered_refused && m != Moment::step_closed;
}

bool reachable(Fault fault, Moment m) {
    switch (fault) {
        case Fault::none:
        case Fault::timeout_short: return m == Moment::any_time;  // Not an event.
        case Fault::slow_flush: return before_the_stop(m);        // There is one flush, at the stop.
        case Fault::word_late: return before_the_word(m);
        case Fault::return_path_lost: return before_the_word(m) && m != Moment::loaded;  // It is used once.
        case Fault::cont_refused:
            return before_the_word(m) || m == Moment::handing_over || m == Moment::step_dst_accepted;
        case Fault::lost_answer:
        case Fault::late_answer: return m != Moment::step_closed;  // Nothing is asked any more.
        case Fault::user_cancel: return m != Moment::step_closed;  // It has said how it ended.
        case Fault::guardian_killed:
        case Fault::segue_and_guardian_killed: return guardian_stands(m);
        case Fault::dst_guardian_killed:
        case Fault::receive_and_guardian_killed: return dst_guardian_stands(m);
        case Fault::link_collapse:
        case Fault::black_hole:
        case Fault::dst_frozen:
        case Fault::dst_dies:
        case Fault::src_dies:
        case Fault::src_monitor_lost:
        case Fault::segue_killed:
        case Fault::segue_stalled:
        case Fault::src_host_lost:
        case Fault::src_fsync_slow:
        case Fault::src_journal_fails:
        case Fault::receive_killed:
        case Fault::receive_stalled:
        case Fault::both_segues_killed:
        case Fault::control_cut:
        case Fault::control_deaf_dst:
        case Fault::control_deaf_src:
        case Fault::control_black_hole:
        case Fault::dst_host_lost:
        case Fault::duplicate_answer:
        case Fault::dst_fsync_slow:
        case Fault::dst_journal_fails: return true;
    }
    return true;
}

std::vector<Cell> all_reachable() {
    std::vector<Cell> cells;
    for (std::size_t f = 0; f < fault_count; ++f) {
        for (std::size_t m = 0; m < moment_count; ++m) {
            const Cell cell{static_cast<Fault>(f), static_cast<Moment>(m)};
            if (reachable(cell.fault, cell.moment)) cells.push_back(cell);
        }
    }
    return cells;
}

}  // namespace

bool needs_remote(Fault fault) noexcept { return fault >= Fault::receive_killed; }
bool needs_remote(Moment moment) noexcept { return moment >= Moment::step_dst_prepared; }

const std::vector<Cell>& reachable_cells() {
    static const std::vector<Cell> cells = all_reachable();
    return cells;
}

std::string_view to_string(Fault fault) noexcept {
    switch (fault) {
        case Fault::none: return "none";
        case Fault::link_collapse: return "link-collapse";
        case Fault::black_hole: return "black-hole";
        case Fault::return_path_lost: return "return-path-lost";
        case Fault::dst_frozen: return "dst-frozen";
        case Fault::dst_dies: return "dst-dies";
        case Fault::src_dies: return "src-dies";
        case Fault::src_monitor_lost: return "src-monitor-lost";
        case Fault::slow_flush: return "slow-flush";
        case Fault::segue_killed: return "segue-killed";
        case Fault::segue_stalled: return "segue-stalled";
        case Fault::guardian_killed: return "guardian-killed";
        case Fault::user_cancel: return "user-cancel";
        case Fault::timeout_short: return "timeout-short";
        case Fault::lost_answer: return "lost-answer";
        case Fault::late_answer: return "late-answer";
        case Fault::cont_refused: return "cont-refused";
        case Fault::segue_and_guardian_killed: return "segue+guardian-killed";
        case Fault::src_host_lost: return "src-host-lost";
        case Fault::src_fsync_slow: return "src-fsync-1s";
        case Fault::src_journal_fails: return "src-journal-fails";
        case Fault::receive_killed: return "receive-killed";
        case Fault::receive_stalled: return "receive-stalled";
        case Fault::dst_guardian_killed: return "dst-guardian-killed";
        case Fault::receive_and_guardian_killed: return "receive+guardian-killed";
        case Fault::both_segues_killed: return "both-segues-killed";
        case Fault::control_cut: return "control-cut";
        case Fault::control_deaf_dst: return "control-deaf-dst";
        case Fault::control_deaf_src: return "control-deaf-src";
        case Fault::control_black_hole: return "control-black-hole";
        case Fault::dst_host_lost: return "dst-host-lost";
        case Fault::word_late: return "word-late";
        case Fault::duplicate_answer: return "duplicate-answer";
        case Fault::dst_fsync_slow: return "dst-fsync-1s";
        case Fault::dst_journal_fails: return "dst-journal-fails";
    }
    return "unknown";
}

std::string_view to_string(Moment moment) noexcept {
    switch (moment) {
        case Moment::inspecting: return "inspecting";
        case Moment::sampling: return "sampling";
        case Moment::guarding: return "guarding";
        case Moment::preparing: return "preparing";
        case Moment::copying: return "copying";
        case Moment::stopping: return "stopping";
        case Moment::held: return "held";
        case Moment::continued: return "continued";
        case Moment::loaded: return "loaded";
        case Moment::handing_over: return "handing-over";
        case Moment::undoing: return "undoing";
        case Moment::closing: return "closing";
        case Moment::any_time: return "any-time";
        case Moment::step_guarding: return "1:guarding";
        case Moment::step_preparing: return "1:preparing";
        case Moment::step_migrate: return "1:migrate-may-be-sent";
        case Moment::step_held: return "1:held";
        case Moment::step_continued: return "1:continued";
        case Moment::step_word: return "1:word-may-be-sent";
        case Moment::step_answered_running: return "1:word-answered-running";
        case Moment::step_answered_refused: return "1:word-answered-refused";
        case Moment::step_undoing: return "1:undoing";
        case Moment::step_rolled_back: return "1:rolled-back";
        case Moment::step_moved: return "1:moved";
        case Moment::step_closed: return "1:closed";
        case Moment::step_dst_prepared: return "2:prepared";
        case Moment::step_dst_listening: return "2:listening";
        case Moment::step_dst_accepted: return "2:accepted";
        case Moment::step_dst_running: return "2:running";
        case Moment::step_dst_refused: return "2:refused";
        case Moment::step_dst_tombstone: return "2:tombstone";
    }
    return "unknown";
}

Moment moment_of(MigrationStage stage) noexcept {
    switch (stage) {
        case MigrationStage::inspecting: return Moment::inspecting;
        case MigrationStage::sampling: return Moment::sampling;
        case MigrationStage::guarding: return Moment::guarding;
        case MigrationStage::preparing: return Moment::preparing;
        case MigrationStage::copying: return Moment::copying;
        case MigrationStage::held: return Moment::held;
        case MigrationStage::continued: return Moment::continued;
        case MigrationStage::loaded: return Moment::loaded;
        case MigrationStage::handing_over: return Moment::handing_over;
        case MigrationStage::undoing: return Moment::undoing;
        case MigrationStage::closing: return Moment::closing;
        case MigrationStage::finished: return Moment::any_time;
    }
    return Moment::any_time;
}

std::optional<Moment> moment_of(StepKind step) noexcept {
    switch (step) {
        case StepKind::begun: return std::nullopt;  // Before anything runs.
        case StepKind::guarding: return Moment::step_guarding;
        case StepKind::preparing: return Moment::step_preparing;
        case StepKind::migrate_may_be_sent: return Moment::step_migrate;
        case StepKind::held: return Moment::step_held;
        case StepKind::continued: return Moment::step_continued;
        case StepKind::word_may_be_sent: return Moment::step_word;
        case StepKind::word_answered_running: return Moment::step_answered_running;
        case StepKind::word_answered_refused: return Moment::step_answered_refused;
        case StepKind::undoing: return Moment::step_undoing;
        case StepKind::rolled_back: return Moment::step_rolled_back;
        case StepKind::moved: return Moment::step_moved;
        case StepKind::closed: return Moment::step_closed;
        case StepKind::destination_fenced: return std::nullopt;  // recover's alone.
        // As the next durable step; and after `moved` nothing is decided any more.
        case StepKind::stop_may_be_sent:
        case StepKind::on_success_ran: return std::nullopt;
        case StepKind::dst_prepared: return Moment::step_dst_prepared;
        case StepKind::dst_listening: return Moment::step_dst_listening;
        case StepKind::dst_accepted: return Moment::step_dst_accepted;
        case StepKind::dst_running: return Moment::step_dst_running;
        case StepKind::dst_refused: return Moment::step_dst_refused;
        case StepKind::dst_tombstone: return Moment::step_dst_tombstone;
    }
    return std::nullopt;
}

}  // namespace segue::sim

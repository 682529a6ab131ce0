// What one `segue receive` reads and writes in its host's journal: the rules of app/segue/receive_journal.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/sim/dst_receive.hpp"
#include "base/assert.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration older_session_stop = seconds{3};
constexpr Duration look_again = milliseconds{5};
constexpr int looks_max = 60;  ///< 300 ms for the guardian of a session that has died.

bool has(const MoveRecord& record, StepKind kind) {
    return std::ranges::any_of(record.steps, [kind](const MoveStep& step) { return step.kind == kind; });
}

}  // namespace

JournalStamp DstReceive::stamp() const { return {WallInstant{clock().since_boot}, self_.boot_id, clock()}; }

MoveStep DstReceive::step(StepKind kind) const {
    JournalDetail detail;
    if (!monitor_.empty()) detail["monitor"] = monitor_;
    if (qemu_known_) detail["qemu_pid"] = "200";
    return {kind, stamp(), encode_detail(std::move(detail))};
}

/// Attached and its pid not yet written down, it cannot be told from any other QEMU.
bool DstReceive::qemu_alive(const MoveRecord& record) const {
    const bool known = std::ranges::any_of(
        record.steps, [](const MoveStep& step) { return detail_text(step.detail, "qemu_pid").has_value(); });
    return host_.world_.truth().dst_alive && (known || host_.plan_.remote.by_command);
}

// ---- Recall ----------------------------------------------------------------------------------------

void DstReceive::perform(const receive::Recall& effect) {
    const auto id = parse_move_id(effect.move.hex);
    SEGUE_ASSERT(id.has_value());
    move_.id = *id;
    move_.role = MoveRole::destination;
    move_.src.host = "host1";
    move_.transport = "stdio";
    move_.owner = self_;
    end_older_session([self = shared_from_this()] {
        self->writer_.ask(JournalWriter::Cost::read, [self](Journal& journal) { self->recall(journal, 0); }, {});
    });
}

/// A session that is told to stop ends what it may end first.
void DstReceive::end_older_session(std::function<void()> then) {
    const auto is_other = [this](const auto& receive) { return receive.get() != this && receive->alive(); };
    const auto older = std::ranges::find_if(host_.all_, is_other);
    if (older == host_.all_.end()) return then();
    (*older)->feed(receive::StopRequested{});
    const Instant kill_at = host_.world_.agenda().now() + older_session_stop;
    const auto look = [self = shared_from_this(), old = *older, kill_at, then](const auto& again) -> void {
        if (!self->alive_) return;
        if (old->alive() && self->host_.world_.agenda().now() >= kill_at) old->die();
        if (!old->alive()) return then();
        self->host_.world_.agenda().after(look_again, [again] { again(again); });
    };
    look(look);
}

void DstReceive::recall(Journal& journal, int looks) {
    auto known = recalled(journal);
    if (!known) return refuse(known.error());
    if (known->qemu_alive && !known->accepted && looks < looks_max) {
        host_.world_.agenda().after(look_again, [self = shared_from_this(), looks] {
            if (self->alive_) self->recall(self->host_.disk_.journal(), looks + 1);
        });
        return;
    }
    monitor_ = known->monitor;
    accepted_before_ = known->accepted;
    feed(std::move(*known));
}

Result<receive::Recalled> DstReceive::recalled(Journal& journal) {
    SEGUE_TRY(found, journal.find(move_.id, MoveRole::destination));
    if (!found) return receive::Recalled{};
    const MoveRecord& record = *found;
    if (!record.ended && record.move.owner != self_) {
        if (auto taken = journal.take_over(record.job, record.move.owner, self_); !taken) {
            return std::unexpected(taken.error());
        }
    }
    job_ = record.job;
    receive::Recalled known;
    known.begun = true;
    known.accepted = has(record, StepKind::dst_accepted);
    known.ran = has(record, StepKind::dst_running);
    known.tombstone = has(record, StepKind::dst_tombstone) || has(record, StepKind::dst_refused) ||
                      (record.ended && !known.accepted);
    for (const auto& step : record.steps) {
        if (const auto monitor = detail_text(step.detail, "monitor")) known.monitor = *monitor;
    }
    known.qemu_alive = qemu_alive(record);
    return known;
}

/// Nothing is there yet, and nothing can be known: the peer is told, and that is all.
void DstReceive::refuse(const Error& error) {
    perform(receive::Send{receive::Failed{receive::RequestId{0}, error}});
    leave(2);
}

// ---- Records ---------------------------------------------------------------------------------------

Result<void> DstReceive::begin(Journal& journal, const MoveStep& first, const std::string& monitor) {
    if (!job_) {
        move_.dst.monitor = "qmp:" + monitor;
        SEGUE_TRY(job, journal.create(move_, first));
        job_ = job;
        return {};
    }
    if (monitor_ == monitor) return {};
    return fail(ErrorKind::conflict, "this move was prepared with another monitor: begin a new move");
}

Result<void> DstReceive::bury(Journal& journal, MoveStep step) {
    if (!job_) {
        if (auto begun = begin(journal, {StepKind::dst_prepared, step.at, "{}"}, {}); !begun) return begun;
    }
    auto written = journal.append(*job_, self_, step, Durability::durable);
    if (written || written.error().kind != ErrorKind::conflict) return written;
    SEGUE_TRY(record, journal.load(*job_));
    if (has(record, StepKind::dst_tombstone) || has(record, StepKind::dst_refused)) return {};
    if (!has(record, StepKind::dst_accepted)) return written;
    step.kind = StepKind::dst_refused;
    return journal.append(*job_, self_, step, Durability::durable);
}

void DstReceive::write(const receive::Write& effect) {
    using receive::Record;
    const Planted planted = host_.plan_.planted;
    const bool told_early = (planted == Planted::accepted_not_durable && effect.record == Record::accepted) ||
                            (planted == Planted::tombstone_not_durable && effect.record == Record::tombstone);
    const auto result = std::make_shared<Result<void>>();
    StepKind kind = StepKind::dst_tombstone;
    if (effect.record == Record::begun) {
        kind = StepKind::dst_prepared;
        monitor_ = asked_monitor_;
    } else if (effect.record == Record::ran) {
        kind = StepKind::dst_running;
    } else if (effect.record == Record::accepted) {
        kind = StepKind::dst_accepted;
        const auto lease = leases_.find(word_n_);
        const bool fresh = lease != leases_.end() && host_.world_.agenda().now() - lease->second < milliseconds{301};
        if (!fresh) host_.callbacks_.violation("a word on an old lease was accepted");
    }
    // A tombstone after `accepted` is `refused`: see bury.
    if (kind == StepKind::dst_tombstone && host_.world_.truth().accepted) kind = StepKind::dst_refused;
    host_.callbacks_.log("receive", fmt::format("writes {}", to_string(kind)));
    host_.callbacks_.on_step(kind);
    if (!alive_) return;
    const StepKind asked = kind == StepKind::dst_refused ? StepKind::dst_tombstone : kind;
    const auto work = [self = shared_from_this(), record = effect.record, step = step(asked),
                       result](Journal& journal) {
        if (record == Record::begun) *result = self->begin(journal, step, self->monitor_);
        else if (record == Record::tombstone) *result = self->bury(journal, step);
        else if (!self->job_) *result = fail(ErrorKind::conflict, "this move has no record here");
        else {
            const auto durability = record == Record::accepted ? Durability::durable : Durability::soon;
            *result = journal.append(*self->job_, self->self_, step, durability);
        }
        self->wrote(record, *result);
    };
    const auto answer = [self = shared_from_this(), record = effect.record, result, told_early] {
        if (!told_early) self->feed(receive::Written{record, *result});
    };
    const auto cost = effect.record == Record::ran ? JournalWriter::Cost::soon : JournalWriter::Cost::durable;
    writer_.ask(cost, work, answer);
    if (told_early) later(microseconds{10}, receive::Written{effect.record, {}});
}

/// As the disk has it: what the checks go by.
void DstReceive::wrote(receive::Record record, const Result<void>& done) {
    if (!done) {
        // The last net held, and nothing should have fallen into it.
        if (done.error().kind == ErrorKind::conflict && !host_.disk_.ever_failed() && alive_) {
            host_.callbacks_.violation("the destination's journal refused: " + to_string(done.error()));
        }
        return;
    }
    if (record == receive::Record::accepted) host_.world_.note_accepted();
    if (record == receive::Record::tombstone) host_.world_.note_tombstone();
}

void DstReceive::close_record(Journal& journal, int exit_status) {
    if (!job_) return;
    const auto record = journal.load(*job_);
    if (!record || record->ended) return;
    const bool ran = has(*record, StepKind::dst_running);
    const bool undone = has(*record, StepKind::dst_tombstone) || has(*record, StepKind::dst_refused);
    const bool untouched = !has(*record, StepKind::dst_listening) && !qemu_alive(*record);
    if (!ran && !undone && !untouched) return;
    MoveEnding ending;
    ending.outcome = ran ? "moved" : untouched && !undone ? "planned" : "failed";
    ending.exit_status = exit_status;
    ending.guest_on = ran ? "destination" : "source";
    static_cast<void>(journal.close(*job_, self_, ending, stamp()));
}

}  // namespace segue::sim

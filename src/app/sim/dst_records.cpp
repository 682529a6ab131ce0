// The journal of a simulated `segue receive`: receive::Records, with what its host must say.
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

}  // namespace

JournalStamp DstReceive::stamp() const { return {WallInstant{clock().since_boot}, self_.boot_id, clock()}; }

MoveStep DstReceive::step(StepKind kind) const {
    receive::LeftQemu qemu{monitor_, {}};
    if (qemu_known_) qemu.process = {200, 1, self_.boot_id};
    return receive::step_with(kind, stamp(), qemu);
}

/// Attached and its pid not yet written down, it cannot be told from any other QEMU.
bool DstReceive::qemu_alive(const MoveRecord& record) const {
    const bool known = receive::left_qemu(record).process.pid > 0;
    return host_.world_.truth().dst_alive && (known || host_.plan_.remote.by_command);
}

// ---- Recall ----------------------------------------------------------------------------------------

void DstReceive::perform(const receive::Recall& effect) {
    const auto id = parse_move_id(effect.move.hex);
    SEGUE_ASSERT(id.has_value());
    records_.session_of(*id, "host1");
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
    SEGUE_TRY(found, records_.find(journal));
    if (!found) return receive::Recalled{};
    SEGUE_TRY(record, records_.take(journal, found->job));
    receive::Recalled known = receive::recalled_from(record);
    known.qemu_alive = qemu_alive(record);
    return known;
}

/// Nothing is there yet, and nothing can be known: the peer is told, and that is all.
void DstReceive::refuse(const Error& error) {
    perform(receive::Send{receive::Failed{receive::RequestId{0}, error}});
    leave(2);
}

// ---- Records ---------------------------------------------------------------------------------------

void DstReceive::write(const receive::Write& effect) {
    using receive::Record;
    const Planted planted = host_.plan_.planted;
    const bool told_early = (planted == Planted::accepted_not_durable && effect.record == Record::accepted) ||
                            (planted == Planted::tombstone_not_durable && effect.record == Record::tombstone);
    const auto result = std::make_shared<Result<void>>();
    StepKind kind = step_of(effect.record);
    if (effect.record == Record::begun) monitor_ = asked_monitor_;
    if (effect.record == Record::accepted) {
        const auto lease = leases_.find(word_n_);
        const bool fresh = lease != leases_.end() && host_.world_.agenda().now() - lease->second < milliseconds{301};
        if (!fresh) host_.callbacks_.violation("a word on an old lease was accepted");
    }
    // A tombstone after `accepted` is `refused`.
    if (kind == StepKind::dst_tombstone && host_.world_.truth().accepted) kind = StepKind::dst_refused;
    host_.callbacks_.log("receive", fmt::format("writes {}", to_string(kind)));
    host_.callbacks_.on_step(kind);
    if (!alive_) return;
    const auto work = [self = shared_from_this(), record = effect.record, step = step(step_of(effect.record)),
                       result](Journal& journal) {
        *result = self->records_.write(journal, record, step);
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

void DstReceive::close_record(Journal& journal, int exit_status, const receive::HowEnded& how) {
    const auto alive = [this](const MoveRecord& record) { return qemu_alive(record); };
    static_cast<void>(records_.close(journal, alive, exit_status, how, stamp()));
}

}  // namespace segue::sim

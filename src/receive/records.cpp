#include "receive/records.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

namespace segue::receive {
namespace {

namespace json = boost::json;

bool has(const MoveRecord& record, StepKind kind) {
    return std::ranges::find(record.steps, kind, &MoveStep::kind) != record.steps.end();
}

bool undone(const MoveRecord& record) {
    return has(record, StepKind::dst_tombstone) || has(record, StepKind::dst_refused);
}

/// Of a guest that did not run here.
std::string guest_on_after(const std::string& outcome) {
    if (outcome == "guest-crashed") return "nowhere";
    return outcome == "unknown" ? "unknown" : "source";
}

/// What `step` says, over what was said before.
void read_step(const MoveStep& step, LeftQemu& into) {
    json::error_code error;
    const json::value detail = json::parse(step.detail, error);
    if (error || !detail.is_object()) return;
    const auto* monitor = detail.get_object().if_contains("monitor");
    if (monitor != nullptr && monitor->is_string()) into.monitor = std::string(monitor->get_string());
    const auto* pid = detail.get_object().if_contains("qemu_pid");
    const auto* ticks = detail.get_object().if_contains("qemu_start_ticks");
    if (pid == nullptr || ticks == nullptr) return;
    into.process = {pid->to_number<std::int64_t>(error), ticks->to_number<std::uint64_t>(error), step.at.boot_id};
}

}  // namespace

LeftQemu left_qemu(const MoveRecord& record) {
    LeftQemu found;
    for (const MoveStep& step : record.steps) read_step(step, found);
    return found;
}

MoveStep step_with(StepKind kind, JournalStamp at, const LeftQemu& qemu) {
    json::object detail;
    if (!qemu.monitor.empty()) detail["monitor"] = qemu.monitor;
    if (qemu.process.pid > 0) {
        detail["qemu_pid"] = qemu.process.pid;
        detail["qemu_start_ticks"] = qemu.process.start_ticks;
    }
    return {kind, std::move(at), json::serialize(detail)};
}

StepKind step_of(Record record) noexcept {
    switch (record) {
        case Record::begun: return StepKind::dst_prepared;
        case Record::accepted: return StepKind::dst_accepted;
        case Record::ran: return StepKind::dst_running;
        case Record::tombstone: return StepKind::dst_tombstone;
    }
    return StepKind::dst_tombstone;
}

Recalled recalled_from(const MoveRecord& record) {
    Recalled known;
    known.begun = true;
    known.accepted = has(record, StepKind::dst_accepted);
    known.ran = has(record, StepKind::dst_running);
    // A closed record takes no `accepted` any more either.
    known.tombstone = undone(record) || (record.ended && !known.accepted);
    known.monitor = left_qemu(record).monitor;
    return known;
}

void Records::session_of(segue::MoveId move, std::string src_host) {
    move_.id = move;
    move_.role = MoveRole::destination;
    move_.src.host = std::move(src_host);
    move_.transport = "stdio";
    move_.owner = self_;
}

Result<std::optional<MoveRecord>> Records::find(Journal& journal) const {
    return journal.find(move_.id, MoveRole::destination);
}

Result<MoveRecord> Records::take(Journal& journal, JobId job) {
    SEGUE_TRY(record, journal.load(job));
    if (!record.ended && record.move.owner != self_) {
        if (auto taken = journal.take_over(job, record.move.owner, self_); !taken) {
            return std::unexpected(taken.error());
        }
    }
    job_ = job;
    return record;
}

Result<void> Records::write(Journal& journal, Record record, const MoveStep& step) {
    if (record == Record::begun) return begin(journal, step);
    if (record == Record::tombstone) return bury(journal, step);
    if (!job_) return fail(ErrorKind::conflict, "this move has no record here");
    const auto durability = record == Record::accepted ? Durability::durable : Durability::soon;
    return journal.append(*job_, self_, step, durability);
}

Result<void> Records::begin(Journal& journal, const MoveStep& first) {
    LeftQemu wanted;
    read_step(first, wanted);
    if (!job_) {
        move_.dst.monitor = "qmp:" + wanted.monitor;
        SEGUE_TRY(job, journal.create(move_, first));
        job_ = job;
        return {};
    }
    // A second `prepare` of a move: its record is there. Another monitor would not be found again.
    SEGUE_TRY(record, journal.load(*job_));
    if (left_qemu(record).monitor == wanted.monitor) return {};
    return fail(ErrorKind::conflict, "this move was prepared with another monitor: begin a new move");
}

Result<void> Records::bury(Journal& journal, MoveStep step) {
    if (!job_) {
        if (auto begun = begin(journal, {StepKind::dst_prepared, step.at, "{}"}); !begun) return begun;
    }
    auto written = journal.append(*job_, self_, step, Durability::durable);
    if (written || written.error().kind != ErrorKind::conflict) return written;
    SEGUE_TRY(record, journal.load(*job_));
    if (undone(record)) return {};
    if (!has(record, StepKind::dst_accepted)) return written;
    step.kind = StepKind::dst_refused;
    return journal.append(*job_, self_, step, Durability::durable);
}

Result<void> Records::write_listening(Journal& journal, const MoveStep& step) {
    if (!job_) return {};
    return journal.append(*job_, self_, step, Durability::soon);
}

Result<void> Records::close(Journal& journal, const std::function<bool(const MoveRecord&)>& alive, int exit_status,
                            const HowEnded& how, const JournalStamp& at) {
    if (!job_) return {};
    SEGUE_TRY(record, journal.load(*job_));
    if (record.ended) return {};
    const bool ran = has(record, StepKind::dst_running);
    const bool untouched = !has(record, StepKind::dst_listening) && !alive(record);
    if (!ran && !undone(record) && !untouched) return {};
    MoveEnding ending;
    ending.outcome = ran ? "moved" : how.outcome.empty() ? "failed" : how.outcome;
    ending.exit_status = exit_status;
    ending.guest_on = ran ? "destination" : guest_on_after(ending.outcome);
    if (!ran) ending.error = how.why;
    ending.total = at.wall - record.started;
    return journal.close(*job_, self_, ending, at);
}

}  // namespace segue::receive

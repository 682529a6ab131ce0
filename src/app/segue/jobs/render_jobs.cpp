#include "app/segue/jobs/render_jobs.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "app/segue/output/render.hpp"
#include "app/segue/words/plain_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr std::size_t steps_shown = 8;

std::int64_t number_of(const MoveRecord& record) { return static_cast<std::int64_t>(record.job); }

/// A destination is not told how the operator named the guest.
std::string name_of(const NewMove& move) {
    const std::string& name = !move.vm.empty() ? move.vm : !move.guest.name.empty() ? move.guest.name : move.guest.uuid;
    return name.empty() ? "(guest not known yet)" : plain_text(name);
}

std::string last_step(const MoveRecord& record) {
    return std::string(record.steps.empty() ? "begun" : to_string(record.steps.back().kind));
}

std::string progress_text(const job::Status& status) {
    if (status.stage != "copying" || !status.pass) {
        return fmt::format("{}  after {}", render_stage(status.stage), to_text(status.elapsed));
    }
    ProgressReport report;
    report.elapsed = status.elapsed;
    report.pass = *status.pass;
    report.left = status.left.value_or(Bytes{0});
    report.sent = status.sent.value_or(Bytes{0});
    report.out = status.out;
    report.dirtying = status.dirtying;
    report.blackout_now = status.blackout_now;
    report.max_downtime = status.max_downtime;
    report.stage = "copying";
    return fmt::format("{}  {}", render_stage("copying"), render_progress(report));
}

std::string guest_text(std::string_view guest_on) {
    if (guest_on == "source") return "the guest runs on the source";
    if (guest_on == "destination") return "the guest runs on the destination";
    if (guest_on == "nowhere") return "the guest runs nowhere: its QEMU ended or lost it";
    return "where the guest runs is not known: ask both monitors before you start anything";
}

std::string state_text(const JobSeen& seen) {
    const MoveRecord& record = seen.record;
    if (record.ending) {
        const MoveEnding& ending = *record.ending;
        std::string text = fmt::format("ended: {} (exit status {}); {}", plain_text(ending.outcome),
                                       ending.exit_status, guest_text(ending.guest_on));
        if (ending.downtime) text += fmt::format("; it stood for {}", to_text(*ending.downtime));
        return text;
    }
    const bool source = record.move.role == MoveRole::source;
    if (seen.owner == Liveness::gone) {
        if (source) return fmt::format("unfinished: segue recover {}", number_of(record));
        return fmt::format("unfinished: segue recover on the source's host, {}", plain_text(record.move.src.host));
    }
    if (!source) {
        return fmt::format("{}  (this is the destination; ask segue status on {})", last_step(record),
                           plain_text(record.move.src.host));
    }
    if (seen.answer) return progress_text(*seen.answer);
    return fmt::format("{}  (process {} gives no figures: {})", last_step(record), record.move.owner.pid,
                       plain_text(seen.silence));
}

std::string place_text(const MovePlace& place) {
    const bool both = !place.host.empty() && !place.monitor.empty();
    const std::string text = plain_text(place.host + (both ? " " : "") + place.monitor);
    return text.empty() ? "not known yet" : text;
}

std::string limits_text(const MoveBounds& bounds) {
    std::string text = fmt::format("downtime at most {}", to_text(bounds.max_downtime));
    text += bounds.timeout ? fmt::format(", timeout {}", to_text(*bounds.timeout)) : ", no timeout";
    text += bounds.max_bandwidth ? fmt::format(", at most {}", to_text(*bounds.max_bandwidth)) : ", no bandwidth cap";
    return text;
}

std::string steps_text(const MoveRecord& record) {
    std::string text;
    const std::size_t first = record.steps.size() > steps_shown ? record.steps.size() - steps_shown : 0;
    for (std::size_t i = first; i < record.steps.size(); ++i) {
        const MoveStep& step = record.steps[i];
        const auto second = std::chrono::floor<std::chrono::seconds>(step.at.wall);
        const auto ms = std::chrono::floor<std::chrono::milliseconds>(step.at.wall - second).count();
        text += fmt::format("\n  {}  {:%Y-%m-%d %H:%M:%S}.{:03} UTC  {}", i == first ? "steps " : "      ",
                            std::chrono::sys_seconds(second), ms, to_string(step.kind));
    }
    return text;
}

}  // namespace

std::string render_job_line(const JobSeen& seen) {
    return fmt::format("job {}  {}  {}", number_of(seen.record), name_of(seen.record.move), state_text(seen));
}

std::string render_job(const JobSeen& seen) {
    const NewMove& move = seen.record.move;
    std::string text = fmt::format("job {}  {}\n  from    {}\n  to      {}\n  limits  {}\n  state   {}",
                                   number_of(seen.record), name_of(move), place_text(move.src),
                                   place_text(move.dst), limits_text(move.bounds), state_text(seen));
    if (seen.answer && !seen.record.ending) {
        text += fmt::format("\n  guest   {}", seen.answer->stage == "undoing" ? "is being made to run on the source"
                                                                            : guest_text(seen.answer->guest_on));
    }
    if (seen.record.ending && !seen.record.ending->error.empty()) {
        text += fmt::format("\n  error   {}", plain_text(seen.record.ending->error));
    }
    return text + steps_text(seen.record);
}

CancelEnd cancel_end(const MoveRecord& record, bool already) {
    const MoveEnding& ending = *record.ending;
    const std::string job = fmt::format("job {}", number_of(record));
    const std::string guest = guest_text(ending.guest_on);
    if (already) return {1, fmt::format("{} had ended before: {}; {}", job, plain_text(ending.outcome), guest)};
    if (ending.guest_on != "source") {
        return {1, fmt::format("too late: {} ended with \"{}\"; {}", job, plain_text(ending.outcome), guest)};
    }
    if (ending.outcome == "cancelled") return {0, fmt::format("{} is cancelled; {}", job, guest)};
    return {0, fmt::format("{} ended by itself in that moment: {}; {}", job, plain_text(ending.outcome), guest)};
}

}  // namespace segue

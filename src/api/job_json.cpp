#include "api/job_json.hpp"

#include "api/json_line.hpp"
#include "api/report_json.hpp"

namespace segue {
namespace {

using namespace json_line;

json::object begin(std::string_view type, JobId job) {
    return {{"type", type}, {"schema", json_schema_version}, {"job", static_cast<std::int64_t>(job)}};
}

std::string place(const MovePlace& where) {
    return where.host + (where.host.empty() || where.monitor.empty() ? "" : " ") + where.monitor;
}

json::value whole(const std::optional<std::int64_t>& number) {
    return number ? json::value(*number) : json::value(nullptr);
}

json::array steps_of(const MoveRecord& record) {
    json::array steps;
    for (const MoveStep& step : record.steps) steps.push_back(json::value(to_string(step.kind)));
    return steps;
}

json::value guest_on(const MoveRecord& record, const std::optional<job::Status>& answer) {
    if (record.ending) return text_value(record.ending->guest_on);
    return answer ? text_value(answer->guest_on) : json::value(nullptr);
}

}  // namespace

std::string_view job_state_word(const MoveRecord& record, Liveness owner) {
    if (record.ending) return "closed";
    switch (owner) {
        case Liveness::alive: return "under-way";
        case Liveness::gone: return "unfinished";
        case Liveness::unknown: break;
    }
    return "unknown";
}

std::string status_json(const MoveRecord& record, Liveness owner, const std::optional<job::Status>& answer) {
    const job::Status none;
    const job::Status& said = answer ? *answer : none;
    json::object line = begin("status", record.job);
    line["vm"] = text_or_null(record.move.vm);
    line["side"] = to_string(record.move.role);
    line["state"] = job_state_word(record, owner);
    line["steps"] = steps_of(record);
    line["src"] = text_or_null(place(record.move.src));
    line["dst"] = text_or_null(place(record.move.dst));
    line["answered"] = answer.has_value();
    line["stage"] = text_or_null(said.stage);
    line["guest_on"] = guest_on(record, answer);
    line["elapsed_seconds"] = answer ? seconds(said.elapsed) : json::value(nullptr);
    line["pass"] = whole(said.pass);
    line["left_bytes"] = amount(said.left);
    line["sent_bytes"] = amount(said.sent);
    line["out_bytes_per_second"] = rate(said.out);
    line["dirtying_bytes_per_second"] = rate(said.dirtying);
    line["blackout_now_seconds"] = seconds(said.blackout_now);
    line["max_downtime_seconds"] = seconds(record.move.bounds.max_downtime);
    line["timeout_seconds"] = seconds(record.move.bounds.timeout);
    line["outcome"] = record.ending ? text_value(record.ending->outcome) : json::value(nullptr);
    return line_of(line);
}

std::string cancel_json(JobId job, const std::optional<MoveRecord>& record, const CancelEnd& end) {
    const bool ended = record && record->ending;
    json::object line = begin("cancel", job);
    line["vm"] = text_or_null(record ? record->move.vm : "");
    line["cancelled"] = end.exit_status == 0;
    line["exit_status"] = end.exit_status;
    line["outcome"] = ended ? text_value(record->ending->outcome) : json::value(nullptr);
    line["guest_on"] = ended ? text_value(record->ending->guest_on) : json::value(nullptr);
    line["error"] = end.exit_status == 0 ? json::value(nullptr) : text_value(end.sentence);
    return line_of(line);
}

}  // namespace segue

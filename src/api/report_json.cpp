#include "api/report_json.hpp"

#include "api/json_line.hpp"

namespace segue {
namespace {

using namespace json_line;

json::object begin(std::string_view type, const JsonContext& context) {
    const json::value job = context.job ? json::value(*context.job) : json::value(nullptr);
    return {{"type", type}, {"schema", json_schema_version}, {"job", job}, {"vm", text_or_null(context.vm)}};
}

json::object bounds_object(const Bounds& bounds) {
    return {{"max_downtime_seconds", seconds(bounds.max_downtime)},
            {"timeout_seconds", seconds(bounds.timeout)},
            {"min_cpu_ratio", bounds.min_cpu.ratio},
            {"max_stall_seconds", seconds(bounds.longest_stall())},
            {"max_bandwidth_bytes_per_second", rate(bounds.max_bandwidth)},
            {"switchover_bandwidth_bytes_per_second", rate(bounds.switchover_bandwidth)}};
}

json::array findings_array(const std::vector<Finding>& findings) {
    json::array array;
    for (const Finding& finding : findings) {
        array.push_back(json::object{{"code", text_value(finding.code)},
                                     {"what", text_value(finding.what)},
                                     {"remedy", text_value(finding.remedy)}});
    }
    return array;
}

std::string render(const PreflightReport& report, const JsonContext& context) {
    json::object line = begin("preflight", context);
    json::array disks;
    for (const DiskVerdict& disk : report.disks) {
        disks.push_back(json::object{{"place", text_value(disk.src.place)},
                                     {"src_file", text_or_null(disk.src.file)},
                                     {"dst_file", text_or_null(disk.dst_file)},
                                     {"writable", disk.src.writable},
                                     {"shared", to_string(disk.shared)},
                                     {"because", text_value(disk.because)},
                                     {"cache", text_or_null(disk.cache)}});
    }
    line["disks"] = std::move(disks);
    line["notes"] = findings_array(report.notes);
    return line_of(line);
}

std::string render(const ForecastReport& report, const JsonContext& context) {
    json::object line = begin("forecast", context);
    line["underway"] = report.underway;
    line["calibrated"] = false;
    line["model"] = "rounds";
    json::array samples;
    for (const DirtySample& sample : report.samples) {
        samples.push_back(json::object{{"interval_seconds", seconds(sample.interval)},
                                       {"dirtied_bytes", sample.dirtied.count}});
    }
    line["samples"] = samples;
    line["curve"] = json::object{{"working_set_bytes", report.curve.working_set.count},
                                 {"initial_rate_bytes_per_second", report.curve.initial_rate.per_second}};
    const bool known = report.bandwidth_known;
    const bool converges = known && report.rounds.converges;
    const json::value none = nullptr;
    line["bandwidth_bytes_per_second"] = known ? json::value(report.bandwidth.per_second) : none;
    line["budget_bytes"] = known ? json::value(report.budget.count) : none;
    line["converges"] = known ? json::value(converges) : none;
    line["total_seconds"] = converges ? seconds(report.rounds.total) : none;
    line["downtime_seconds"] = converges ? seconds(report.rounds.downtime) : none;
    line["sent_bytes"] = converges ? json::value(report.rounds.sent.count) : none;
    line["passes"] = converges ? json::value(report.rounds.passes) : none;
    line["floor_bytes"] = known && !converges ? json::value(report.rounds.floor.count) : none;
    return line_of(line);
}

std::string render(const ProgressReport& report, const JsonContext& context) {
    json::object line = begin("progress", context);
    line["elapsed_seconds"] = seconds(report.elapsed);
    line["stage"] = text_value(report.stage);
    line["pass"] = report.pass;
    line["left_bytes"] = report.left.count;
    line["sent_bytes"] = report.sent.count;
    line["out_bytes_per_second"] = rate(report.out);
    line["dirtying_bytes_per_second"] = rate(report.dirtying);
    line["blackout_now_seconds"] = seconds(report.blackout_now);
    line["max_downtime_seconds"] = seconds(report.max_downtime);
    line["share_ratio"] = report.share.ratio;
    return line_of(line);
}

std::string render(const DecisionReport& report, const JsonContext& context) {
    json::object line = begin("decision", context);
    line["elapsed_seconds"] = seconds(report.elapsed);
    line["what"] = text_value(report.what);
    line["because"] = text_value(report.because);
    return line_of(line);
}

/// Goes into the record of the move, not to the operator.
std::string render(const PolicyReport&, const JsonContext&) { return "{}"; }

std::string render(const StageReport& report, const JsonContext& context) {
    json::object line = begin("stage", context);
    line["elapsed_seconds"] = seconds(report.elapsed);
    line["stage"] = text_value(report.stage);
    return line_of(line);
}

json::value error_value(const Summary& summary) {
    if (!summary.error.empty()) return text_value(summary.error);
    if (summary.outcome == Outcome::moved || summary.outcome == Outcome::planned) return nullptr;
    if (!summary.findings.empty()) return text_value(summary.findings[0].what);
    return json::value("no reason was recorded");
}

json::value parts_value(const Summary& summary, bool moved) {
    if (!moved) return nullptr;
    return json::object{{"stop", seconds(summary.parts.stop)},
                        {"transfer", seconds(summary.parts.transfer)},
                        {"load", seconds(summary.parts.load)},
                        {"handover", seconds(summary.parts.handover)}};
}

/// Whether the bound held, where that is known: a guest that may stand still has not kept it yet.
json::value kept_value(const Summary& summary, const Bounds& bounds) {
    if (!summary.guest_stopped) return nullptr;
    if (summary.downtime > bounds.max_downtime) return false;
    const bool over = summary.guest_on == GuestOn::source || summary.guest_on == GuestOn::destination;
    return over ? json::value(true) : json::value(nullptr);
}

}  // namespace

std::string report_json(const Report& report, const JsonContext& context) {
    return std::visit([&](const auto& one) { return render(one, context); }, report);
}

std::string result_json(const Summary& summary, const JsonContext& context) {
    const bool moved = summary.outcome == Outcome::moved;
    const json::value none = nullptr;
    json::object line = begin("result", context);
    line["outcome"] = to_string(summary.outcome);
    line["exit_status"] = exit_status(summary.outcome);
    line["dry_run"] = context.dry_run;
    line["guest_on"] = to_string(summary.guest_on);
    line["error"] = error_value(summary);
    line["findings"] = findings_array(summary.findings);
    line["downtime_seconds"] = summary.guest_stopped ? seconds(summary.downtime) : none;
    line["downtime_parts"] = parts_value(summary, moved && summary.guest_stopped);
    line["max_downtime_kept"] = kept_value(summary, context.bounds);
    line["total_seconds"] = seconds(summary.total);
    line["sent_bytes"] = summary.sent.count;
    line["bandwidth_bytes_per_second"] = rate(summary.bandwidth);
    line["passes"] = summary.passes;
    line["lowest_share_ratio"] = summary.lowest_share.ratio;
    line["bounds"] = bounds_object(context.bounds);
    line["budget_bytes"] = amount(summary.budget);
    line["pending_at_stop_bytes"] = amount(summary.pending_at_stop);
    line["reserve_seconds"] = summary.reserve > Duration{0} ? seconds(summary.reserve) : none;
    line["rollback_seconds"] = summary.rollback > Duration{0} ? seconds(summary.rollback) : none;
    return line_of(line);
}

std::string refusal_json(const Error& error, const JsonContext& context) {
    Summary summary;
    summary.outcome = Outcome::refused;
    summary.error = to_string(error);
    return result_json(summary, context);
}

}  // namespace segue

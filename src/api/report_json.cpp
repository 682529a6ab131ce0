#include "api/report_json.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

namespace segue {
namespace {

namespace json = boost::json;

/// How long the sequence of valid UTF-8 at `at` is; 0 where there is none (RFC 3629: no surrogates, nothing
/// overlong, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
        return byte(i) >= low && byte(i) <= high;
    };
    const unsigned first = byte(at);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return follows(at + 1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const bool second = follows(at + 1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
        return second && follows(at + 2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool second = follows(at + 1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
        return second && follows(at + 2) && follows(at + 3) ? 4 : 0;
    }
    return 0;
}

json::value text_value(std::string_view text) {
    std::string repaired;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = utf8_length(text, i);
        if (length == 0) {
            repaired += "\xef\xbf\xbd";
            ++i;
        } else {
            repaired += text.substr(i, length);
            i += length;
        }
    }
    return json::value(repaired);
}

json::value text_or_null(std::string_view text) { return text.empty() ? json::value(nullptr) : text_value(text); }

json::value seconds(Duration duration) { return to_seconds(duration); }

template <class T>
json::value seconds(const std::optional<T>& duration) {
    return duration ? seconds(*duration) : json::value(nullptr);
}

json::value amount(const std::optional<Bytes>& bytes) {
    return bytes ? json::value(bytes->count) : json::value(nullptr);
}

json::value rate(const std::optional<ByteRate>& value) {
    return value ? json::value(value->per_second) : json::value(nullptr);
}

/// As json::serialize, but with numbers as people write them: 0.212, not 2.12E-1.
void append(std::string& out, const json::value& value) {
    if (const auto* object = value.if_object()) {
        char before = '{';
        if (object->empty()) out += before;
        for (const auto& [key, member] : *object) {
            out += before;
            out += json::serialize(json::string(key));
            out += ':';
            append(out, member);
            before = ',';
        }
        out += '}';
    } else if (const auto* array = value.if_array()) {
        out += '[';
        for (std::size_t i = 0; i < array->size(); ++i) {
            if (i > 0) out += ',';
            append(out, (*array)[i]);
        }
        out += ']';
    } else if (const auto* number = value.if_double()) {
        // Times only, all made of whole nanoseconds: nine decimals hold them, and no more is known.
        std::string text = fmt::format("{:.9f}", *number);
        while (text.ends_with('0') && !text.ends_with(".0")) text.pop_back();
        out += text;
    } else {
        out += json::serialize(value);
    }
}

std::string line_of(const json::object& object) {
    std::string out;
    append(out, object);
    return out;
}

json::object begin(std::string_view type, const JsonContext& context) {
    const json::value job = context.job ? json::value(*context.job) : json::value(nullptr);
    return {{"type", type}, {"schema", json_schema_version}, {"job", job}, {"vm", text_or_null(context.vm)}};
}

json::object bounds_object(const Bounds& bounds) {
    return {{"max_downtime_seconds", seconds(bounds.max_downtime)},
            {"timeout_seconds", seconds(bounds.timeout)},
            {"max_bandwidth_bytes_per_second", rate(bounds.max_bandwidth)},
            {"switchover_bandwidth_bytes_per_second", rate(bounds.switchover_bandwidth)}};
}

std::string render(const ForecastReport& report, const JsonContext& context) {
    json::object line = begin("forecast", context);
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
    return line_of(line);
}

std::string render(const DecisionReport& report, const JsonContext& context) {
    json::object line = begin("decision", context);
    line["elapsed_seconds"] = seconds(report.elapsed);
    line["what"] = text_value(report.what);
    line["because"] = text_value(report.because);
    return line_of(line);
}

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

json::array findings_array(const std::vector<Finding>& findings) {
    json::array array;
    for (const Finding& finding : findings) {
        array.push_back(json::object{{"what", text_value(finding.what)}, {"remedy", text_value(finding.remedy)}});
    }
    return array;
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

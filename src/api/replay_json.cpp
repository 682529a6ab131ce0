#include "api/replay_json.hpp"

#include "api/json_line.hpp"
#include "api/report_json.hpp"

namespace segue {
namespace {

using namespace json_line;

json::value cost_value(const std::optional<MoveCost>& cost) {
    if (!cost) return nullptr;
    return json::object{{"outcome", text_value(cost->outcome)},
                        {"total_seconds", cost->total_s},
                        {"downtime_seconds", cost->downtime_s ? json::value(*cost->downtime_s) : json::value(nullptr)},
                        {"sent_bytes", static_cast<std::int64_t>(cost->sent_bytes)},
                        {"lost_work_seconds", cost->lost_work_s},
                        {"lowest_share_ratio", cost->lowest_share}};
}

json::value regret_value(const std::optional<Regret>& regret) {
    if (!regret) return nullptr;
    return json::object{{"lost_work_seconds", regret->lost_work_s}, {"total_seconds", regret->total_s}};
}

}  // namespace

std::optional<Regret> regret_of(const std::optional<MoveCost>& one, const std::optional<MoveCost>& best) {
    if (!one || !best || one->outcome != "moved" || best->outcome != "moved") return std::nullopt;
    return Regret{one->lost_work_s - best->lost_work_s, one->total_s - best->total_s};
}

std::string replay_json(const ReplayReport& report) {
    const json::value none = nullptr;
    return line_of({{"type", "replay"},
                    {"schema", json_schema_version},
                    {"job", report.job},
                    {"vm", text_value(report.vm)},
                    {"steered_by", text_value(report.steered_by)},
                    {"policy", text_value(report.policy)},
                    {"decisions", static_cast<std::int64_t>(report.decisions)},
                    {"same_decisions", report.same ? json::value(static_cast<std::int64_t>(*report.same)) : none},
                    {"assumptions", replay_assumptions},
                    {"recorded", cost_value(report.recorded)},
                    {"replayed", cost_value(report.replayed)},
                    {"optimum", cost_value(report.optimum)},
                    {"recorded_regret", regret_value(regret_of(report.recorded, report.optimum))},
                    {"replayed_regret", regret_value(regret_of(report.replayed, report.optimum))},
                    {"trouble", report.trouble.empty() ? none : json::value(text_value(report.trouble))}});
}

}  // namespace segue

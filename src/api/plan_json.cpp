#include "api/plan_json.hpp"

#include "api/json_line.hpp"

namespace segue {
namespace {

using namespace json_line;

json::value band_value(const Band& band, bool known) {
    if (!known) return nullptr;
    return json::object{{"p10", band.p10}, {"p50", band.p50}, {"p90", band.p90}};
}

json::object row_object(const PlanRow& row) {
    json::array binding;
    for (const std::string& bound : row.binding) binding.push_back(text_value(bound));
    // Bands are of the draws that end within the bounds: without any there is nothing to say.
    const bool known = row.finishes_ratio > 0;
    const json::value no_link = nullptr;
    return {{"aggression", row.aggression},
            {"link_bytes_per_second", row.link ? json::value(row.link->per_second) : no_link},
            {"feasible", row.feasible},
            {"finishes_ratio", row.finishes_ratio},
            {"total_seconds", band_value(row.total_s, known)},
            {"downtime_seconds", band_value(row.downtime_s, known)},
            {"lowest_share_ratio", band_value(row.lowest_share, known)},
            {"mean_share_ratio", band_value(row.mean_share, known)},
            {"stall_seconds", band_value(row.stall_s, known)},
            {"lost_work_seconds", band_value(row.lost_work_s, known)},
            {"sent_bytes", band_value(row.sent_bytes, known)},
            {"binding", binding}};
}

}  // namespace

std::string plan_json(const Plan& plan, const JsonContext& context) {
    json::array rows;
    for (const PlanRow& row : plan.rows) rows.push_back(row_object(row));
    json::array relaxations;
    for (const Relaxation& one : plan.relaxations) {
        relaxations.push_back(json::object{{"bound", text_value(one.bound)}, {"value", one.value}});
    }
    const json::value none = nullptr;
    return line_of({{"type", "plan"},
                    {"schema", json_schema_version},
                    {"job", nullptr},
                    {"vm", text_or_null(context.vm)},
                    {"feasible", plan.feasible},
                    {"binding", plan.feasible ? none : json::value(text_value(plan.binding))},
                    {"relaxations", relaxations},
                    {"rows", rows}});
}

}  // namespace segue

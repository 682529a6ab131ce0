#include <fmt/format.h>

#include <algorithm>

#include "api/json_line.hpp"
#include "app/segue/doctor/doctor.hpp"

namespace segue {
namespace {

namespace json = boost::json;

constexpr std::size_t check_width = 9;
constexpr std::size_t verdict_width = 7;

}  // namespace

std::string_view to_string(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::ok: return "ok";
        case Verdict::warning: return "warning";
        case Verdict::problem: return "problem";
    }
    return "";
}

std::string render_doctor(const Checkups& checkups) {
    std::string text;
    std::size_t problems = 0;
    std::size_t warnings = 0;
    for (const Checkup& each : checkups) {
        problems += each.verdict == Verdict::problem ? 1 : 0;
        warnings += each.verdict == Verdict::warning ? 1 : 0;
        text += fmt::format("{:<{}}  {:<{}}  {}\n", to_string(each.verdict), verdict_width, each.check, check_width,
                            each.what);
        if (!each.remedy.empty()) {
            text += fmt::format("{:{}}  {:{}}  -> {}\n", "", verdict_width, "", check_width, each.remedy);
        }
    }
    return text + fmt::format("{} findings: {} problems, {} warnings", checkups.size(), problems, warnings);
}

std::string doctor_json(const Checkups& checkups, std::string_view host, std::string_view other) {
    json::object object{{"type", "doctor"}, {"schema", 1}};
    object["host"] = json_line::text_value(host);
    object["other"] = json_line::text_or_null(other);
    const auto count = [&](Verdict verdict) { return std::ranges::count(checkups, verdict, &Checkup::verdict); };
    object["problems"] = count(Verdict::problem);
    object["warnings"] = count(Verdict::warning);
    json::array list;
    for (const Checkup& each : checkups) {
        json::object entry;
        entry["check"] = each.check;
        entry["verdict"] = to_string(each.verdict);
        entry["what"] = json_line::text_value(each.what);
        entry["remedy"] = json_line::text_or_null(each.remedy);
        list.emplace_back(std::move(entry));
    }
    object["findings"] = std::move(list);
    return json_line::line_of(object);
}

}  // namespace segue

#include <fmt/format.h>

#include <algorithm>

#include "api/json_line.hpp"
#include "app/segue/settings/config_commands.hpp"

namespace segue {
namespace {

namespace json = boost::json;

std::string shown_value(const settings::Outcome& outcome) {
    if (!outcome.value.empty()) return outcome.value;
    if (outcome.key == "timeout") return "none";
    if (outcome.key == "max_bandwidth") return "no cap";
    if (outcome.key == "switchover_bandwidth") return "as measured";
    return outcome.key == "data_address" ? "the host of --to" : "any free one";
}

/// The number of one value in the unit of its field's name; null for other kinds.
struct Numbers {
    json::value seconds, bytes_per_second, ratio;
};

Numbers numbers_of(const vm::Limits& limits, std::string_view key) {
    Numbers numbers;
    vm::for_each_limit([&](std::string_view name, auto member) {
        if (name != key || !(limits.*member)) return;
        using Member = decltype(member);
        if constexpr (std::is_same_v<Member, std::optional<Duration> vm::Limits::*>) {
            numbers.seconds = json_line::seconds(*(limits.*member));
        } else if constexpr (std::is_same_v<Member, std::optional<ByteRate> vm::Limits::*>) {
            numbers.bytes_per_second = (limits.*member)->per_second;
        } else if constexpr (std::is_same_v<Member, std::optional<Share> vm::Limits::*>) {
            numbers.ratio = (limits.*member)->ratio;
        } else if constexpr (std::is_same_v<Member, std::optional<double> vm::Limits::*>) {
            numbers.ratio = *(limits.*member);
        }
    });
    return numbers;
}

json::object object_of(const settings::Outcome& outcome, const vm::Limits& values) {
    Numbers numbers = numbers_of(values, outcome.key);
    json::object object;
    object["key"] = outcome.key;
    object["value"] = json_line::text_or_null(outcome.value);
    object["seconds"] = std::move(numbers.seconds);
    object["bytes_per_second"] = std::move(numbers.bytes_per_second);
    object["ratio"] = std::move(numbers.ratio);
    object["from"] = settings::to_string(outcome.origin.from);
    object["file"] = json_line::text_or_null(outcome.origin.file);
    object["line"] = outcome.origin.line > 0 ? json::value(outcome.origin.line) : json::value();
    object["preset"] = json_line::text_or_null(outcome.origin.preset);
    object["locked"] = !outcome.locked_by.empty();
    object["locked_by"] = json_line::text_or_null(outcome.locked_by);
    return object;
}

}  // namespace

std::string render_settings(const SettingsView& view) {
    std::size_t values = 5;
    std::size_t origins = 4;
    for (const settings::Outcome& outcome : view.limits.outcomes) {
        values = std::max(values, shown_value(outcome).size());
        origins = std::max(origins, text_of(outcome.origin).size());
    }
    std::string text = fmt::format("{:<20}  {:<{}}  {:<{}}  LOCKED BY", "KEY", "VALUE", values, "FROM", origins);
    for (const settings::Outcome& outcome : view.limits.outcomes) {
        text += fmt::format("\n{:<20}  {:<{}}  {:<{}}  {}", outcome.key, shown_value(outcome), values,
                            text_of(outcome.origin), origins, outcome.locked_by.empty() ? "-" : outcome.locked_by);
    }
    return text;
}

std::string settings_json(const SettingsView& view) {
    json::object object{{"type", "settings"}, {"schema", 1}};
    object["vm"] = json_line::text_value(view.vm);
    object["host"] = json_line::text_value(view.host);
    json::array list;
    for (const settings::Outcome& outcome : view.limits.outcomes) {
        list.emplace_back(object_of(outcome, view.limits.values));
    }
    object["settings"] = std::move(list);
    return json_line::line_of(object);
}

}  // namespace segue

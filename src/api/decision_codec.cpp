#include "api/decision_codec.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>

#include "api/json_line.hpp"

namespace segue::decision {
namespace {

namespace json = boost::json;

constexpr std::size_t depth_max = 8;
constexpr std::int64_t version = 5;

// Each type says its fields once, for writing and for reading.

template <class Io, class T>
    requires std::same_as<std::remove_const_t<T>, Band>
void fields(Io& io, T& band) {
    io("p10", band.p10);
    io("p50", band.p50);
    io("p90", band.p90);
}

template <class Io, class T>
    requires std::same_as<std::remove_const_t<T>, FixedCosts>
void fields(Io& io, T& costs) {
    io("stop_ns", costs.stop);
    io("load_ns", costs.load);
    io("handover_ns", costs.handover);
}

template <class Io, class T>
    requires std::same_as<std::remove_const_t<T>, Outlook>
void fields(Io& io, T& outlook) {
    io("curve_bytes", outlook.curve);
    io("level_sigma", outlook.level_sigma);
    io("curve_sigma", outlook.curve_sigma);
    io("round_sigma", outlook.round_sigma);
    io("round_phi", outlook.round_phi);
    io("busy_ratio", outlook.busy.ratio);
    io("busiest_part", outlook.busiest.part);
    io("busiest_ratio", outlook.busiest.busiest);
    io("unbraked_ratio", outlook.unbraked_ratio);
    io("bandwidth_bytes_per_second", outlook.bandwidth_bytes_per_second);
    io("bandwidth_known", outlook.bandwidth_known);
    io("memory_bytes", outlook.memory.count);
    io("first_pass_bytes", outlook.first_pass.count);
    io("first_pass_sigma", outlook.first_pass_sigma);
    io("first_pass_beside_ns", outlook.first_pass_beside);
    io("round_overhead_ns", outlook.round_overhead);
    io("costs", outlook.costs);
    io("vcpus", outlook.vcpus);
    io("passes_seen", outlook.passes_seen);
}

template <class Io, class T>
    requires std::same_as<std::remove_const_t<T>, Pass>
void fields(Io& io, T& pass) {
    io("number", pass.number);
    io("began_ns", pass.began);
    io("backlog_bytes", pass.backlog.count);
    io("worked_ns", pass.worked);
    io("share_ratio", pass.share.ratio);
}

template <class Io, class T>
    requires std::same_as<std::remove_const_t<T>, BrakeRange>
void fields(Io& io, T& range) {
    io("shares_ratio", range.shares);
    io("stall_seconds", range.stall_s);
    io("cut_by_stall", range.cut_by_stall);
    io("floor_ratio", range.floor);
    io("available", range.available);
}

template <class Io, class T>
    requires std::same_as<std::remove_const_t<T>, View>
void fields(Io& io, T& view) {
    io("elapsed_ns", view.elapsed);
    io("timeout_ns", view.timeout);
    io("passes", view.passes);
    io("memory_bytes", view.memory.count);
    io("bandwidth_bytes_per_second", view.bandwidth);
    io("budget_bytes", view.budget.count);
    io("braked_budget_bytes", view.braked_budget.count);
    io("allowed", view.allowed);
    io("max_downtime_ns", view.max_downtime);
    io("reserve_ns", view.reserve);
    io("switchover_bandwidth_bytes_per_second", view.switchover_bandwidth);
    io("aggression", view.aggression);
    io("brake", view.brake);
    io("share_ratio", view.share.ratio);
    io("outlook", view.outlook);
}

// ---- writing ---------------------------------------------------------------------------------------

struct Writer;
template <class T>
json::value written(const T& value);

json::value written(double value) {
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return json::string(text.data(), static_cast<std::size_t>(end - text.data()));
}
json::value written(std::int64_t value) { return value; }
json::value written(int value) { return value; }
json::value written(bool value) { return value; }
json::value written(Duration value) { return value.count(); }
json::value written(ByteRate value) { return value.per_second; }
json::value written(const Curve& curve) {
    json::array out;
    for (const double bytes : curve.table()) out.push_back(written(bytes));
    return out;
}
json::value written(const std::array<double, Curve::points>& values) {
    json::array out;
    for (const double value : values) out.push_back(written(value));
    return out;
}
template <class T>
json::value written(const std::optional<T>& value) {
    return value ? written(*value) : json::value(nullptr);
}
template <class T>
json::value written(const std::vector<T>& values) {
    json::array out;
    for (const auto& value : values) out.push_back(written(value));
    return out;
}

struct Writer {
    json::object& object;
    template <class T>
    void operator()(const char* name, const T& value) {
        object[name] = written(value);
    }
};

template <class T>
json::value written(const T& value) {
    json::object object;
    Writer writer{object};
    fields(writer, value);
    return object;
}

template <class T>
std::string line(std::string_view type, const T& value) {
    json::object object{{"type", type}, {"version", version}};
    Writer writer{object};
    fields(writer, value);
    return json_line::line_of(object);
}

// ---- reading ---------------------------------------------------------------------------------------

template <class T>
bool read(const json::value& from, T& value);

bool read(const json::value& from, double& value) {
    const auto* text = from.if_string();
    if (text == nullptr) return false;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    return error == std::errc{} && end == text->data() + text->size() && !std::isnan(value);
}
bool read(const json::value& from, std::int64_t& value) {
    if (!from.is_int64()) return false;
    value = from.get_int64();
    return true;
}
bool read(const json::value& from, int& value) {
    if (!from.is_int64() || !std::in_range<int>(from.get_int64())) return false;
    value = static_cast<int>(from.get_int64());
    return true;
}
bool read(const json::value& from, bool& value) {
    if (!from.is_bool()) return false;
    value = from.get_bool();
    return true;
}
bool read(const json::value& from, Duration& value) {
    std::int64_t count = 0;
    if (!read(from, count)) return false;
    value = Duration{count};
    return true;
}
bool read(const json::value& from, ByteRate& value) { return read(from, value.per_second); }
/// A curve never falls.
bool read(const json::value& from, Curve& curve) {
    const auto* list = from.if_array();
    if (list == nullptr || list->size() != Curve::points) return false;
    std::array<double, Curve::points> table{};
    double before = 0;
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (!read((*list)[i], table[i]) || !std::isfinite(table[i]) || table[i] < before) return false;
        before = table[i];
    }
    curve = Curve::recorded(table);
    return true;
}
bool read(const json::value& from, std::array<double, Curve::points>& values) {
    const auto* list = from.if_array();
    if (list == nullptr || list->size() != values.size()) return false;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!read((*list)[i], values[i])) return false;
    }
    return true;
}
template <class T>
bool read(const json::value& from, std::optional<T>& value) {
    value.reset();
    return from.is_null() || read(from, value.emplace());
}
template <class T>
bool read(const json::value& from, std::vector<T>& values) {
    const auto* list = from.if_array();
    if (list == nullptr || list->size() > list_max) return false;
    values.clear();
    for (const auto& one : *list) {
        if (!read(one, values.emplace_back())) return false;
    }
    return true;
}

struct Reader {
    const json::object& object;
    std::string bad{};  ///< The first field that is not as it must be.
    template <class T>
    void operator()(const char* name, T& value) {
        const auto* found = object.if_contains(name);
        if (bad.empty() && (found == nullptr || !read(*found, value))) bad = name;
    }
};

template <class T>
bool read(const json::value& from, T& value) {
    const auto* object = from.if_object();
    if (object == nullptr) return false;
    Reader reader{*object};
    fields(reader, value);
    return reader.bad.empty();
}

/// Empty where it is none.
std::string_view word(const json::value& value) {
    const auto* text = value.if_string();
    return text == nullptr ? std::string_view{} : std::string_view(text->data(), text->size());
}

Result<json::object> object_in(std::string_view text, std::string_view type) {
    if (text.size() > line_bytes_max) return fail(ErrorKind::corrupt, "the line is too long");
    json::parse_options options;
    options.max_depth = depth_max;
    json::error_code error;
    json::value value = json::parse({text.data(), text.size()}, error, {}, options);
    if (error || !value.is_object()) return fail(ErrorKind::corrupt, "the line is no JSON object");
    auto& object = value.as_object();
    const auto* said = object.if_contains("type");
    const auto* number = object.if_contains("version");
    if (said == nullptr || word(*said) != type) return fail(ErrorKind::corrupt, "the line is no " + std::string(type));
    if (number == nullptr || !number->is_int64() || number->get_int64() != version) {
        return fail(ErrorKind::unsupported, "the line is of another version");
    }
    return std::move(object);
}

template <class T>
Result<T> parse(std::string_view text, std::string_view type) {
    SEGUE_TRY(object, object_in(text, type));
    T value;
    Reader reader{object};
    fields(reader, value);
    if (!reader.bad.empty()) return fail(ErrorKind::corrupt, "field " + reader.bad + " is missing or no such value");
    return value;
}

constexpr std::array<std::string_view, 3> actions = {"carry-on", "allow-switchover", "give-up"};

}  // namespace

std::string encode(const View& view) { return line("view", view); }
std::string encode(const Outlook& outlook) { return line("outlook", outlook); }

std::string encode(const Decision& decision) {
    json::object object{{"type", "decision"}, {"version", version}};
    object["action"] = actions[decision.action.index()];
    if (const auto* end = std::get_if<GiveUp>(&decision.action)) object["bound"] = json_line::text_value(end->bound);
    object["because"] = json_line::text_value(decision.because);
    object["share_ratio"] = decision.share ? written(decision.share->ratio) : json::value(nullptr);
    object["total_seconds"] = written(decision.total_s);
    object["downtime_seconds"] = written(decision.downtime_s);
    return json_line::line_of(object);
}

Result<Outlook> parse_outlook(std::string_view text) { return parse<Outlook>(text, "outlook"); }

Result<View> parse_view(std::string_view text) {
    SEGUE_TRY(view, parse<View>(text, "view"));
    const auto& brake = view.brake;
    if (brake.shares.empty() || brake.shares.size() != brake.stall_s.size()) {
        return fail(ErrorKind::corrupt, "the brake's shares and stalls do not belong together");
    }
    return view;
}

Result<Decision> parse_decision(std::string_view text) {
    SEGUE_TRY(object, object_in(text, "decision"));
    Decision out;
    const auto* action = object.if_contains("action");
    if (action == nullptr) return fail(ErrorKind::corrupt, "field action is missing");
    const std::string_view said = word(*action);
    if (said == actions[0]) {
        out.action = CarryOn{};
    } else if (said == actions[1]) {
        out.action = AllowSwitchover{};
    } else if (said == actions[2]) {
        GiveUp end;
        const auto* bound = object.if_contains("bound");
        if (bound == nullptr || !bound->is_string()) return fail(ErrorKind::corrupt, "field bound is missing");
        end.bound = std::string(bound->get_string());
        out.action = std::move(end);
    } else {
        return fail(ErrorKind::corrupt, "field action is no such word");
    }
    const auto* because = object.if_contains("because");
    if (because == nullptr || !because->is_string()) return fail(ErrorKind::corrupt, "field because is missing");
    out.because = std::string(because->get_string());
    Reader reader{object};
    std::optional<double> share;
    reader("share_ratio", share);
    reader("total_seconds", out.total_s);
    reader("downtime_seconds", out.downtime_s);
    if (!reader.bad.empty()) return fail(ErrorKind::corrupt, "field " + reader.bad + " is missing or no such value");
    if (share) out.share = Share{*share};
    return out;
}

}  // namespace segue::decision

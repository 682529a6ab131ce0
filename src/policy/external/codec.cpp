#include "policy/external/codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace segue::external {
namespace {

namespace json = boost::json;

std::unexpected<Error> corrupt(std::string what) { return fail(ErrorKind::corrupt, std::move(what)); }

// ---- Views, out ------------------------------------------------------------------------------------

/// As people write numbers: 0.212, not 2.12E-1. JSON has no infinity and no NaN.
std::string text_of(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

std::string seconds(Duration duration) { return text_of(to_seconds(duration)); }

std::string band(const Band& b) {
    return fmt::format(R"({{"p10":{},"p50":{},"p90":{}}})", text_of(b.p10), text_of(b.p50), text_of(b.p90));
}

/// Of `count` places the i-th of 0 to size - 1, evenly spread, both ends among them; the i-th where they are no more.
std::size_t spread(std::size_t i, std::size_t count, std::size_t size) {
    if (size <= count) return i;
    return (i * (size - 1) + (count - 1) / 2) / (count - 1);
}

std::string list(const std::vector<std::string>& entries) { return fmt::format("[{}]", fmt::join(entries, ",")); }

std::string curve_pairs(const Curve& curve) {
    std::vector<std::string> pairs;
    for (std::size_t i = 0; i < curve_points; ++i) {
        const std::size_t point = spread(i, curve_points, Curve::points);
        pairs.push_back(fmt::format("[{:.6g},{}]", Curve::work_at(point), text_of(std::round(curve.table()[point]))));
    }
    return list(pairs);
}

std::string passes_of(const View& view) {
    std::vector<std::string> passes;
    for (std::size_t i = view.passes.size() - std::min(view.passes.size(), passes_max); i < view.passes.size(); ++i) {
        const Pass& pass = view.passes[i];
        const std::string worked = pass.worked > Duration{0} ? seconds(pass.worked) : "null";
        passes.push_back(fmt::format(
            R"({{"number":{},"began_seconds":{},"backlog_bytes":{},"worked_seconds":{},"share_ratio":{}}})",
            pass.number, seconds(pass.began), pass.backlog.count, worked, text_of(pass.share.ratio)));
    }
    return list(passes);
}

std::string brake_steps(const BrakeRange& brake) {
    std::vector<std::string> steps;
    const std::size_t size = std::min(brake.shares.size(), brake.stall_s.size());
    for (std::size_t i = 0; i < std::min(size, brake_steps_max); ++i) {
        const std::size_t step = spread(i, brake_steps_max, size);
        steps.push_back(fmt::format(R"({{"share_ratio":{},"stall_seconds":{}}})", text_of(brake.shares[step]),
                                    text_of(brake.stall_s[step])));
    }
    return list(steps);
}

std::string outlook_object(const Outlook& outlook) {
    std::string out = fmt::format(R"({{"curve":{},"level_sigma":{},"round_sigma":{},"round_phi":{},)",
                                  curve_pairs(outlook.curve), text_of(outlook.level_sigma),
                                  text_of(outlook.round_sigma), text_of(outlook.round_phi));
    out += fmt::format(R"("busy_ratio":{},"unbraked_ratio":{},"bandwidth_bytes_per_second":{},)",
                       text_of(outlook.busy.ratio), text_of(outlook.unbraked_ratio),
                       outlook.bandwidth_known ? band(outlook.bandwidth_bytes_per_second) : "null");
    out += fmt::format(R"("first_pass_bytes":{},"first_pass_sigma":{},"first_pass_beside_seconds":{},)",
                       outlook.first_pass.count, text_of(outlook.first_pass_sigma), seconds(outlook.first_pass_beside));
    out += fmt::format(R"("round_overhead_seconds":{},)", seconds(outlook.round_overhead));
    out += fmt::format(R"("stop_seconds":{},"load_seconds":{},"handover_seconds":{},"vcpus":{},"passes_seen":{}}})",
                       seconds(outlook.costs.stop), seconds(outlook.costs.load), seconds(outlook.costs.handover),
                       outlook.vcpus, outlook.passes_seen);
    return out;
}

// ---- Decisions, in ---------------------------------------------------------------------------------

/// What people see must not move their cursor. C1 control characters are two bytes in UTF-8: c2 80 to c2 9f.
std::string clean(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        if (c1) ++i;
        out += c1 || byte < 0x20 || byte == 0x7f ? ' ' : text[i];
    }
    return out;
}

/// Remembers the first thing that is wrong and then does nothing.
class Reader {
public:
    explicit Reader(const json::object& object) : object_(&object) {}

    const json::value* needed(std::string_view name) {
        const json::value* found = optional(name);
        if (found == nullptr && fault_.empty()) fault_ = fmt::format("no field \"{}\"", name);
        return found;
    }
    /// Also nullptr where it is null.
    const json::value* optional(std::string_view name) {
        if (!fault_.empty()) return nullptr;
        const json::value* found = object_->if_contains(name);
        return found == nullptr || found->is_null() ? nullptr : found;
    }
    void whole_number(std::string_view name, std::uint64_t& value) {
        const json::value* found = needed(name);
        if (found == nullptr) return;
        if (const auto* small = found->if_int64(); small != nullptr && *small >= 0) {
            value = static_cast<std::uint64_t>(*small);
        } else if (const auto* large = found->if_uint64()) {
            value = *large;
        } else {
            wrong(name);
        }
    }
    void share(std::string_view name, std::optional<Share>& value) {
        if (const json::value* found = optional(name)) value = Share{real(name, *found, 1)};
    }
    void band(std::string_view name, std::optional<Band>& value) {
        const json::value* found = optional(name);
        if (found == nullptr) return;
        if (!found->is_object()) return wrong(name);
        const json::object* const outer = std::exchange(object_, &found->get_object());
        Band b;
        for (const auto& [key, place] : {std::pair{"p10", &b.p10}, {"p50", &b.p50}, {"p90", &b.p90}}) {
            if (const json::value* part = needed(key)) *place = real(key, *part, seconds_max);
        }
        only({"p10", "p50", "p90"});
        object_ = outer;
        if (!fault_.empty()) fault_ += fmt::format(" in \"{}\"", name);
        else if (b.p10 > b.p50 || b.p50 > b.p90) fault_ = fmt::format("\"{}\" does not rise from p10 to p90", name);
        else value = b;
    }
    void sentence(std::string_view name, std::string& value) {
        const json::value* found = optional(name);
        if (found == nullptr) return;
        if (!found->is_string() || found->get_string().size() > because_bytes_max) return wrong(name);
        value = clean(found->get_string());
    }
    void action(std::string_view name, Decision& decision) {
        const json::value* found = needed(name);
        if (found == nullptr) return;
        if (!found->is_string()) return wrong(name);
        const std::string_view word = found->get_string();
        if (word == "carry-on") decision.action = CarryOn{};
        else if (word == "allow-switchover") decision.action = AllowSwitchover{};
        else if (word == "give-up") decision.action = GiveUp{};
        else fault_ = "an action that is none of carry-on, allow-switchover and give-up";
    }
    /// A misspelt name would else be a wish that nobody hears.
    void only(std::initializer_list<std::string_view> names) {
        for (const auto& field : *object_) {
            if (fault_.empty() && std::ranges::find(names, std::string_view(field.key())) == names.end()) {
                fault_ = fmt::format("a field that version {} does not have", version);
            }
        }
    }
    void wrong(std::string_view name) {
        if (fault_.empty()) fault_ = fmt::format("field \"{}\" has a value that it cannot have", name);
    }
    [[nodiscard]] const std::string& fault() const { return fault_; }

private:
    double real(std::string_view name, const json::value& found, double high) {
        json::error_code error;
        const double value = found.is_number() ? found.to_number<double>(error) : -1.0;
        if (!error && std::isfinite(value) && value >= 0 && value <= high) return value;
        wrong(name);
        return 0;
    }

    const json::object* object_;
    std::string fault_;
};

}  // namespace

std::string encode(std::uint64_t number, const View& view) {
    const std::string timeout = view.timeout ? seconds(*view.timeout) : "null";
    std::string out = fmt::format(R"({{"segue_policy":{},"view":{},"elapsed_seconds":{},"timeout_seconds":{},)",
                                  version, number, seconds(view.elapsed), timeout);
    out += fmt::format(R"("max_downtime_seconds":{},"aggression":{},"memory_bytes":{},"budget_bytes":{},)"
                       R"("braked_budget_bytes":{},)",
                       seconds(view.max_downtime), text_of(view.aggression), view.memory.count, view.budget.count,
                       view.braked_budget.count);
    out += fmt::format(R"("bandwidth_bytes_per_second":{},"switchover_allowed":{},"share_ratio":{},)",
                       view.bandwidth ? fmt::format("{}", view.bandwidth->per_second) : "null", view.allowed,
                       text_of(view.share.ratio));
    out += fmt::format(R"("brake":{},"brake_cut_by_stall":{},"passes":{},"outlook":{}}})", brake_steps(view.brake),
                       view.brake.cut_by_stall, passes_of(view), outlook_object(view.outlook));
    return out + "\n";
}

Result<Answer> parse(std::string_view line) {
    if (line.size() > line_bytes_max) return corrupt(fmt::format("a line of more than {} bytes", line_bytes_max));
    json::parse_options options;
    options.max_depth = depth_max;
    json::error_code error;
    const json::value value = json::parse(json::string_view(line.data(), line.size()), error, {}, options);
    if (error) return corrupt("a line that is no JSON: " + error.message());
    if (!value.is_object()) return corrupt("a line that is no JSON object");
    Reader reader(value.get_object());
    std::uint64_t spoken = version;
    reader.whole_number("segue_policy", spoken);
    if (reader.fault().empty() && spoken != version) {
        return corrupt(fmt::format("an answer of a version that is not {}", version));
    }
    Answer answer;
    reader.whole_number("view", answer.view);
    reader.action("action", answer.decision);
    reader.sentence("because", answer.decision.because);
    reader.share("share_ratio", answer.decision.share);
    reader.band("total_seconds", answer.decision.total_s);
    reader.band("downtime_seconds", answer.decision.downtime_s);
    reader.only({"segue_policy", "view", "action", "because", "share_ratio", "total_seconds", "downtime_seconds"});
    if (!reader.fault().empty()) return corrupt(reader.fault());
    return answer;
}

std::vector<Result<Answer>> LineReader::feed(std::span<const char> bytes) {
    std::vector<Result<Answer>> answers;
    while (!bytes.empty()) {
        const auto end = std::ranges::find(bytes, '\n');
        const auto length = static_cast<std::size_t>(end - bytes.begin());
        if (!too_long_ && line_.size() + length > line_bytes_max) {
            too_long_ = true;
            line_.clear();
            answers.emplace_back(corrupt(fmt::format("a line of more than {} bytes", line_bytes_max)));
        }
        if (!too_long_) line_.append(bytes.data(), length);
        if (end == bytes.end()) break;
        bytes = bytes.subspan(length + 1);
        if (!too_long_ && !line_.empty()) answers.push_back(parse(line_));
        too_long_ = false;
        line_.clear();
    }
    return answers;
}

}  // namespace segue::external

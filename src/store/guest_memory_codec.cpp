#include "store/guest_memory_codec.hpp"

#include <boost/json/array.hpp>

#include <cmath>

namespace segue {
namespace {

namespace json = boost::json;

constexpr std::size_t points_max = 64;
/// Beyond any guest: 16 EiB, a year, a rate of that.
constexpr double number_max = 2e19;

/// Reads numbers and remembers whether all were there.
class Numbers {
public:
    explicit Numbers(const json::object& object) : object_(object) {}

    double take(std::string_view name) {
        const auto* value = object_.if_contains(name);
        double number = -1;
        if (value != nullptr && value->is_double()) number = value->as_double();
        if (value != nullptr && value->is_int64()) number = static_cast<double>(value->as_int64());
        if (!std::isfinite(number) || number < 0 || number > number_max) all_ = false;
        return number;
    }
    [[nodiscard]] bool all() const { return all_; }

private:
    const json::object& object_;
    bool all_ = true;
};

std::optional<CurveObservation> point_of(const json::value& value) {
    if (!value.is_object()) return std::nullopt;
    Numbers numbers(value.as_object());
    CurveObservation out;
    out.work_s = numbers.take("work_seconds");
    out.bytes = numbers.take("bytes");
    out.relative_sd = numbers.take("relative_sd");
    out.absolute_sd = numbers.take("absolute_sd_bytes");
    out.evidence = CurveEvidence::remembered;
    return numbers.all() ? std::optional(out) : std::nullopt;
}

}  // namespace

json::object guest_memory_object(const GuestMemory& memory) {
    json::array curve;
    for (const CurveObservation& point : memory.curve) {
        curve.push_back(json::object{{"work_seconds", point.work_s},
                                     {"bytes", point.bytes},
                                     {"relative_sd", point.relative_sd},
                                     {"absolute_sd_bytes", point.absolute_sd}});
    }
    const Band& bandwidth = memory.bandwidth_bytes_per_second;
    return {{"curve", curve},
            {"busy_ratio", memory.busy},
            {"unbraked_ratio", memory.unbraked_ratio},
            {"round_sigma", memory.round_sigma},
            {"bandwidth_p10_bytes_per_second", bandwidth.p10},
            {"bandwidth_p50_bytes_per_second", bandwidth.p50},
            {"bandwidth_p90_bytes_per_second", bandwidth.p90},
            {"first_pass_bytes", memory.first_pass.count},
            {"round_overhead_ns", memory.round_overhead.count()}};
}

std::optional<GuestMemory> guest_memory_of(const json::value& value) {
    if (!value.is_object()) return std::nullopt;
    const json::object& object = value.as_object();
    const auto* curve = object.if_contains("curve");
    if (curve == nullptr || !curve->is_array() || curve->as_array().size() > points_max) return std::nullopt;
    GuestMemory out;
    for (const auto& one : curve->as_array()) {
        const auto point = point_of(one);
        if (!point) return std::nullopt;
        out.curve.push_back(*point);
    }
    Numbers numbers(object);
    out.busy = numbers.take("busy_ratio");
    out.unbraked_ratio = numbers.take("unbraked_ratio");
    out.round_sigma = numbers.take("round_sigma");
    out.bandwidth_bytes_per_second = {numbers.take("bandwidth_p10_bytes_per_second"),
                                      numbers.take("bandwidth_p50_bytes_per_second"),
                                      numbers.take("bandwidth_p90_bytes_per_second")};
    constexpr double count_max = 9e18;
    const double first_pass = numbers.take("first_pass_bytes");
    const double overhead_ns = numbers.take("round_overhead_ns");
    if (!numbers.all() || first_pass > count_max || overhead_ns > count_max) return std::nullopt;
    if (out.busy > 1 || out.unbraked_ratio > 1) return std::nullopt;
    out.first_pass = {static_cast<std::int64_t>(first_pass)};
    out.round_overhead = Duration{static_cast<std::int64_t>(overhead_ns)};
    return out;
}

}  // namespace segue

#include "app/sim/study/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace segue::study {
namespace {

constexpr std::string_view working_set_mark = "# working-set ";
constexpr std::size_t lines_max = 1'000'000;

std::unexpected<Error> bad_line(std::size_t number) {
    return fail(ErrorKind::corrupt, fmt::format("line {} is no \"WORK_SECONDS DISTINCT_BYTES\"", number));
}

/// A number at the beginning of `text`, which is cut off.
bool take_number(std::string_view& text, double& value) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return false;
    text.remove_prefix(begin);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || !std::isfinite(value)) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

}  // namespace

Result<Trace> parse_trace(std::string_view text) {
    Trace trace;
    for (std::size_t number = 1; !text.empty() && number <= lines_max; ++number) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.starts_with(working_set_mark)) {
            line.remove_prefix(working_set_mark.size());
            if (!take_number(line, trace.working_set_bytes)) return bad_line(number);
            continue;
        }
        if (line.empty() || line.starts_with('#')) continue;
        TracePoint point;
        if (!take_number(line, point.work_s) || !take_number(line, point.distinct_bytes)) return bad_line(number);
        if (!line.empty() || point.work_s <= 0 || point.distinct_bytes < 0) return bad_line(number);
        trace.points.push_back(point);
    }
    if (trace.points.empty()) return fail(ErrorKind::corrupt, "the trace is empty");
    double most = 0;
    for (const auto& point : trace.points) most = std::max(most, point.distinct_bytes);
    if (trace.working_set_bytes <= 0) trace.working_set_bytes = most * 2;
    if (trace.working_set_bytes < page_bytes) return fail(ErrorKind::corrupt, "the trace's working set is no page");
    return trace;
}

std::string to_text(const Trace& trace, std::string_view remark) {
    std::string out = fmt::format("# {}\n{}{}\n", remark, working_set_mark, trace.working_set_bytes);
    for (const auto& point : trace.points) out += fmt::format("{} {}\n", point.work_s, point.distinct_bytes);
    return out;
}

GuestSpec guest_of(const Trace& trace, double memory_bytes, double speed) {
    GuestSpec spec;
    spec.family = "trace";
    spec.in_model = false;
    spec.memory_bytes = memory_bytes;
    PageClass written;
    written.pages = std::min(trace.working_set_bytes, memory_bytes * 0.9) / page_bytes;
    written.rate = {speed};
    spec.classes = {written};
    spec.trace = trace.points;
    return spec;
}

Trace record_walk(const WalkPlan& plan, sim::Rng rng) {
    Trace trace;
    trace.working_set_bytes = static_cast<double>(plan.pages) * page_bytes;
    std::vector<std::uint32_t> seen_in(plan.pages, 0);
    const auto last = static_cast<std::int64_t>(plan.pages) - 1;
    std::int64_t at = rng.between(0, last);
    bool busy = true;
    double until = plan.burst_s;
    const auto stretches = static_cast<std::uint32_t>(plan.length_s / plan.stretch_s);
    for (std::uint32_t stretch = 1; stretch <= stretches; ++stretch) {
        const double now = stretch * plan.stretch_s;
        if (plan.burst_s > 0 && now >= until) {
            busy = !busy;
            until = now - plan.burst_s * std::log(1 - rng.unit());
        }
        const double writes = busy ? plan.writes_per_s * plan.stretch_s : plan.writes_per_s * plan.stretch_s / 50;
        double distinct = 0;
        for (double i = 0; i < writes; ++i) {
            at = rng.chance(plan.jump_chance) ? rng.between(0, last) : at + (rng.chance(0.5) ? 1 : -1);
            at = (at + last + 1) % (last + 1);
            auto& mark = seen_in[static_cast<std::size_t>(at)];
            distinct += mark == stretch ? 0 : 1;
            mark = stretch;
        }
        trace.points.push_back({plan.stretch_s, distinct * page_bytes});
    }
    return trace;
}

}  // namespace segue::study

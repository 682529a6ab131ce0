#include "app/segue/cli/cli_bounds.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>

#include "app/segue/words/plain_text.hpp"
#include "units/share_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

/// What one option accepts, and how to say it.
template <class T>
struct Accepts {
    std::string_view option;
    T min;
    T max;
    std::string_view range;         ///< As said to people.
    std::string_view example;
    std::string_view bare_unit;     ///< Where Ganeti, xl or virsh take a bare number; else empty.
    std::string_view without;       ///< What leaving the option out means, for those who write 0.
};

constexpr Accepts<Duration> max_downtime_accepts{
    "--max-downtime", cli_range::max_downtime_min, cli_range::max_downtime_max, "10 ms to 2000 s", "300ms", "", ""};
constexpr Accepts<Duration> max_suspend_time_accepts{
    "--max-suspend-time", cli_range::max_downtime_min, cli_range::max_downtime_max, "10 ms to 2000 s", "300ms",
    "s", ""};
constexpr Accepts<Duration> timeout_accepts{
    "--timeout", cli_range::timeout_min, cli_range::timeout_max, "1 s to 30 d", "10min", "s", "for no timeout"};
constexpr Accepts<Share> min_cpu_accepts{
    "--min-cpu", cli_range::min_cpu_min, cli_range::min_cpu_max, "1 % to 100 %", "20%", "", ""};
constexpr Accepts<Duration> max_stall_accepts{
    "--max-stall", cli_range::max_stall_min, cli_range::max_stall_max, "20 ms to 10 s", "150ms", "", ""};
constexpr Accepts<ByteRate> max_bandwidth_accepts{
    "--max-bandwidth", cli_range::rate_min, cli_range::rate_max, "1 MiB/s to 1 TB/s", "100MiB/s", "MiB/s",
    "for no cap"};
constexpr Accepts<ByteRate> switchover_bandwidth_accepts{
    "--switchover-bandwidth", cli_range::rate_min, cli_range::rate_max, "1 MiB/s to 1 TB/s", "1Gbit/s", "",
    "and it is measured"};

Result<Duration> parse_as(const Accepts<Duration>& accepts, std::string_view text) {
    return parse_duration(text, accepts.bare_unit);
}
Result<Share> parse_as(const Accepts<Share>&, std::string_view text) { return parse_share(text); }
Result<ByteRate> parse_as(const Accepts<ByteRate>& accepts, std::string_view text) {
    return parse_byte_rate(text, accepts.bare_unit);
}

bool is_bare(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789. \t") == std::string_view::npos;
}

template <class T>
Result<T> parse_quantity(const Accepts<T>& accepts, const std::string& text, Words& notes) {
    const std::string give = fmt::format("give {}, for example {} {}", accepts.range, accepts.option, accepts.example);
    auto value = parse_as(accepts, text);
    if (!value) return wrong(fmt::format("{}: {} ({})", accepts.option, value.error().message, give));
    if (*value == T{} && !accepts.without.empty()) {
        return wrong(fmt::format("{} cannot be 0: {}, or leave it out {}", accepts.option, give, accepts.without));
    }
    if (*value < accepts.min || *value > accepts.max) {
        return wrong(fmt::format("{} {} is out of range: {}", accepts.option, to_text(*value), give));
    }
    if (is_bare(text)) {
        notes.push_back(fmt::format("{} {} means {} {}", accepts.option, text, text, accepts.bare_unit));
    }
    return *value;
}

template <class T>
Result<void> take_quantity(const Accepts<T>& accepts, const std::optional<std::string>& text, std::optional<T>& into,
                           Words& notes) {
    if (!text) return {};
    SEGUE_TRY(value, parse_quantity(accepts, *text, notes));
    into = value;
    return {};
}

Result<double> parse_aggression(const std::string& text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size() && value >= 0 && value <= 1) return value;
    return wrong(fmt::format("--aggression \"{}\" is not a level: give a number from 0 (disturb the guest least) to 1 "
                             "(finish soonest), for example --aggression 0.4", plain_text(text)));
}

Result<void> take_brake(const std::string& text, Steering& steering) {
    steering.brake_required = true;
    if (text == "cgroup") {
        steering.brake = BrakeKind::cgroup;
    } else if (text == "auto-converge") {
        steering.brake = BrakeKind::auto_converge;
    } else if (text == "none") {
        steering.brake = BrakeKind::none;
    } else {
        return wrong(fmt::format("--brake \"{}\" is not known: give cgroup, auto-converge or none", plain_text(text)));
    }
    return {};
}

}  // namespace

void declare_bounds(CLI::App& app, BoundWords& words) {
    app.add_option("--max-downtime", words.max_downtime);
    app.add_option("--max-suspend-time", words.max_suspend_time);
    app.add_option("--timeout", words.timeout);
    app.add_option("--min-cpu", words.min_cpu);
    app.add_option("--max-stall", words.max_stall);
    app.add_option("--max-bandwidth", words.max_bandwidth);
    app.add_option("--switchover-bandwidth", words.switchover_bandwidth);
}

void declare_steering(CLI::App& app, SteeringWords& words) {
    app.add_option("--aggression", words.aggression);
    app.add_option("--brake", words.brake);
    app.add_flag("--auto-converge", words.auto_converge);
    app.add_option("--policy", words.policy);
}

Result<Bounds> parse_bounds(const BoundWords& words, Words& notes) {
    if (words.max_downtime && words.max_suspend_time) {
        return wrong("--max-downtime and --max-suspend-time are the same bound: give one of them");
    }
    Bounds bounds;
    std::optional<Duration> max_downtime;
    std::optional<Share> min_cpu;
    for (const auto& taken :
         {take_quantity(max_downtime_accepts, words.max_downtime, max_downtime, notes),
          take_quantity(max_suspend_time_accepts, words.max_suspend_time, max_downtime, notes),
          take_quantity(timeout_accepts, words.timeout, bounds.timeout, notes),
          take_quantity(min_cpu_accepts, words.min_cpu, min_cpu, notes),
          take_quantity(max_stall_accepts, words.max_stall, bounds.max_stall, notes),
          take_quantity(max_bandwidth_accepts, words.max_bandwidth, bounds.max_bandwidth, notes),
          take_quantity(switchover_bandwidth_accepts, words.switchover_bandwidth, bounds.switchover_bandwidth,
                        notes)}) {
        if (!taken) return std::unexpected(taken.error());
    }
    bounds.max_downtime = max_downtime.value_or(bounds.max_downtime);
    bounds.min_cpu = min_cpu.value_or(bounds.min_cpu);
    if (bounds.timeout && *bounds.timeout <= bounds.max_downtime) {
        return wrong(fmt::format("--timeout {} is not longer than --max-downtime {}: give a longer --timeout, "
                                 "up to 30 d, or a shorter --max-downtime",
                                 to_text(*bounds.timeout), to_text(bounds.max_downtime)));
    }
    return bounds;
}

Result<Steering> parse_steering(const SteeringWords& words) {
    Steering steering;
    if (words.aggression) {
        SEGUE_TRY(level, parse_aggression(*words.aggression));
        steering.aggression = level;
    }
    if (words.auto_converge && words.brake && *words.brake != "auto-converge") {
        return wrong("--auto-converge and --brake name two brakes: give one of them");
    }
    const std::optional<std::string> brake = words.auto_converge ? "auto-converge" : words.brake;
    if (brake) {
        if (auto taken = take_brake(*brake, steering); !taken) return std::unexpected(taken.error());
    }
    if (steering.brake == BrakeKind::auto_converge && words.policy && *words.policy != "patient") {
        return wrong("--policy and auto-converge exclude each other: with its own brake QEMU steers; leave one of them "
                     "out");
    }
    steering.policy = words.policy.value_or(steering.policy);
    const bool external = steering.policy.starts_with("exec:");
    if (external && steering.policy.size() == 5) {
        return wrong("--policy exec: names no program: give one, for example --policy exec:./my-policy");
    }
    if (!external && steering.policy != "converge" && steering.policy != "patient") {
        return wrong(fmt::format("--policy \"{}\" is not known: give converge, patient or exec:COMMAND",
                                 plain_text(steering.policy)));
    }
    return steering;
}

}  // namespace segue

#include "vm/limit_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/nearest_word.hpp"
#include "units/bound_ranges.hpp"
#include "units/share_text.hpp"
#include "units/text.hpp"

namespace segue::vm {
namespace {

/// What one key accepts, and how to say it.
template <class T>
struct Range {
    T min;
    T max;
    std::string_view words;
    std::string_view example;
};
constexpr Range<Duration> downtime_range{bound_range::max_downtime_min, bound_range::max_downtime_max,
                                         "10 ms to 2000 s", "300ms"};
constexpr Range<Duration> timeout_range{bound_range::timeout_min, bound_range::timeout_max, "1 s to 30 d", "10min"};
constexpr Range<Duration> stall_range{bound_range::max_stall_min, bound_range::max_stall_max, "20 ms to 10 s", "150ms"};
constexpr Range<ByteRate> rate_range{bound_range::rate_min, bound_range::rate_max, "1 MiB/s to 1 TB/s", "100MiB/s"};
constexpr Range<Share> share_range{bound_range::min_cpu_min, bound_range::min_cpu_max, "1% to 100%", "20%"};
constexpr std::string_view give_aggression = "give a number from 0 to 1, for example aggression = 0.5";
constexpr std::string_view give_address = "give a host's name or address without a port, for example data_address = "
                                          "\"10.77.0.2\"";
constexpr std::string_view give_ports = "give FIRST-LAST from 1 to 65535, for example data_ports = \"49152-49215\"";
/// 1 TB/s, rounded down to whole MiB/s.
constexpr std::int64_t ganeti_bandwidth_max = bound_range::rate_max.per_second / (1024 * 1024);
constexpr std::int64_t ganeti_downtime_min = 10;
constexpr std::int64_t ganeti_downtime_max = 2'000'000;

Result<Duration> parse_as(const Range<Duration>&, std::string_view text) { return parse_duration(text); }
Result<ByteRate> parse_as(const Range<ByteRate>&, std::string_view text) { return parse_byte_rate(text); }
Result<Share> parse_as(const Range<Share>&, std::string_view text) { return parse_share(text); }

/// The value, or what is wrong.
template <class T>
std::expected<T, std::string> read_quantity(std::string_view name, const toml::node& node, const Range<T>& range) {
    const std::string give = fmt::format("give {}, for example {} = \"{}\"", range.words, name, range.example);
    const auto* written = node.as_string();
    if (written == nullptr) return std::unexpected(fmt::format("{} is {}: {}", name, kind_of(node), give));
    const auto value = parse_as(range, written->get());
    if (!value) return std::unexpected(fmt::format("{}: {} ({})", name, value.error().message, give));
    if (*value < range.min || *value > range.max) {
        return std::unexpected(fmt::format("{} {} is out of range: {}", name, to_text(*value), give));
    }
    return *value;
}

int port_of(std::string_view text) {
    constexpr int port_max = std::numeric_limits<std::uint16_t>::max();
    if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string_view::npos) return 0;
    int port = 0;
    for (const char c : text) port = port * 10 + (c - '0');
    return port > port_max ? 0 : port;
}

}  // namespace

std::string ports_text(const Ports& ports) {
    return ports.first == ports.last ? fmt::format("{}", ports.first) : fmt::format("{}-{}", ports.first, ports.last);
}

std::vector<std::string> limit_keys(Level level) {
    std::vector<std::string> keys = {"max_downtime", "timeout",   "max_bandwidth", "switchover_bandwidth",
                                     "min_cpu",      "max_stall", "aggression",    "preset"};
    if (level == Level::host) keys.emplace_back("data_address");
    if (level != Level::vm) keys.emplace_back("data_ports");
    keys.emplace_back(ganeti_downtime);
    if (level == Level::site) keys.emplace_back(ganeti_bandwidth);
    return keys;
}

LimitReader::LimitReader(Level level, Limits& into, Problems& problems)
    : level_(level), into_(into), problems_(problems) {}

void LimitReader::wrong(const toml::source_region& place, std::string what) {
    problems_.push_back({static_cast<int>(place.begin.line), std::move(what), static_cast<int>(place.begin.column)});
}

bool LimitReader::take(const toml::key& key, const toml::node& node) {
    const std::vector<std::string> known = limit_keys(level_);
    const std::string name(key.str());
    if (std::ranges::find(known, name) == known.end()) return false;
    into_.at[name] = {static_cast<int>(key.source().begin.line), static_cast<int>(key.source().begin.column)};
    const auto quantity = [&](const auto& range, auto& member) {
        auto value = read_quantity(name, node, range);
        if (value) member = *value;
        else wrong(node.source(), std::move(value.error()));
    };
    if (name == "max_downtime") quantity(downtime_range, into_.max_downtime);
    else if (name == "timeout") quantity(timeout_range, into_.timeout);
    else if (name == "max_bandwidth") quantity(rate_range, into_.max_bandwidth);
    else if (name == "switchover_bandwidth") quantity(rate_range, into_.switchover_bandwidth);
    else if (name == "min_cpu") quantity(share_range, into_.min_cpu);
    else if (name == "max_stall") quantity(stall_range, into_.max_stall);
    else if (name == "aggression") take_aggression(node);
    else if (name == "preset") take_preset(node);
    else if (name == "data_address") take_data_address(node);
    else if (name == "data_ports") take_data_ports(node);
    else take_ganeti(name, node);
    return true;
}

const std::string* LimitReader::text(std::string_view name, const toml::node& node, std::string_view give) {
    if (const auto* value = node.as_string()) return &value->get();
    wrong(node.source(), fmt::format("{} is {}, not a string: {}", name, kind_of(node), give));
    return nullptr;
}

void LimitReader::take_preset(const toml::node& node) {
    const std::string known = fmt::format("the presets are {}", fmt::join(preset_names, ", "));
    const std::string* name = text("preset", node, known);
    if (name == nullptr) return;
    if (std::ranges::find(preset_names, *name) != preset_names.end()) {
        into_.preset = *name;
        return;
    }
    const std::vector<std::string> words(preset_names.begin(), preset_names.end());
    const std::string_view near = nearest_word(*name, words);
    const std::string hint = near.empty() ? known : fmt::format("did you mean {}?", near);
    wrong(node.source(), fmt::format("preset \"{}\" is not known: {}", shown(*name), hint));
}

void LimitReader::take_aggression(const toml::node& node) {
    if (!node.is_number()) {
        return wrong(node.source(), fmt::format("aggression is {}, not a number: {}", kind_of(node), give_aggression));
    }
    const double value = node.value<double>().value_or(-1.0);
    // Written so that nan, which is a number in TOML, is refused too.
    if (!(value >= bound_range::aggression_min && value <= bound_range::aggression_max)) {
        return wrong(node.source(), fmt::format("aggression {} is out of range: {}", value, give_aggression));
    }
    into_.aggression = value;
}

void LimitReader::take_data_address(const toml::node& node) {
    const std::string* address = text("data_address", node, give_address);
    if (address == nullptr) return;
    const bool bracketed = address->starts_with('[') && address->ends_with(']');
    const std::string_view forbidden = bracketed ? " \t/" : " \t/:";
    if (address->empty() || address->find_first_of(forbidden) != std::string::npos || shown(*address) != *address) {
        return wrong(node.source(), fmt::format("data_address \"{}\" is no address of a host: {}; IPv6 in brackets, "
                                                "and ports as data_ports", shown(*address), give_address));
    }
    into_.data_address = *address;
}

void LimitReader::take_data_ports(const toml::node& node) {
    const std::string* ports = text("data_ports", node, give_ports);
    if (ports == nullptr) return;
    const auto dash = ports->find('-');
    const int first = port_of(ports->substr(0, dash));
    const int last = dash == std::string::npos ? first : port_of(ports->substr(dash + 1));
    if (first == 0 || last == 0 || last < first) {
        return wrong(node.source(), fmt::format("data_ports \"{}\" is no range of ports: {}", shown(*ports),
                                                give_ports));
    }
    into_.data_ports = Ports{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

void LimitReader::take_ganeti(std::string_view name, const toml::node& node) {
    const bool bandwidth = name == ganeti_bandwidth;
    const std::int64_t min = bandwidth ? 1 : ganeti_downtime_min;
    const std::int64_t max = bandwidth ? ganeti_bandwidth_max : ganeti_downtime_max;
    const std::string give =
        fmt::format("give a whole number of {} from {} to {}, for example {} = {}", bandwidth ? "MiB/s" : "ms", min,
                    max, name, bandwidth ? 32 : 30);
    const auto* number = node.as_integer();
    if (number == nullptr) {
        return wrong(node.source(), fmt::format("{} is {}, not a whole number, as Ganeti has it: {}", name,
                                                kind_of(node), give));
    }
    if (number->get() < min || number->get() > max) {
        return wrong(node.source(), fmt::format("{} {} is out of range: {}", name, number->get(), give));
    }
    if (bandwidth) {
        if (!into_.max_bandwidth) into_.max_bandwidth = mebibytes_per_second(number->get());
    } else if (!into_.max_downtime) {
        into_.max_downtime = std::chrono::milliseconds{number->get()};
    }
}

void LimitReader::finish(const toml::source_region& place) {
    const auto twice = [&](std::string_view ours, std::string_view theirs) {
        const auto second = into_.at.find(theirs);
        if (second == into_.at.end() || !into_.at.contains(ours)) return;
        problems_.push_back({second->second.line,
                             fmt::format("{} and {} are the same limit: write one of them", ours, theirs),
                             second->second.column});
    };
    twice("max_downtime", ganeti_downtime);
    twice("max_bandwidth", ganeti_bandwidth);
    if (into_.timeout && into_.max_downtime && *into_.timeout <= *into_.max_downtime) {
        wrong(place, fmt::format("timeout {} is not longer than max_downtime {}: give a longer timeout",
                                 to_text(*into_.timeout), to_text(*into_.max_downtime)));
    }
}

}  // namespace segue::vm

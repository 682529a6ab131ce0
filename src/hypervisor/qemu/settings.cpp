#include "hypervisor/qemu/settings.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <span>

namespace segue::qemu {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 3> source_needs{"events", "return-path", "pause-before-switchover"};
// late-block-activate: without it a destination that has loaded holds the images' locks, and the source
// cannot be continued until it is dead (qemu.md 4.3).
constexpr std::array<std::string_view, 2> destination_needs{"events", "late-block-activate"};

// Each of these changes how the guest's memory travels or when QEMU stops it: another brake
// (auto-converge, dirty-limit), connections that are not ours (multifd, postcopy-preempt), a guest that is on
// neither side (postcopy-ram, x-colo), memory that is not sent or not kept (x-ignore-shared, release-ram), a
// switchover that waits for something else (switchover-ack). The others stay as they are.
constexpr std::array<std::string_view, 15> unwanted{
    "auto-converge", "background-snapshot", "block", "compress", "dirty-limit", "mapped-ram", "multifd",
    "postcopy-preempt", "postcopy-ram", "release-ram", "switchover-ack", "x-colo", "x-ignore-shared", "xbzrle",
    "zero-copy-send"};

constexpr std::array<std::string_view, 6> source_parameters{
    "avail-switchover-bandwidth", "cpu-throttle-increment", "cpu-throttle-initial",
    "downtime-limit",             "max-bandwidth",          "max-cpu-throttle"};
constexpr std::string_view auto_converge = "auto-converge";
// QEMU's own (migration/options.c), which it may have been given others of.
constexpr std::int64_t throttle_initial = 20;
constexpr std::int64_t throttle_increment = 10;

std::span<const std::string_view> needs(Side side) {
    if (side == Side::source) return source_needs;
    return destination_needs;
}

bool contains(std::span<const std::string_view> words, std::string_view word) {
    return std::ranges::find(words, word) != words.end();
}

std::string line(std::string_view command, const json::object& arguments) {
    json::object message;
    message["execute"] = command;
    message["arguments"] = arguments;
    return json::serialize(message) + "\n";
}

}  // namespace

Originals originals(Side side, const json::value& query_migrate_capabilities,
                    const json::value& query_migrate_parameters) {
    Originals found;
    for (const json::value& entry : elements(&query_migrate_capabilities)) {
        found.capabilities.push_back({text_of(member(entry, "capability")), is_true(member(entry, "state"))});
    }
    if (side == Side::source) {
        for (const std::string_view name : source_parameters) {
            const json::value* value = member(query_migrate_parameters, name);
            if (value != nullptr) found.parameters[name] = *value;
        }
    }
    return found;
}

std::vector<std::string> missing_features(Side side, const Originals& found) {
    std::vector<std::string> missing;
    for (const std::string_view name : needs(side)) {
        if (std::ranges::find(found.capabilities, name, &Capability::name) == found.capabilities.end()) {
            missing.emplace_back(name);
        }
    }
    return missing;
}

std::vector<Capability> capabilities_to_change(Side side, const Originals& found, bool own_brake) {
    std::vector<Capability> changes;
    for (const Capability& capability : found.capabilities) {
        const bool asked_for = own_brake && side == Side::source && capability.name == auto_converge;
        const bool on = asked_for || contains(needs(side), capability.name) ||
                        (capability.on && !contains(unwanted, capability.name));
        if (on != capability.on) changes.push_back({capability.name, on});
    }
    return changes;
}

std::vector<Capability> capabilities_to_restore(Side side, const Originals& found) {
    std::vector<Capability> changes = capabilities_to_change(side, found);
    for (const Capability& capability : capabilities_to_change(side, found, true)) {
        if (std::ranges::find(changes, capability) == changes.end()) changes.push_back(capability);
    }
    for (Capability& capability : changes) capability.on = !capability.on;
    return changes;
}

bool has_auto_converge(const Originals& found) {
    return std::ranges::find(found.capabilities, auto_converge, &Capability::name) != found.capabilities.end();
}

json::object throttle_arguments(Share floor) {
    const auto most = std::clamp<std::int64_t>(static_cast<std::int64_t>(100 * (1 - floor.ratio) + 1e-9), 1, 99);
    json::object arguments;
    arguments["cpu-throttle-increment"] = throttle_increment;
    arguments["cpu-throttle-initial"] = std::min(throttle_initial, most);
    arguments["max-cpu-throttle"] = most;
    return arguments;
}

json::object capability_arguments(const std::vector<Capability>& capabilities) {
    json::array list;
    for (const Capability& capability : capabilities) {
        json::object entry;
        entry["capability"] = capability.name;
        entry["state"] = capability.on;
        list.push_back(std::move(entry));
    }
    json::object arguments;
    arguments["capabilities"] = std::move(list);
    return arguments;
}

json::object parameter_arguments(const SwitchoverParameters& parameters) {
    json::object arguments;
    arguments["downtime-limit"] = parameters.downtime_limit_ms;
    if (parameters.avail_switchover_bandwidth) {
        arguments["avail-switchover-bandwidth"] = *parameters.avail_switchover_bandwidth;
    }
    if (parameters.max_bandwidth) arguments["max-bandwidth"] = *parameters.max_bandwidth;
    return arguments;
}

json::object announce_arguments() {
    json::object arguments;
    arguments["initial"] = 50;
    arguments["max"] = 550;
    arguments["rounds"] = 5;
    arguments["step"] = 100;
    return arguments;
}

std::string put_back_script(Side side, const Originals& found) {
    std::string script;
    if (!found.parameters.empty()) script += line("migrate-set-parameters", found.parameters);
    const std::vector<Capability> restored = capabilities_to_restore(side, found);
    if (!restored.empty()) script += line("migrate-set-capabilities", capability_arguments(restored));
    return script;
}

}  // namespace segue::qemu

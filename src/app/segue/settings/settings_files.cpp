#include "app/segue/settings/settings_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "app/segue/vm/vm_folder.hpp"
#include "app/segue/words/data_place.hpp"
#include "migration/preflight.hpp"

namespace segue {
namespace {

std::string host_file(const VmPlaces& places, const std::string& host) {
    const std::string whole = fmt::format("{}/hosts/{}.toml", places.config_folder, host);
    const std::string brief = fmt::format("{}/hosts/{}.toml", places.config_folder, host.substr(0, host.find('.')));
    std::error_code problem;
    return std::filesystem::exists(whole, problem) || !std::filesystem::exists(brief, problem) ? whole : brief;
}

/// One message of several, a line each.
class Complaints {
public:
    void add(const Error& error) {
        text_ += (text_.empty() ? "" : "\n") + to_string(error);
    }
    /// The value, or nothing and a line more.
    template <class T>
    T take(Result<T> result) {
        if (result) return std::move(*result);
        add(result.error());
        return T{};
    }
    [[nodiscard]] bool any() const { return !text_.empty(); }
    [[nodiscard]] Error error() const { return {ErrorKind::invalid, text_, {}}; }

private:
    std::string text_;
};

/// The settings' own syntax lets through what only the address's knows.
Result<void> check_address(const settings::Level& level) {
    const auto& address = level.content.limits.data_address;
    if (!address) return {};
    const auto place = parse_data_place(*address);
    if (place) return {};
    const vm::At at = level.content.limits.at.at("data_address");
    return fail(ErrorKind::invalid, fmt::format("{}:{}:{}: {}", level.file, at.line, at.column, place.error().message));
}

void take_address(const vm::Limits& limits, Migrate& migrate) {
    if (!migrate.to) return;  // The destination is on this host: its address is on the command line.
    if (!migrate.given.data_address && limits.data_address) {
        const auto place = parse_data_place(*limits.data_address);
        if (place) migrate.request.data_address.host = place->address.host;
    }
    if (migrate.given.data_ports || !limits.data_ports) return;
    if (limits.data_ports->first == limits.data_ports->last) {
        migrate.request.data_address.port = limits.data_ports->first;
    } else {
        migrate.port_first = limits.data_ports->first;
        migrate.port_last = limits.data_ports->last;
    }
}

}  // namespace

Result<std::optional<settings::Level>> read_settings(const std::string& file, vm::Level level) {
    SEGUE_TRY(text, read_small_file(file));
    if (!text) return std::nullopt;
    for (auto at = text->find("\r\n"); at != std::string::npos; at = text->find("\r\n", at)) text->erase(at, 1);
    auto read = settings::parse_settings(*text, level);
    if (!read) return fail(ErrorKind::invalid, vm::render(read.error(), file));
    settings::Level found{file, std::move(*read)};
    if (auto fits = check_address(found); !fits) return std::unexpected(fits.error());
    return found;
}

Result<settings::Levels> read_levels(const VmPlaces& places, const std::optional<DstHost>& to) {
    Complaints complaints;
    settings::Levels levels;
    levels.site = complaints.take(read_settings(places.config_folder + "/site.toml", vm::Level::site));
    const std::string here = host_file(places, places.host);
    levels.host = complaints.take(read_settings(here, vm::Level::host));
    // A command has no name of a host.
    const std::string there = to && to->ssh ? host_file(places, to->name) : "";
    if (there == here) levels.dst_host = levels.host;
    else if (!there.empty()) levels.dst_host = complaints.take(read_settings(there, vm::Level::host));
    if (complaints.any()) return std::unexpected(complaints.error());
    return levels;
}

Result<settings::ResolvedLimits> resolve_levels(const settings::Levels& levels) {
    auto resolved = settings::resolve(levels);
    if (resolved) return std::move(*resolved);
    Complaints complaints;
    for (std::string& problem : resolved.error()) complaints.add({ErrorKind::invalid, std::move(problem), {}});
    return std::unexpected(complaints.error());
}

namespace {

/// A standstill as long as the copying: only where the site has not promised a shorter one for all.
Result<void> allow_non_live(const settings::ResolvedLimits& resolved) {
    const auto bound = std::ranges::find(resolved.outcomes, "max_downtime", &settings::Outcome::key);
    if (bound == resolved.outcomes.end() || bound->locked_by.empty()) return {};
    return fail(ErrorKind::invalid,
                fmt::format("--non-live lets the guest stand for as long as the copying takes, and {} locks "
                            "max_downtime = {}: leave --non-live out, or have the lock taken away",
                            bound->locked_by, bound->value));
}

}  // namespace

Result<void> apply_settings(const VmPlaces& places, Migrate& migrate) {
    SEGUE_TRY(levels, read_levels(places, migrate.to));
    levels.vm = migrate.vm_limits;
    levels.options = migrate.given;
    SEGUE_TRY(resolved, resolve_levels(levels));
    migrate.limits = std::move(resolved);
    const vm::Limits& limits = migrate.limits.values;
    Bounds& bounds = migrate.request.bounds;
    bounds.max_downtime = *limits.max_downtime;
    bounds.timeout = limits.timeout;
    bounds.max_bandwidth = limits.max_bandwidth;
    bounds.switchover_bandwidth = limits.switchover_bandwidth;
    bounds.min_cpu = *limits.min_cpu;
    bounds.max_stall = limits.max_stall;
    migrate.request.aggression = *limits.aggression;
    take_address(limits, migrate);
    if (!migrate.request.non_live) return {};
    if (auto allowed = allow_non_live(migrate.limits); !allowed) return allowed;
    make_non_live(migrate.request);
    return {};
}

}  // namespace segue

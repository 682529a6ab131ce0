#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "settings/settings.hpp"
#include "units/bound_ranges.hpp"
#include "units/share_text.hpp"
#include "units/text.hpp"

namespace segue::settings {
namespace {

using From = Origin::From;
using vm::Limits;

constexpr Duration default_max_downtime = std::chrono::milliseconds{300};
constexpr Share default_min_cpu{0.1};
constexpr double default_aggression = 0.5;

std::string value_text(Duration value) { return to_text(value); }
std::string value_text(ByteRate value) { return to_text(value); }
std::string value_text(Share value) { return to_text(value); }
std::string value_text(double value) { return fmt::format("{}", value); }
std::string value_text(const std::string& value) { return value; }
std::string value_text(const vm::Ports& value) { return vm::ports_text(value); }

/// As the command line calls it.
std::string option_of(std::string_view key) {
    if (key == "data_ports") return "--data-address HOST:PORT";
    std::string name = fmt::format("--{}", key);
    std::ranges::replace(name, '_', '-');
    return name;
}

/// Where a level writes `key`, under its own or under Ganeti's name; nothing where it does not.
std::optional<vm::At> written_at(const Limits& limits, std::string_view key) {
    const auto at = [&](std::string_view name) {
        const auto found = limits.at.find(name);
        return found == limits.at.end() ? std::nullopt : std::optional(found->second);
    };
    if (auto own = at(key)) return own;
    if (key == "max_downtime") return at(vm::ganeti_downtime);
    if (key == "max_bandwidth") return at(vm::ganeti_bandwidth);
    return std::nullopt;
}

/// One level of files while limits are looked for; the nearest first.
struct Tier {
    From from;
    const Level* level;
};

class Resolver {
public:
    explicit Resolver(const Levels& levels) : levels_(levels) {
        if (levels.vm) tiers_.push_back({From::vm, &*levels.vm});
        if (levels.host) tiers_.push_back({From::host, &*levels.host});
        if (levels.site) tiers_.push_back({From::site, &*levels.site});
    }

    std::expected<ResolvedLimits, std::vector<std::string>> run() {
        check_preset_lock();
        check_ganeti_names();
        vm::for_each_limit([&](std::string_view key, auto member) { take(key, member); });
        if (!problems_.empty()) return std::unexpected(std::move(problems_));
        check_timeout();
        if (!problems_.empty()) return std::unexpected(std::move(problems_));
        return std::move(result_);
    }

private:
    [[nodiscard]] std::string lock_of(std::string_view key) const {
        if (!levels_.site) return {};
        const auto lock = levels_.site->content.locks.find(key);
        if (lock == levels_.site->content.locks.end()) return {};
        return fmt::format("{}:{}", levels_.site->file, lock->second.line);
    }

    static std::string place(const Level& level, const vm::At& at) {
        return at.column > 0 ? fmt::format("{}:{}:{}", level.file, at.line, at.column)
                             : fmt::format("{}:{}", level.file, at.line);
    }

    void check_preset_lock() {
        const std::string lock = lock_of("preset");
        if (lock.empty()) return;
        for (const Tier& tier : tiers_) {
            const auto at = written_at(tier.level->content.limits, "preset");
            if (tier.from == From::site || !at) continue;
            problems_.push_back(fmt::format("{}: preset cannot be chosen here, because {} locks it: take it away",
                                            place(*tier.level, *at), lock));
        }
    }

    /// They stand for two limits of that preset, and mean nothing to who has not chosen it.
    void check_ganeti_names() {
        for (std::size_t i = 0; i < tiers_.size(); ++i) {
            const Limits& limits = tiers_[i].level->content.limits;
            std::string_view preset;
            for (std::size_t above = i; above < tiers_.size() && preset.empty(); ++above) {
                preset = tiers_[above].level->content.limits.preset;
            }
            if (preset == "ganeti") continue;
            for (const std::string_view name : {vm::ganeti_downtime, vm::ganeti_bandwidth}) {
                const auto at = limits.at.find(name);
                if (at == limits.at.end()) continue;
                const bool downtime = name == vm::ganeti_downtime;
                problems_.push_back(fmt::format(
                    "{}: {} belongs to preset = \"ganeti\", which is not chosen: write {} = \"{}\"",
                    place(*tiers_[i].level, at->second), name, downtime ? "max_downtime" : "max_bandwidth",
                    downtime ? value_text(limits.max_downtime.value_or(default_max_downtime))
                             : value_text(limits.max_bandwidth.value_or(bound_range::rate_min))));
            }
        }
    }

    template <class T>
    void take(std::string_view key, std::optional<T> Limits::*member) {
        Outcome outcome{std::string(key), "", {}, lock_of(key)};
        std::optional<T>& value = result_.values.*member;
        if (outcome.locked_by.empty()) {
            find(key, member, value, outcome.origin);
        } else {
            find_in({From::site, &*levels_.site}, key, member, value, outcome.origin);
            refuse_below(key, member, outcome.locked_by, value ? fmt::format(" ({} there)", value_text(*value)) : "");
        }
        if (!value) value = built_in(key, member);
        if (value) outcome.value = value_text(*value);
        result_.outcomes.push_back(std::move(outcome));
    }

    /// A lower level that sets what the site locks.
    template <class T>
    void refuse_below(std::string_view key, std::optional<T> Limits::*member, const std::string& lock,
                      const std::string& there) {
        if (levels_.options.*member) {
            problems_.push_back(fmt::format("{} cannot be given, because {} locks {}{}: leave it out", option_of(key),
                                            lock, key, there));
        }
        for (const Tier& tier : tiers_of(key)) {
            if (tier.from == From::site) continue;
            const auto at = written_at(tier.level->content.limits, key);
            if (!at) continue;
            problems_.push_back(fmt::format("{}: {} cannot be set here, because {} locks it{}: take it away",
                                            place(*tier.level, *at), key, lock, there));
        }
    }

    /// Where memory goes is said by the host that takes it.
    [[nodiscard]] std::vector<Tier> tiers_of(std::string_view key) const {
        if (key != "data_address" && key != "data_ports") return tiers_;
        std::vector<Tier> tiers;
        if (levels_.dst_host) tiers.push_back({From::host, &*levels_.dst_host});
        if (levels_.site) tiers.push_back({From::site, &*levels_.site});
        return tiers;
    }

    template <class T>
    void find(std::string_view key, std::optional<T> Limits::*member, std::optional<T>& value, Origin& origin) {
        if (levels_.options.*member) {
            value = levels_.options.*member;
            origin = {From::option, "", 0, option_of(key), ""};
            return;
        }
        for (const Tier& tier : tiers_of(key)) {
            if (find_in(tier, key, member, value, origin)) return;
        }
    }

    template <class T>
    bool find_in(const Tier& tier, std::string_view key, std::optional<T> Limits::*member, std::optional<T>& value,
                 Origin& origin) {
        const Limits& limits = tier.level->content.limits;
        if (limits.*member) {
            value = limits.*member;
            origin = {tier.from, tier.level->file, written_at(limits, key).value_or(vm::At{}).line, "", ""};
            return true;
        }
        if (limits.preset.empty()) return false;
        value = preset_limits(limits.preset).*member;
        if (!value) return false;
        origin = {From::preset, tier.level->file, written_at(limits, "preset").value_or(vm::At{}).line, "",
                  limits.preset};
        return true;
    }

    template <class T>
    [[nodiscard]] std::optional<T> built_in(std::string_view, std::optional<T> Limits::*) const {
        return std::nullopt;
    }
    [[nodiscard]] std::optional<Duration> built_in(std::string_view key, std::optional<Duration> Limits::*) const {
        if (key == "max_downtime") return default_max_downtime;
        if (key != "max_stall") return std::nullopt;
        // max_downtime stands before it, and is known.
        return std::clamp(*result_.values.max_downtime / 2, bound_range::max_stall_min, bound_range::max_stall_max);
    }
    [[nodiscard]] std::optional<Share> built_in(std::string_view, std::optional<Share> Limits::*) const {
        return default_min_cpu;
    }
    [[nodiscard]] std::optional<double> built_in(std::string_view, std::optional<double> Limits::*) const {
        return default_aggression;
    }

    void check_timeout() {
        const Limits& values = result_.values;
        if (!values.timeout || *values.timeout > *values.max_downtime) return;
        const auto from = [&](std::string_view key) {
            return text_of(std::ranges::find(result_.outcomes, key, &Outcome::key)->origin);
        };
        problems_.push_back(fmt::format("timeout {} ({}) is not longer than max_downtime {} ({}): give a longer "
                                        "--timeout, or a shorter --max-downtime", to_text(*values.timeout),
                                        from("timeout"), to_text(*values.max_downtime), from("max_downtime")));
    }

    const Levels& levels_;
    std::vector<Tier> tiers_;
    ResolvedLimits result_;
    std::vector<std::string> problems_;
};

}  // namespace

std::string_view to_string(Origin::From from) noexcept {
    switch (from) {
        case From::option: return "option";
        case From::vm: return "vm";
        case From::host: return "host";
        case From::site: return "site";
        case From::preset: return "preset";
        case From::built_in: return "default";
    }
    return "";
}

std::string text_of(const Origin& origin) {
    switch (origin.from) {
        case From::option: return origin.option;
        case From::preset: return fmt::format("preset {}, {}:{}", origin.preset, origin.file, origin.line);
        case From::vm:
        case From::host:
        case From::site: return fmt::format("{}:{}", origin.file, origin.line);
        case From::built_in: break;
    }
    return "default";
}

std::expected<ResolvedLimits, std::vector<std::string>> resolve(const Levels& levels) { return Resolver(levels).run(); }

}  // namespace segue::settings

#pragma once
/// \file  Which limits hold for one move: the settings of the site, of the host and of the VM and the options of the
///        command line, one above the other (docs/settings.md). Text in, values with their origins out. Pure.
///
/// The nearest level that says something wins, key by key: option, VM, host, site; at each level a key that is
/// written out wins over the preset of that level. Below all of them are the built-in defaults. A key that the site
/// locks keeps the site's value, and a lower level that writes it is an error.
/// Thread: any. Errors: everything that is wrong at once, one sentence each, with file, line and column.

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vm/description.hpp"
#include "vm/limit_reader.hpp"
#include "vm/limits.hpp"

namespace segue::settings {

/// A site.toml or a hosts/NAME.toml.
struct File {
    vm::Limits limits;
    std::map<std::string, vm::At, std::less<>> locks;  ///< Of a site: keys of limits, "preset" among them.
};

/// \pre `level` is site or host.
[[nodiscard]] vm::Parsed<File> parse_settings(std::string_view text, vm::Level level);

/// What a preset sets. \pre `name` is one of vm::preset_names.
[[nodiscard]] vm::Limits preset_limits(std::string_view name);

/// Limits with the file they are from, as messages name it.
struct Level {
    std::string file;
    File content;
};

struct Levels {
    std::optional<Level> site;
    std::optional<Level> host;      ///< Of the host that the guest leaves.
    std::optional<Level> dst_host;  ///< Of the one that takes it: only data_address and data_ports are looked at.
    std::optional<Level> vm;
    vm::Limits options;             ///< What the command line says; `at` is not used.
};

struct Origin {
    enum class From { option, vm, host, site, preset, built_in };
    From from = From::built_in;
    std::string file;    ///< Of vm, host, site, and of the level that names the preset.
    int line = 0;
    std::string option;  ///< "--max-downtime"
    std::string preset;
};
/// Stable words for JSON: option, vm, host, site, preset, default.
[[nodiscard]] std::string_view to_string(Origin::From from) noexcept;
/// "--max-downtime", "/etc/segue/site.toml:3", "preset gentle, /etc/segue/site.toml:1", "default".
[[nodiscard]] std::string text_of(const Origin& origin);

/// What one key came to.
struct Outcome {
    std::string key;
    std::string value;  ///< As a file would say it; empty: not set.
    Origin origin;
    std::string locked_by;  ///< "/etc/segue/site.toml:4"; empty: open.
};

struct ResolvedLimits {
    /// max_downtime, min_cpu, max_stall and aggression are always set. `preset` and `at` are not used.
    vm::Limits values;
    std::vector<Outcome> outcomes;  ///< One a key, in the order of vm::for_each_limit.
};

/// Errors: whole sentences, never none.
[[nodiscard]] std::expected<ResolvedLimits, std::vector<std::string>> resolve(const Levels& levels);

}  // namespace segue::settings

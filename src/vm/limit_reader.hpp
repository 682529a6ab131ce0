#pragma once
/// \file  Reads limits out of a TOML table, for VM files and for settings: one grammar, one set of messages. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "vm/description.hpp"
#include "vm/limits.hpp"
#include "vm/toml_text.hpp"

namespace segue::vm {

/// Whose file it is; not every key may stand in each.
enum class Level { site, host, vm };

/// The keys of limits that may stand there, Ganeti's names last.
[[nodiscard]] std::vector<std::string> limit_keys(Level level);

class LimitReader {
public:
    /// Both are written to, and must outlive it.
    LimitReader(Level level, Limits& into, Problems& problems);
    /// Whether `key` is one of `limit_keys`; what is wrong with it goes to the problems.
    bool take(const toml::key& key, const toml::node& node);
    /// What only the whole shows. `place`: where the table begins.
    void finish(const toml::source_region& place);

private:
    void wrong(const toml::source_region& place, std::string what);
    void take_preset(const toml::node& node);
    void take_aggression(const toml::node& node);
    void take_data_address(const toml::node& node);
    void take_data_ports(const toml::node& node);
    void take_ganeti(std::string_view name, const toml::node& node);
    const std::string* text(std::string_view name, const toml::node& node, std::string_view give);

    Level level_;
    Limits& into_;
    Problems& problems_;
};

}  // namespace segue::vm

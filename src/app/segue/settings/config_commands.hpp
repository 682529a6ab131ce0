#pragma once
/// \file  `segue config explain` and `segue config check`. Each prints and returns the exit status. Reads files only.

#include <string>

#include "app/segue/words/config_words.hpp"
#include "settings/settings.hpp"

namespace segue {

[[nodiscard]] int run_config(const ConfigWords& words);

/// Whose settings they are.
struct SettingsView {
    std::string vm;
    std::string host;
    settings::ResolvedLimits limits;
};
/// A table without a newline at its end; pure.
[[nodiscard]] std::string render_settings(const SettingsView& view);
/// A line of type `settings` of docs/json-output.md; pure.
[[nodiscard]] std::string settings_json(const SettingsView& view);

}  // namespace segue

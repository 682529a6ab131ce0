#pragma once
/// \file  The settings of this host's files (docs/settings.md) over what `segue migrate` was told:
///        $SEGUE_CONFIG/site.toml and hosts/NAME.toml.
///
/// Thread: any; reads files. Errors: `invalid`; the message has a line for everything that is wrong.

#include <string>

#include "app/segue/vm/vm_files.hpp"
#include "app/segue/words/dst_host.hpp"
#include "app/segue/words/migrate_words.hpp"
#include "base/result.hpp"
#include "settings/settings.hpp"

namespace segue {

/// One file; nothing where it is not there.
[[nodiscard]] Result<std::optional<settings::Level>> read_settings(const std::string& file, vm::Level level);

/// Site and host, and the other host where `to` names one. Of web.example.com it is hosts/web.example.com.toml, else
/// hosts/web.toml.
[[nodiscard]] Result<settings::Levels> read_levels(const VmPlaces& places, const std::optional<DstHost>& to);

/// `resolve` with its problems as one Error.
[[nodiscard]] Result<settings::ResolvedLimits> resolve_levels(const settings::Levels& levels);

/// Fills `limits`, and what `request` has of them. After take_named_vm.
[[nodiscard]] Result<void> apply_settings(const VmPlaces& places, Migrate& migrate);

}  // namespace segue

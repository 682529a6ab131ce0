#pragma once
/// \file  Where VMs are described: $SEGUE_CONFIG/vms/NAME.toml, or any FILE.toml, or what a move brought here.
///
/// Thread: any; reads files. Errors: `invalid`; the message has a line for everything that is wrong.

#include <string>
#include <vector>

#include "base/result.hpp"
#include "vm/description.hpp"

namespace segue {

struct VmPlaces {
    std::string config_folder;  ///< /etc/segue
    std::string state_folder;
    std::string host;           ///< This host's name.
};
/// As the environment says.
[[nodiscard]] VmPlaces vm_places();

struct VmDefinition {
    std::string file;
    std::string text;  ///< With lines ended by newlines alone.
    vm::Description description;
};

/// \param word  NAME or FILE.
[[nodiscard]] Result<VmDefinition> find_definition(const VmPlaces& places, const std::string& word);
/// A file of its own; `name`, if given, is what it must describe.
[[nodiscard]] Result<VmDefinition> read_definition(const std::string& file, const std::string& name);
/// Names with a file in the configuration; sorted.
[[nodiscard]] std::vector<std::string> configured_vms(const VmPlaces& places);

}  // namespace segue

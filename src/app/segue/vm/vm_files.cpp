#include "app/segue/vm/vm_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "app/segue/vm/vm_folder.hpp"
#include "app/segue/words/host_name.hpp"
#include "app/segue/words/vm_words.hpp"
#include "store/file/experience_file.hpp"

namespace segue {
namespace {

std::string environment(const char* name, const char* without) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : without;
}

std::string config_path(const VmPlaces& places, const std::string& name) {
    return fmt::format("{}/vms/{}.toml", places.config_folder, name);
}

/// From a host that ends its lines otherwise.
void end_lines_alike(std::string& text) {
    for (auto at = text.find("\r\n"); at != std::string::npos; at = text.find("\r\n", at)) text.erase(at, 1);
}

}  // namespace

VmPlaces vm_places() {
    return {environment("SEGUE_CONFIG", "/etc/segue"), environment("SEGUE_STATE", default_state_folder),
            this_host_name()};
}

Result<VmDefinition> read_definition(const std::string& file, const std::string& name) {
    SEGUE_TRY(text, read_small_file(file));
    if (!text) return fail(ErrorKind::invalid, fmt::format("{} is not there: give the path of a description", file));
    end_lines_alike(*text);
    auto description = vm::parse_description(*text);
    if (!description) return fail(ErrorKind::invalid, vm::render(description.error(), file));
    if (!name.empty() && description->name != name) {
        return fail(ErrorKind::invalid, fmt::format("{}: its name is \"{}\", and the file is looked for as {}: make "
                                                    "them alike", file, description->name, name));
    }
    return VmDefinition{file, std::move(*text), std::move(*description)};
}

Result<VmDefinition> find_definition(const VmPlaces& places, const std::string& word) {
    if (is_vm_file_word(word)) return read_definition(word, "");
    const std::string configured = config_path(places, word);
    std::error_code problem;
    if (std::filesystem::exists(configured, problem)) return read_definition(configured, word);
    // The newer one first: of a move that is not known to have ended.
    for (const char* file : {"/arriving.toml", "/vm.toml"}) {
        const std::string brought = vm_folder(places.state_folder, word) + file;
        if (std::filesystem::exists(brought, problem)) return read_definition(brought, word);
    }
    return fail(ErrorKind::invalid, fmt::format("no VM \"{}\" is known on this host: describe it in {} "
                                                "(docs/vm-file.md), or give the path of its file", word, configured));
}

std::vector<std::string> configured_vms(const VmPlaces& places) {
    std::vector<std::string> names;
    std::error_code problem;
    for (std::filesystem::directory_iterator at(places.config_folder + "/vms", problem), end; !problem && at != end;
         at.increment(problem)) {
        const std::string name = at->path().stem().string();
        if (at->path().extension() == ".toml" && vm::is_vm_name(name)) names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
}

}  // namespace segue

#include "app/segue/vm/vm_source.hpp"

#include <fmt/format.h>

#include <utility>

#include "app/segue/vm/vm_folder.hpp"
#include "vm/command_line.hpp"

namespace segue {
namespace {

Result<void> check_here(const VmRecord& vm) {
    const auto conflict = [](std::string message) { return fail(ErrorKind::conflict, std::move(message)); };
    if (!vm.exists) {
        return fail(ErrorKind::invalid, fmt::format("no VM \"{}\" is known on this host: segue vm list shows them; a "
                                                    "guest that somebody else started is qmp:PATH", vm.name));
    }
    if (vm.arriving) {
        return conflict(fmt::format("{} is on its way here from {}, and that it arrived is not known: segue vm list, "
                                    "and segue recover on {}", vm.name, vm.arriving->from, vm.arriving->from));
    }
    if (vm_runs(vm)) return {};
    if (vm.moved) {
        return conflict(fmt::format("{} was moved to {} on {} (job {}) and runs there: move it from there", vm.name,
                                    vm.moved->host, vm.moved->at, vm.moved->job));
    }
    return conflict(fmt::format("{} does not run here: segue vm start {} starts it", vm.name, vm.name));
}

}  // namespace

Result<void> take_named_vm(const VmPlaces& places, Migrate& migrate) {
    const std::string& name = migrate.vm_name;
    SEGUE_TRY(vm, load_vm(places.state_folder, name));
    if (auto here = check_here(vm); !here) return here;
    SEGUE_TRY(definition, read_definition(vm.folder + "/vm.toml", name));
    const vm::Monitors monitors = vm::monitors_in(vm.folder);
    migrate.src_qmp = monitors.control;
    if (!migrate.src_guard_qmp) migrate.src_guard_qmp = monitors.guard;
    migrate.definition = receive::VmText{std::move(definition.text), vm.uuid};
    if (definition.description.shared_storage) migrate.request.storage_is_shared = true;
    migrate.vm_limits = settings::Level{definition.file, {std::move(definition.description.limits), {}}};
    return {};
}

}  // namespace segue

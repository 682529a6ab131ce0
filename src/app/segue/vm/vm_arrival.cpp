#include "app/segue/vm/vm_arrival.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "app/segue/words/host_name.hpp"
#include "receive/limits.hpp"
#include "store/sqlite/owner_process.hpp"
#include "vm/command_line.hpp"

namespace segue {
namespace {

static_assert(receive::description_bytes_max == vm::description_bytes_max);

std::string on_one_line(std::string text) {
    for (auto at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) text.replace(at, 1, "; ");
    return text;
}

void take_away(const std::string& folder, bool fresh) {
    remove_vm_remains(folder);
    std::vector<const char*> files = {"arriving.toml", "arriving.log"};
    if (fresh) files.insert(files.end(), {"vm.toml", "uuid", "qemu.log"});
    for (const char* file : files) remove_vm_file(folder, file);
    // Last: what is found half done is taken away again.
    remove_vm_file(folder, "arriving.json");
    if (fresh) ::rmdir(folder.c_str());
}

/// What is in the way of a VM of that name and uuid.
Result<void> check_free(const VmRecord& vm, const std::string& uuid) {
    const std::string host = this_host_name();
    if (vm_runs(vm)) {
        return fail(ErrorKind::conflict, fmt::format("a VM named {} runs on {} already (process {}): end it there, or "
                                                     "rename one of them", vm.name, host, vm.process->pid));
    }
    if (!vm.uuid.empty() && vm.uuid != uuid) {
        return fail(ErrorKind::conflict,
                    fmt::format("{} knows another VM by the name {}, with uuid {}: rename one of them, or take {} away "
                                "there if that VM is gone for good", host, vm.name, vm.uuid, vm.folder));
    }
    return {};
}

}  // namespace

Result<VmArrival> VmArrival::begin(const std::string& state_folder, const std::string& move, const std::string& from,
                                   const receive::VmText& vm) {
    const auto description = vm::parse_description(vm.description);
    if (!description) {
        return fail(ErrorKind::invalid, "the description cannot be read on the destination: " +
                                            on_one_line(vm::render(description.error(), "vm.toml")));
    }
    if (!vm::is_uuid(vm.uuid)) return fail(ErrorKind::invalid, "the description came without a valid uuid");
    const std::string& name = description->name;
    const std::string folder = vm_folder(state_folder, name);
    if (auto fits = vm::check_folder(folder); !fits) return std::unexpected(fits.error());
    SEGUE_TRY(lock, VmLock::take(state_folder, name));
    SEGUE_TRY(there, load_vm(state_folder, name));
    if (auto is_free = check_free(there, vm.uuid); !is_free) return std::unexpected(is_free.error());
    const auto command = vm::command_line(*description, {this_host_name(), folder, vm.uuid, true});
    if (!command) {
        return fail(ErrorKind::invalid, "the description cannot be used on the destination: " +
                                            on_one_line(vm::render(command.error(), "vm.toml")));
    }
    bool fresh = !there.exists;
    if (there.arriving) {
        // Of a session that died; its QEMU is gone.
        fresh = there.arriving->fresh;
        take_away(folder, fresh);
    }
    if (auto made = make_vm_folder(folder); !made) return std::unexpected(made.error());
    VmArrival arrival(std::move(lock), name, folder, fresh);
    auto written = write_vm_arriving(folder, {move, from, utc_text(stamp_now().wall), fresh});
    if (written) written = write_vm_file(folder, "arriving.toml", vm.description);
    if (written && there.uuid.empty()) written = write_vm_file(folder, "uuid", vm.uuid + "\n");
    if (!written) {
        arrival.abandon();
        return std::unexpected(written.error());
    }
    arrival.command_ = command->words;
    arrival.environment_ = command->environment;
    return arrival;
}

std::optional<VmArrival> VmArrival::find(const std::string& state_folder, const std::string& move) {
    for (const std::string& name : vm_names(state_folder)) {
        const auto vm = load_vm(state_folder, name);
        if (!vm || !vm->arriving || vm->arriving->move != move) continue;
        auto lock = VmLock::take(state_folder, name);
        if (!lock) return std::nullopt;
        return VmArrival(std::move(*lock), name, vm->folder, vm->arriving->fresh);
    }
    return std::nullopt;
}

Result<void> VmArrival::know_process(pid_t pid) {
    return write_vm_process(folder_, process_of(pid));
}

void VmArrival::arrived() {
    if (std::exchange(arrived_, true)) return;
    std::rename((folder_ + "/arriving.toml").c_str(), (folder_ + "/vm.toml").c_str());
    std::rename((folder_ + "/arriving.log").c_str(), (folder_ + "/qemu.log").c_str());
    remove_vm_file(folder_, "moved.json");
    remove_vm_file(folder_, "arriving.json");
    lock_.release();
}

void VmArrival::abandon() {
    if (arrived_) return;
    take_away(folder_, fresh_);
    lock_.release();
}

}  // namespace segue

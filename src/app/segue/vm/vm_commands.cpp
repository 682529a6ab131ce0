#include "app/segue/vm/vm_commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "app/segue/vm/vm_files.hpp"
#include "app/segue/vm/vm_run.hpp"
#include "app/segue/vm/vm_view.hpp"
#include "app/segue/words/plain_text.hpp"
#include "migration/request.hpp"

namespace segue {
namespace {

void say(std::FILE* where, const std::string& text) {
    std::fputs((text + "\n").c_str(), where);
    std::fflush(where);
}

/// A line for each that is wrong; exit status 1 where something was tried, else 2.
int complain(const Error& error) {
    const std::string text = to_string(error);
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        say(stderr, "segue: " + plain_text(text.substr(begin, end - begin)));
        begin = end + 1;
    }
    return exit_status(outcome_unknown(error.kind) ? Outcome::failed : Outcome::refused);
}

int start(const VmPlaces& places, const VmWords& words) {
    auto definition = find_definition(places, words.what[0]);
    if (!definition) return complain(definition.error());
    const auto started = start_vm(places, *definition, words.forget_move);
    if (!started) return complain(started.error());
    say(stdout, fmt::format("{} runs: process {}, uuid {}", definition->description.name, started->pid, started->uuid));
    return 0;
}

int stop(const VmPlaces& places, const VmWords& words) {
    const auto stopped = stop_vm(places, words.what[0], words.now, words.wait);
    if (!stopped) return complain(stopped.error());
    say(stdout, words.what[0] + " is stopped");
    return 0;
}

Result<VmView> see(const VmPlaces& places, const std::string& name) {
    SEGUE_TRY(record, load_vm(places.state_folder, name));
    bool held = false;
    if (record.arriving) held = !VmLock::take(places.state_folder, name).has_value();
    return view_of(record, vm_runs(record), held);
}

int list(const VmPlaces& places, const VmWords& words) {
    std::vector<std::string> names = vm_names(places.state_folder);
    for (std::string& name : configured_vms(places)) names.push_back(std::move(name));
    std::ranges::sort(names);
    const auto repeated = std::ranges::unique(names);
    names.erase(repeated.begin(), repeated.end());
    std::vector<VmView> vms;
    int status = 0;
    for (const std::string& name : names) {
        auto vm = see(places, name);
        if (vm) vms.push_back(std::move(*vm));
        else status = complain(vm.error());
    }
    if (words.json) say(stdout, vm_list_json(vms));
    else if (vms.empty() && status == 0) say(stderr, "segue: no VM is known on this host: segue vm start FILE.toml");
    else say(stdout, render_vm_list(vms));
    return status;
}

int show(const VmPlaces& places, const VmWords& words) {
    auto definition = find_definition(places, words.what[0]);
    if (!definition) return complain(definition.error());
    const vm::Description& description = definition->description;
    auto view = see(places, description.name);
    if (!view) return complain(view.error());
    if (view->uuid.empty()) view->uuid = description.uuid;
    const std::string folder = vm_folder(places.state_folder, description.name);
    if (auto fits = vm::check_folder(folder); !fits) return complain(fits.error());
    const std::string uuid = view->uuid.empty() ? "(drawn at the first start)" : view->uuid;
    auto command = vm::command_line(description, {places.host, folder, uuid, false});
    if (!command) return complain({ErrorKind::invalid, vm::render(command.error(), definition->file), {}});
    const VmDetails details{std::move(*view), definition->file, folder, description.shared_storage, description.limits,
                            std::move(*command)};
    say(stdout, words.json ? vm_json(details) : render_vm(details));
    return 0;
}

/// Of one file, for this host too.
Result<std::string> check_one(const VmPlaces& places, const std::string& word) {
    SEGUE_TRY(definition, find_definition(places, word));
    const vm::Description& description = definition.description;
    const std::string folder = vm_folder(places.state_folder, description.name);
    if (auto fits = vm::check_folder(folder); !fits) return std::unexpected(fits.error());
    const auto command = vm::command_line(description, {places.host, folder, description.uuid, false});
    if (!command) return fail(ErrorKind::invalid, vm::render(command.error(), definition.file));
    return fmt::format("{}: {} can be started on {}", definition.file, description.name, places.host);
}

int check(const VmPlaces& places, const VmWords& words) {
    int status = 0;
    for (const std::string& word : words.what) {
        const auto checked = check_one(places, word);
        if (checked) say(stdout, plain_text(*checked));
        else status = complain(checked.error());
    }
    return status;
}

}  // namespace

int run_vm(const VmWords& words) {
    const VmPlaces places = vm_places();
    switch (words.verb) {
        case VmWords::Verb::start: return start(places, words);
        case VmWords::Verb::stop: return stop(places, words);
        case VmWords::Verb::list: return list(places, words);
        case VmWords::Verb::show: return show(places, words);
        case VmWords::Verb::check: return check(places, words);
    }
    return exit_status(Outcome::refused);
}

}  // namespace segue

#include "app/segue/settings/config_commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "app/segue/settings/settings_files.hpp"
#include "app/segue/vm/vm_files.hpp"
#include "app/segue/vm/vm_folder.hpp"
#include "app/segue/words/plain_text.hpp"
#include "vm/command_line.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

constexpr int nothing_wrong = 0;
constexpr int something_wrong = 2;

void say(std::FILE* where, const std::string& text) {
    std::fputs((text + "\n").c_str(), where);
    std::fflush(where);
}

/// What is wrong, a sentence each, in the order in which it was found and none twice: a level of all is read often.
class Wrongs {
public:
    void add(const Error& error) {
        const std::string text = to_string(error);
        for (std::size_t begin = 0; begin <= text.size();) {
            const std::size_t end = std::min(text.find('\n', begin), text.size());
            std::string line = text.substr(begin, end - begin);
            if (told_.insert(line).second) lines_.push_back(std::move(line));
            begin = end + 1;
        }
    }
    [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

private:
    std::set<std::string> told_;
    std::vector<std::string> lines_;
};

int complain(const Wrongs& wrongs) {
    for (const std::string& line : wrongs.lines()) say(stderr, "segue: " + plain_text(line));
    return something_wrong;
}

/// As segue migrate reads it: of a VM that was started here the description it was started from.
Result<std::optional<settings::Level>> limits_of_vm(const VmPlaces& places, const std::string& word) {
    if (word.starts_with("qmp:")) return std::nullopt;
    auto definition = find_definition(places, word);
    if (vm::is_vm_name(word)) {
        SEGUE_TRY(record, load_vm(places.state_folder, word));
        if (record.text && vm_runs(record)) definition = read_definition(record.folder + "/vm.toml", word);
    }
    if (!definition) return std::unexpected(definition.error());
    return settings::Level{definition->file, {std::move(definition->description.limits), {}}};
}

int explain(const VmPlaces& places, const ConfigWords& words) {
    Wrongs wrongs;
    auto levels = read_levels(places, words.to);
    if (!levels) wrongs.add(levels.error());
    auto vm_limits = limits_of_vm(places, words.vm);
    if (!vm_limits) wrongs.add(vm_limits.error());
    if (!wrongs.lines().empty()) return complain(wrongs);
    levels->vm = std::move(*vm_limits);
    auto resolved = resolve_levels(*levels);
    if (!resolved) {
        wrongs.add(resolved.error());
        return complain(wrongs);
    }
    const SettingsView view{words.vm, places.host, std::move(*resolved)};
    say(stdout, words.json ? settings_json(view) : plain_text_lines(render_settings(view)));
    return nothing_wrong;
}

/// "*.toml" of a folder, sorted; none where there is no such folder.
std::vector<std::string> toml_files(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code problem;
    for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
        if (at->path().extension() == ".toml") files.push_back(at->path().string());
    }
    std::ranges::sort(files);
    return files;
}

/// A file that nobody reads was meant to be read.
void check_places(const VmPlaces& places, Wrongs& wrongs) {
    for (const std::string& file : toml_files(places.config_folder)) {
        if (fs::path(file).filename() == "site.toml") continue;
        wrongs.add({ErrorKind::invalid, fmt::format("{}: nobody reads it: the site's settings are in site.toml, a "
                                                    "host's in hosts/NAME.toml, a VM in vms/NAME.toml", file), {}});
    }
}

void check_vm(const VmPlaces& places, const std::string& file, settings::Levels levels, Wrongs& wrongs) {
    const auto definition = read_definition(file, fs::path(file).stem().string());
    if (!definition) return wrongs.add(definition.error());
    const std::string folder = vm_folder(places.state_folder, definition->description.name);
    const auto command = vm::command_line(definition->description, {places.host, folder, "", false});
    if (!command) wrongs.add({ErrorKind::invalid, vm::render(command.error(), file), {}});
    levels.vm = settings::Level{file, {definition->description.limits, {}}};
    if (auto resolved = resolve_levels(levels); !resolved) wrongs.add(resolved.error());
}

int check(const VmPlaces& places) {
    Wrongs wrongs;
    check_places(places, wrongs);
    settings::Levels levels;
    std::size_t files = 0;
    if (auto site = read_settings(places.config_folder + "/site.toml", vm::Level::site); !site) {
        wrongs.add(site.error());
    } else if (*site) {
        levels.site = std::move(*site);
        ++files;
    }
    for (const std::string& file : toml_files(places.config_folder + "/hosts")) {
        ++files;
        const auto host = read_settings(file, vm::Level::host);
        settings::Levels of_host = levels;
        if (!host) wrongs.add(host.error());
        else of_host.host = of_host.dst_host = *host;
        if (auto resolved = resolve_levels(of_host); !resolved) wrongs.add(resolved.error());
    }
    // What is wrong with this host's own is told above; a VM's problem must not hide behind it.
    if (auto here = read_levels(places, std::nullopt)) levels = std::move(*here);
    if (auto resolved = resolve_levels(levels); !resolved) wrongs.add(resolved.error());
    for (const std::string& file : toml_files(places.config_folder + "/vms")) {
        ++files;
        check_vm(places, file, levels, wrongs);
    }
    if (!wrongs.lines().empty()) return complain(wrongs);
    say(stdout, plain_text(files == 0 ? fmt::format("no settings in {}: the defaults hold", places.config_folder)
                                      : fmt::format("{}: {} files, nothing is wrong", places.config_folder, files)));
    return nothing_wrong;
}

}  // namespace

int run_config(const ConfigWords& words) {
    const VmPlaces places = vm_places();
    switch (words.verb) {
        case ConfigWords::Verb::explain: return explain(places, words);
        case ConfigWords::Verb::check: return check(places);
    }
    return something_wrong;
}

}  // namespace segue

#include "app/segue/cli/completion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "app/segue/cli/cli.hpp"
#include "app/segue/cli/cli_migrate.hpp"
#include "app/segue/cli/cli_vm.hpp"
#include "app/segue/cli/help_text.hpp"
#include "app/segue/vm/vm_folder.hpp"
#include "app/segue/words/plain_text.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

/// The options of a command; of vm and config those of its verb.
Words options_of(const std::string& command, const std::string& verb) {
    if (command == "migrate") return migrate_options();
    if (command == "plan") {  // It is a dry run and a forecast.
        Words options = migrate_options();
        static constexpr std::string_view of_moves[] = {"--dry-run", "--no-forecast", "--non-live"};
        std::erase_if(options, [](const auto& one) { return std::ranges::find(of_moves, one) != std::end(of_moves); });
        return options;
    }
    if (command == "vm") {
        Words options = vm_options(verb);
        options.emplace_back("--help");
        return options;
    }
    if (command == "config") return verb == "explain" ? Words{"--to", "--json", "--help"} : Words{"--help"};
    if (command == "doctor") return {"--host", "--json", "--help"};
    if (command == "recover") return {"--fenced", "--confirm", "--json", "--verbose", "--help"};
    if (command == "status") return {"--json", "--follow", "--help"};
    if (command == "cancel") return {"--json", "--help"};
    if (command == "history") return {"--last", "--json", "--help"};
    if (command == "explain") return {"--at", "--json", "--help"};
    if (command == "replay") return {"--policy", "--json", "--help"};
    if (command == "receive") return {"--stdio", "--help"};
    return {"--help", "--version"};
}

bool is_path_option(std::string_view option) { return option.ends_with("-qmp"); }

/// What may follow an option that takes a value; the example where nothing better is known.
Words values_of(const std::string& command, const std::string& option, const CompletionSources& sources) {
    Words values;
    if (option == "--to" || option == "--host") {
        for (const std::string& host : sources.hosts) values.push_back("ssh://" + host);
        values.insert(values.end(), {"ssh://", "cmd:"});
    } else if (option == "--fenced" || option == "--data-address") {
        values = sources.hosts;
    } else if (option == "--confirm") {
        values = sources.vms;
    } else if (option == "--wait") {
        values = {"2min"};
    } else if (option == "--last") {
        values = {"50"};
    } else if (option == "--policy") {
        values = {"converge", "patient"};
        if (command == "replay") values.emplace_back("auto-converge");
    } else if (option == "--brake") {
        values = {"cgroup", "auto-converge", "none"};
    } else if (!is_path_option(option)) {
        const std::string_view hint = value_hint(option);
        const std::string example = fmt::format("for example {} ", option);
        const auto at = hint.find(example);
        if (at != std::string_view::npos) values.emplace_back(hint.substr(at + example.size()));
    }
    return values;
}

bool takes_value(const std::string& option) {
    static constexpr std::string_view flags[] = {
        "--dry-run", "--no-forecast", "--storage-is-shared", "--unsafe", "--json",    "--verbose",       "--help",
        "--follow",  "--now",         "--forget-move",       "--stdio",  "--version", "--auto-converge",
        "--non-live"};
    return option.starts_with("--") && option.find('=') == std::string::npos &&
           std::ranges::find(flags, option) == std::end(flags);
}

Words positional(const Words& words, const CompletionSources& sources) {
    const std::string& command = words[0];
    if (command == "help") return words.size() == 2 ? command_words() : Words{};
    if (command == "migrate" || command == "plan") {
        Words vms = sources.vms;
        vms.emplace_back("qmp:");
        return vms;
    }
    if (command == "recover" || command == "status" || command == "cancel") return sources.jobs;
    if (command == "vm") return words.size() == 2 ? vm_verbs() : words[1] == "list" ? Words{} : sources.vms;
    if (command == "config") {
        if (words.size() == 2) return {"explain", "check"};
        return words[1] == "explain" ? sources.vms : Words{};
    }
    return {};
}

/// Names of hosts with settings.
Words configured_hosts(const VmPlaces& places) {
    Words hosts;
    std::error_code problem;
    for (std::filesystem::directory_iterator at(places.config_folder + "/hosts", problem), end; !problem && at != end;
         at.increment(problem)) {
        if (at->path().extension() == ".toml") hosts.push_back(at->path().stem().string());
    }
    return hosts;
}

Words open_jobs(const VmPlaces& places) {
    Words jobs;
    const auto journal = open_journal_read_only(journal_path(places.state_folder));
    if (!journal) return jobs;
    const auto moves = (*journal)->unfinished();
    if (!moves) return jobs;
    for (const MoveRecord& move : *moves) jobs.push_back(fmt::format("{}", static_cast<std::int64_t>(move.job)));
    return jobs;
}

}  // namespace

Words complete(const Words& words, const CompletionSources& sources) {
    if (words.empty()) return {};
    const std::string& now = words.back();
    Words known;
    if (words.size() == 1) {
        known = now.starts_with("-") ? options_of("", "") : command_words();
    } else if (takes_value(words[words.size() - 2])) {
        known = values_of(words[0], words[words.size() - 2], sources);
    } else if (now.starts_with("-")) {
        known = options_of(words[0], words.size() > 2 ? words[1] : "");
    } else {
        known = positional(words, sources);
    }
    std::erase_if(known, [&](const std::string& word) { return !word.starts_with(now); });
    std::ranges::sort(known);
    const auto repeated = std::ranges::unique(known);
    known.erase(repeated.begin(), repeated.end());
    return known;
}

int run_completion(int argc, const char* const* argv) {
    const VmPlaces places = vm_places();
    CompletionSources sources{configured_vms(places), configured_hosts(places), open_jobs(places)};
    for (std::string& name : vm_names(places.state_folder)) sources.vms.push_back(std::move(name));
    const Words words(argv + std::min(argc, 2), argv + argc);
    for (const std::string& word : complete(words, sources)) std::puts(plain_text(word).c_str());
    return 0;
}

}  // namespace segue

#include "app/segue/cli/cli.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/segue/cli/cli_config.hpp"
#include "app/segue/cli/cli_explain.hpp"
#include "app/segue/cli/cli_jobs.hpp"
#include "app/segue/cli/cli_migrate.hpp"
#include "app/segue/cli/cli_receive.hpp"
#include "app/segue/cli/cli_recover.hpp"
#include "app/segue/cli/cli_vm.hpp"
#include "app/segue/words/plain_text.hpp"
#include "base/nearest_word.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

std::unexpected<Error> unknown_command(const std::string& command) {
    const std::string shown = plain_text(command);
    if (command.starts_with("-")) {
        return wrong(
            fmt::format("{} stands before the command: write segue migrate VM first, options after it", shown));
    }
    if (command.starts_with("qmp:")) {
        return wrong(fmt::format("\"{}\" is not a command: did you mean segue migrate {}?", shown, shown));
    }
    const Words commands = command_words(), verbs = vm_verbs();
    if (std::ranges::find(verbs, command) != verbs.end()) {
        return wrong(fmt::format("\"{0}\" is not a command: did you mean segue vm {0}?", shown));
    }
    const std::string_view near = nearest_word(command, commands);
    if (!near.empty()) return wrong(fmt::format("\"{}\" is not a command: did you mean segue {}?", shown, near));
    const Words all_but_last(commands.begin(), commands.end() - 1);
    return wrong(fmt::format("\"{}\" is not a command: segue knows {} and {}", shown, fmt::join(all_but_last, ", "),
                             commands.back()));
}

Result<Invocation> parse_command(const std::string& command, const Words& arguments) {
    if (command == "migrate" || command == "plan") return parse_migrate(arguments, command == "plan");
    if (command == "recover") return parse_recover(arguments);
    if (command == "receive") return parse_receive(arguments);
    if (is_jobs_command(command)) return parse_jobs_command(command, arguments);
    if (command == "vm") return parse_vm(arguments);
    if (command == "explain" || command == "replay") return parse_explain(command, arguments);
    if (command == "config") return parse_config(arguments);
    if (command == "doctor") return parse_doctor(arguments);
    if (command == "--version" || command == "-V" || command == "version") return Version{};
    if (command == "--help" || command == "-h" || command == "help") {
        const std::string about = arguments.empty() ? "" : arguments[0];
        const Words commands = command_words();
        const bool known = about.starts_with("-") || std::ranges::find(commands, about) != commands.end();
        if (!about.empty() && !known) return unknown_command(about);
        return Help{std::string(help_about(about))};
    }
    return unknown_command(command);
}

}  // namespace

Result<Invocation> parse_command_line(int argc, const char* const* argv) {
    const Words words(argv + std::min(argc, 1), argv + argc);
    if (words.empty()) {
        return wrong("no command is given: segue migrate moves a guest, segue --help shows how");
    }
    return parse_command(words[0], Words(words.begin() + 1, words.end()));
}

bool asks_for_json(int argc, const char* const* argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--") return false;
        if (word == "--json") return true;
    }
    return false;
}

}  // namespace segue

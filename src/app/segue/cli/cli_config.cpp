#include "app/segue/cli/cli_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/segue/words/plain_text.hpp"
#include "base/nearest_word.hpp"
#include "vm/description.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

/// The words of one command, options taken apart.
struct Taken {
    Words what;
    std::optional<std::string> host;
    bool json = false;
};

struct Known {
    std::string_view command;      ///< "config explain"
    std::string_view host_option;  ///< "--to"; empty: it takes none.
    bool json = false;
};

Result<void> unknown_option(const Known& known, const std::string& name) {
    Words options;
    if (!known.host_option.empty()) options.emplace_back(known.host_option);
    if (known.json) options.emplace_back("--json");
    const std::string_view near = nearest_word(name, options);
    if (!near.empty()) return wrong(fmt::format("{} is not an option: did you mean {}?", plain_text(name), near));
    return wrong(fmt::format("{} is not an option of segue {}: see segue {} --help", plain_text(name), known.command,
                             known.command.substr(0, known.command.find(' '))));
}

Result<Taken> take_words(const Known& known, const Words& words) {
    Taken taken;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (!word.starts_with("-")) {
            taken.what.push_back(word);
            continue;
        }
        const std::string name = word.substr(0, word.find('='));
        if (name == "--json" && known.json) {
            if (word != name) return wrong("--json takes no value: leave it out");
            taken.json = true;
            continue;
        }
        if (known.host_option.empty() || name != known.host_option) {
            auto refused = unknown_option(known, name);
            return std::unexpected(refused.error());
        }
        if (taken.host) return wrong(fmt::format("{} is given twice: give it once", name));
        const bool joined = word != name;
        const bool has_next = i + 1 < words.size() && !words[i + 1].starts_with("-");
        taken.host = joined ? word.substr(name.size() + 1) : has_next ? words[++i] : "";
        if (taken.host->empty()) {
            return wrong(fmt::format("{} has no value: give ssh://USER@HOST, or cmd:COMMAND that reaches segue receive "
                                     "--stdio", name));
        }
    }
    return taken;
}

bool asks_for_help(const Words& words) {
    return std::ranges::any_of(words, [](const std::string& word) { return word == "--help" || word == "-h"; });
}

Result<void> check_vm(const std::string& word) {
    if (word.starts_with("qmp:") || is_vm_file_word(word) || vm::is_vm_name(word)) return {};
    return wrong(fmt::format("\"{}\" is no VM: give its NAME, its FILE.toml, or qmp:PATH", plain_text(word)));
}

Result<std::optional<DstHost>> host_of(const Taken& taken) {
    if (!taken.host) return std::nullopt;
    SEGUE_TRY(host, parse_dst_host(*taken.host));
    return host;
}

Result<Invocation> parse_explain(const Words& arguments) {
    SEGUE_TRY(taken, take_words({"config explain", "--to", true}, arguments));
    if (taken.what.empty()) {
        return wrong("no VM is given: write segue config explain NAME, or FILE.toml, or qmp:PATH");
    }
    if (taken.what.size() > 1) {
        return wrong(fmt::format("\"{}\" is one word too many: segue config explain takes one VM",
                                 plain_text(taken.what[1])));
    }
    if (auto fits = check_vm(taken.what[0]); !fits) return std::unexpected(fits.error());
    SEGUE_TRY(host, host_of(taken));
    return ConfigWords{ConfigWords::Verb::explain, taken.what[0], host, taken.json};
}

}  // namespace

Result<Invocation> parse_config(const Words& arguments) {
    if (asks_for_help(arguments)) return Help{std::string(config_help_text)};
    if (arguments.empty()) return wrong("segue config needs a word: explain or check (segue config --help)");
    const Words rest(arguments.begin() + 1, arguments.end());
    if (arguments[0] == "explain") return parse_explain(rest);
    if (arguments[0] == "check") {
        SEGUE_TRY(taken, take_words({"config check", "", false}, rest));
        if (taken.what.empty()) return ConfigWords{};
        return wrong(fmt::format("segue config check takes no word, and \"{}\" is one: it checks every file; segue vm "
                                 "check FILE.toml checks one VM's", plain_text(taken.what[0])));
    }
    const Words verbs = {"explain", "check"};
    const std::string_view near = nearest_word(arguments[0], verbs);
    const std::string hint =
        near.empty() ? "it knows explain and check" : fmt::format("did you mean segue config {}?", near);
    return wrong(fmt::format("segue config does not know \"{}\": {}", plain_text(arguments[0]), hint));
}

Result<Invocation> parse_doctor(const Words& arguments) {
    if (asks_for_help(arguments)) return Help{std::string(doctor_help_text)};
    SEGUE_TRY(taken, take_words({"doctor", "--host", true}, arguments));
    if (!taken.what.empty()) {
        return wrong(fmt::format("segue doctor takes no word, and \"{}\" is one: write --host ssh://USER@HOST for "
                                 "another host", plain_text(taken.what[0])));
    }
    SEGUE_TRY(host, host_of(taken));
    return DoctorWords{host, taken.json};
}

}  // namespace segue

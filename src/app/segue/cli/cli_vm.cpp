#include "app/segue/cli/cli_vm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "app/segue/words/plain_text.hpp"
#include "base/nearest_word.hpp"
#include "units/text.hpp"
#include "vm/description.hpp"

namespace segue {
namespace {

using Verb = VmWords::Verb;

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

struct VerbWord {
    std::string_view word;
    Verb verb;
};
constexpr std::array verbs{VerbWord{"start", Verb::start}, VerbWord{"stop", Verb::stop}, VerbWord{"list", Verb::list},
                           VerbWord{"show", Verb::show}, VerbWord{"check", Verb::check}};

std::vector<std::string> verb_words() {
    std::vector<std::string> words;
    for (const VerbWord& known : verbs) words.emplace_back(known.word);
    return words;
}

/// The options that each verb takes.
std::vector<std::string> options_of(Verb verb) {
    switch (verb) {
        case Verb::start: return {"--forget-move"};
        case Verb::stop: return {"--now", "--wait"};
        case Verb::list:
        case Verb::show: return {"--json"};
        case Verb::check: break;
    }
    return {};
}

Result<void> take_wait(const std::string& text, VmWords& words) {
    constexpr std::string_view give = "give 1 s to 1 h, for example --wait 2min";
    const auto value = parse_duration(text);
    if (!value) return wrong(fmt::format("--wait: {} ({})", value.error().message, give));
    if (*value < std::chrono::seconds{1} || *value > std::chrono::hours{1}) {
        return wrong(fmt::format("--wait {} is out of range: {}", to_text(*value), give));
    }
    words.wait = *value;
    return {};
}

Result<void> unknown_option(std::string_view verb, const std::string& word, const std::vector<std::string>& known) {
    const std::string_view near = nearest_word(word, known);
    if (!near.empty()) return wrong(fmt::format("{} is not an option: did you mean {}?", plain_text(word), near));
    return wrong(fmt::format("{} is not an option of segue vm {}: see segue vm --help", plain_text(word), verb));
}

Result<void> take_options(std::string_view verb, const std::vector<std::string>& arguments, VmWords& words) {
    const std::vector<std::string> known = options_of(words.verb);
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (!word.starts_with("-")) {
            words.what.push_back(word);
            continue;
        }
        const std::string name = word.substr(0, word.find('='));
        if (std::ranges::find(known, name) == known.end()) return unknown_option(verb, name, known);
        if (name == "--wait") {
            std::string value = word.size() > name.size() ? word.substr(name.size() + 1) : "";
            if (word == name && i + 1 < arguments.size()) value = arguments[++i];
            if (auto taken = take_wait(value, words); !taken) return taken;
            continue;
        }
        if (word != name) return wrong(fmt::format("{} takes no value: leave it out", name));
        if (name == "--forget-move") words.forget_move = true;
        if (name == "--now") words.now = true;
        if (name == "--json") words.json = true;
    }
    return {};
}

Result<void> check_what(std::string_view verb, const VmWords& words) {
    if (words.verb == Verb::list) {
        if (words.what.empty()) return {};
        return wrong(fmt::format("segue vm list takes no name: segue vm show {} shows one", plain_text(words.what[0])));
    }
    const bool file_taken = words.verb != Verb::stop;
    if (words.what.empty()) {
        return wrong(fmt::format("no VM is given: write segue vm {} {}", verb,
                                 words.verb == Verb::check ? "FILE.toml" : file_taken ? "NAME, or FILE.toml" : "NAME"));
    }
    if (words.what.size() > 1 && words.verb != Verb::check) {
        return wrong(fmt::format("\"{}\" is one word too many: segue vm {} takes one VM", plain_text(words.what[1]),
                                 verb));
    }
    for (const std::string& word : words.what) {
        const bool file = is_vm_file_word(word);
        if (file && !file_taken) {
            return wrong(fmt::format("segue vm {} takes the VM's name, not its file: segue vm list shows the names",
                                     verb));
        }
        if (!file && !vm::is_vm_name(word)) {
            return wrong(fmt::format("\"{}\" is no name of a VM: take letters, digits, - _ and ., at most {} of them",
                                     plain_text(word), vm::name_bytes_max));
        }
    }
    return {};
}

}  // namespace

std::vector<std::string> vm_verbs() { return verb_words(); }

std::vector<std::string> vm_options(std::string_view verb) {
    const auto found = std::ranges::find(verbs, verb, &VerbWord::word);
    return found == verbs.end() ? std::vector<std::string>{} : options_of(found->verb);
}

Result<Invocation> parse_vm(const std::vector<std::string>& arguments) {
    const auto asks_for_help = [](const std::string& word) { return word == "--help" || word == "-h"; };
    if (std::ranges::any_of(arguments, asks_for_help)) return Help{std::string(vm_help_text)};
    const std::string known = fmt::format("{}", fmt::join(verb_words(), ", "));
    if (arguments.empty()) return wrong(fmt::format("segue vm needs a word: {} (segue vm --help)", known));
    const std::string& verb = arguments[0];
    const auto found = std::ranges::find(verbs, verb, &VerbWord::word);
    if (found == verbs.end()) {
        const auto words = verb_words();
        const std::string_view near = nearest_word(verb, words);
        if (!near.empty()) {
            return wrong(fmt::format("segue vm does not know \"{}\": did you mean segue vm {}?", plain_text(verb),
                                     near));
        }
        return wrong(fmt::format("segue vm does not know \"{}\": it knows {}", plain_text(verb), known));
    }
    VmWords words;
    words.verb = found->verb;
    if (auto taken = take_options(verb, arguments, words); !taken) return std::unexpected(taken.error());
    if (auto fits = check_what(verb, words); !fits) return std::unexpected(fits.error());
    return words;
}

}  // namespace segue

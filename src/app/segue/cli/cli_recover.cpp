#include "app/segue/cli/cli_recover.hpp"

#include <fmt/format.h>

#include <charconv>

#include "app/segue/words/plain_text.hpp"
#include "base/nearest_word.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

Result<std::int64_t> parse_job(const std::string& word) {
    std::int64_t job = 0;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), job);
    if (problem == std::errc() && end == word.data() + word.size() && job > 0) return job;
    return wrong(fmt::format("JOB \"{}\" is no number of a move: give the one that segue told, for example segue "
                             "recover 42, or none for the only unfinished move", plain_text(word)));
}

/// The value of the option at `at`, which is moved onto it where it stands apart.
Result<std::string> value_of(const Words& words, std::size_t& at, std::string_view name, std::string_view hint) {
    const std::string& word = words[at];
    std::string value;
    if (word.size() > name.size()) {
        value = word.substr(name.size() + 1);
    } else if (at + 1 < words.size() && !words[at + 1].starts_with("-")) {
        value = words[++at];
    }
    if (value.empty()) return wrong(fmt::format("{} has no value: give {}", name, hint));
    return value;
}

bool is_option(const std::string& word, std::string_view name) {
    return word == name || (word.starts_with(name) && word[name.size()] == '=');
}

std::unexpected<Error> unknown_word(const std::string& word) {
    static const Words known = {"--fenced", "--confirm", "--json", "--verbose", "--help"};
    const std::string_view near = nearest_word(word, known);
    if (!near.empty()) {
        return wrong(fmt::format("{} is not an option: did you mean {}?", plain_text(word), near));
    }
    return wrong(fmt::format("{} is not an option of segue recover: see segue recover --help", plain_text(word)));
}

Result<void> take_text(const Words& words, std::size_t& at, std::string_view name, std::string_view hint,
                       std::optional<std::string>& into) {
    if (into) return wrong(fmt::format("{} is given twice: give it once", name));
    SEGUE_TRY(value, value_of(words, at, name, hint));
    into = value;
    return {};
}

}  // namespace

Result<Invocation> parse_recover(const Words& arguments) {
    Recover recover;
    for (std::size_t at = 0; at < arguments.size(); ++at) {
        const std::string& word = arguments[at];
        if (word == "--help" || word == "-h") return Help{std::string(recover_help_text)};
        Result<void> taken{};
        if (word == "--json") {
            recover.output.json = true;
        } else if (word == "--verbose" || word == "-v") {
            recover.output.verbose = true;
        } else if (is_option(word, "--fenced")) {
            taken = take_text(arguments, at, "--fenced", "the destination's host, as the message names it",
                              recover.fenced);
        } else if (is_option(word, "--confirm")) {
            taken = take_text(arguments, at, "--confirm", "the guest as the move named it, for example qmp:/run/a.qmp",
                              recover.confirm);
        } else if (word.starts_with("-")) {
            return unknown_word(word);
        } else if (recover.job) {
            return wrong(fmt::format("\"{}\" is one word too many: segue recover takes one JOB", plain_text(word)));
        } else {
            SEGUE_TRY(job, parse_job(word));
            recover.job = job;
        }
        if (!taken) return std::unexpected(taken.error());
    }
    if (recover.fenced && !recover.confirm) {
        return wrong("--fenced needs --confirm VM beside it: the source's copy of that guest will run");
    }
    if (recover.confirm && !recover.fenced) {
        return wrong("--confirm belongs to --fenced HOST: without that there is nothing to confirm");
    }
    return recover;
}

}  // namespace segue

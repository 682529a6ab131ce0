#include "app/segue/cli/cli_explain.hpp"

#include <fmt/format.h>

#include <charconv>

#include "app/segue/words/plain_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

struct ExplainWords {
    std::optional<std::string> job, at, policy;
    bool json = false;
    bool help = false;
};

/// Puts the value of `option` in place; whether the word was that option.
Result<bool> take_value(std::string_view option, const std::vector<std::string>& words, std::size_t& i,
                        std::optional<std::string>& into) {
    const std::string& word = words[i];
    const bool joined = word.starts_with(std::string(option) + "=");
    if (word != option && !joined) return false;
    if (into) return wrong(fmt::format("{} is given twice: give it once", option));
    if (joined) {
        into = word.substr(option.size() + 1);
    } else if (i + 1 < words.size()) {
        into = words[++i];
    }
    if (!into || into->empty()) return wrong(fmt::format("{} has no value", option));
    return true;
}

Result<ExplainWords> read_words(std::string_view command, const std::vector<std::string>& arguments) {
    ExplainWords words;
    const bool explain = command == "explain";
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (word == "--help" || word == "-h") {
            words.help = true;
            return words;
        }
        SEGUE_TRY(taken, explain ? take_value("--at", arguments, i, words.at)
                                 : take_value("--policy", arguments, i, words.policy));
        if (taken) continue;
        if (word == "--json") {
            words.json = true;
        } else if (word.starts_with("-")) {
            return wrong(fmt::format("{} is not an option of segue {}: see segue {} --help", plain_text(word), command,
                                     command));
        } else if (words.job) {
            return wrong(fmt::format("\"{}\" is one word too many: segue {} takes one job", plain_text(word), command));
        } else {
            words.job = word;
        }
    }
    return words;
}

Result<std::int64_t> parse_job(std::string_view command, const std::optional<std::string>& text) {
    if (!text) {
        return wrong(fmt::format("no job is given: segue history shows their numbers, as in segue {} 42", command));
    }
    std::int64_t value = 0;
    const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (problem == std::errc() && end == text->data() + text->size() && value >= 1) return value;
    return wrong(fmt::format("\"{}\" is no job: give the number of a move, as in segue {} 42", plain_text(*text),
                             command));
}

}  // namespace

Result<Invocation> parse_explain(std::string_view command, const std::vector<std::string>& arguments) {
    SEGUE_TRY(words, read_words(command, arguments));
    const bool explain = command == "explain";
    if (words.help) return Help{std::string(explain ? explain_help_text : replay_help_text)};
    SEGUE_TRY(job, parse_job(command, words.job));
    if (!explain) {
        const std::string policy = words.policy.value_or("");
        if (!policy.empty() && policy != "converge" && policy != "patient" && policy != "auto-converge") {
            return wrong(fmt::format("--policy \"{}\" cannot be replayed: give converge, patient or auto-converge",
                                     plain_text(policy)));
        }
        return ReplayJob{job, policy, words.json};
    }
    ExplainJob out{job, std::nullopt, words.json};
    if (words.at) {
        auto at = parse_duration(*words.at);
        if (!at) {
            return wrong(fmt::format("--at: {} (give a time of the move, for example --at 12.4s)", at.error().message));
        }
        out.at = *at;
    }
    return out;
}

}  // namespace segue

#include "app/segue/cli/cli_jobs.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

constexpr std::string_view history_help =
    R"(segue history: the moves that this host took part in, the newest last.

  segue history [--last N] [--json]

  --last N                how many; default 20, at most 10000
  --json                  one JSON object a move, with every step of it

SIDE says which end of the move this host was. Times are UTC. A move that says
"unfinished" lost its segue: segue recover JOB brings it to its end.
The journal is in $SEGUE_STATE, else in /var/lib/segue; nothing is changed.

Exit    0 shown, also when there is none   2 the journal cannot be read
)";

constexpr std::string_view status_help =
    R"(segue status: what is under way on this host.

  segue status [--json]       every move that has not ended, one line each
  segue status JOB [--json]   one move, with the last steps of its journal
  segue status JOB --follow   one line a second until it has ended

JOB is the number of a move, as segue history and segue status show it. The
numbers come from the running segue itself. While the guest stands for the
switch it answers nobody; the journal's last step is shown then.

Exit    0 shown, also when nothing is under way
        2 no such job, or the journal cannot be read
)";

constexpr std::string_view cancel_help =
    R"(segue cancel: end a move and keep the guest on its source.

  segue cancel JOB [--json]

Asks the running segue, which undoes what it did, and waits until it has ended
(at most 30 s). Then says where the guest runs. JOB: see segue status.

Exit    0 cancelled: the guest runs on the source
        1 too late, or the running segue cannot be reached, or it is still at it
        2 no such job, or its segue is gone: segue recover JOB

Example
  segue cancel 42
)";

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

std::optional<std::int64_t> whole_number(std::string_view text, std::int64_t max) {
    std::int64_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size() || value < 1 || value > max) return std::nullopt;
    return value;
}

struct JobsWords {
    std::optional<std::string> job, last;
    bool json = false;
    bool follow = false;
    bool help = false;
};

Result<JobsWords> read_words(std::string_view command, const std::vector<std::string>& arguments) {
    JobsWords words;
    const bool takes_job = command != "history";
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (word == "--help" || word == "-h") {
            words.help = true;
        } else if (word == "--json") {
            words.json = true;
        } else if (word == "--follow" && command == "status") {
            words.follow = true;
        } else if (!takes_job && (word == "--last" || word.starts_with("--last="))) {
            if (words.last) return wrong("--last is given twice: give it once");
            const bool joined = word != "--last";
            if (!joined && i + 1 == arguments.size()) {
                return wrong("--last has no value: give 1 to 10000, for example --last 50");
            }
            words.last = joined ? word.substr(std::string_view("--last=").size()) : arguments[++i];
        } else if (word.starts_with("-") && word.size() > 1) {
            return wrong(fmt::format("{} is not an option of segue {}: see segue {} --help", plain_text(word), command,
                                     command));
        } else if (!takes_job) {
            return wrong(fmt::format("\"{}\" is not known to segue {}: see segue {} --help", plain_text(word), command,
                                     command));
        } else if (words.job) {
            return wrong(fmt::format("\"{}\" is one word too many: segue {} takes one JOB, here \"{}\"",
                                     plain_text(word), command, plain_text(*words.job)));
        } else {
            words.job = word;
        }
    }
    return words;
}

Result<std::optional<JobId>> parse_job(const std::optional<std::string>& word) {
    if (!word) return std::nullopt;
    const auto number = whole_number(*word, std::numeric_limits<std::int64_t>::max());
    if (!number) {
        return wrong(fmt::format("JOB \"{}\" is no number of a move: segue status and segue history show them",
                                 plain_text(*word)));
    }
    return JobId{*number};
}

}  // namespace

bool is_jobs_command(std::string_view command) {
    return command == "history" || command == "status" || command == "cancel";
}

std::string_view jobs_help_text(std::string_view command) {
    if (command == "history") return history_help;
    return command == "status" ? status_help : cancel_help;
}

Result<Invocation> parse_jobs_command(std::string_view command, const std::vector<std::string>& arguments) {
    SEGUE_TRY(words, read_words(command, arguments));
    if (words.help) return Help{std::string(jobs_help_text(command))};
    SEGUE_TRY(job, parse_job(words.job));
    if (command == "status") {
        if (words.follow && !job) return wrong("--follow needs a JOB: segue status shows which there are");
        return JobsCommand{ShowStatus{job, words.json, words.follow}};
    }
    if (command == "cancel") {
        if (!job) return wrong("no JOB is given: segue cancel JOB, and segue status shows which there are");
        return JobsCommand{CancelJob{*job, words.json}};
    }
    ShowHistory history{jobs::history_default, words.json};
    if (words.last) {
        const auto last = whole_number(*words.last, journal::moves_kept);
        if (!last) {
            return wrong(fmt::format("--last \"{}\" is out of range: give 1 to 10000, for example --last 50",
                                     plain_text(*words.last)));
        }
        history.last = static_cast<std::size_t>(*last);
    }
    return JobsCommand{history};
}

}  // namespace segue

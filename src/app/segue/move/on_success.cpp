#include "app/segue/move/on_success.hpp"

#include <fmt/format.h>

#include <utility>

#include "app/segue/process/command_run.hpp"
#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

constexpr std::size_t said_bytes_max = 300;

/// The end of what it wrote, on one line.
std::string said_last(const CommandEnd& end) {
    std::string text = end.notes.empty() ? end.output : end.notes;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (text.size() > said_bytes_max) text = "..." + text.substr(text.size() - said_bytes_max);
    return plain_text(text);
}

}  // namespace

Result<void> run_on_success(const OnSuccess& what, Duration longest) {
    const auto ended = run_command({"env", fmt::format("SEGUE_JOB={}", what.job), "SEGUE_VM=" + what.vm,
                                    fmt::format("SEGUE_SRC_PID={}", what.src_pid), "SEGUE_SRC_QMP=" + what.src_qmp,
                                    "SEGUE_DST_HOST=" + what.dst_host, "/bin/sh", "-c", what.command},
                                   longest);
    if (!ended && ended.error().kind == ErrorKind::timed_out) {
        return fail(ErrorKind::timed_out, fmt::format("it was not done within {} s and was killed",
                                                      longest / std::chrono::seconds{1}));
    }
    if (!ended) return std::unexpected(ended.error());
    if (ended->status == 0) return {};
    return fail(ErrorKind::refused, fmt::format("it ended with status {}", ended->status), said_last(*ended));
}

}  // namespace segue

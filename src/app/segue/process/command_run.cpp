#include "app/segue/process/command_run.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "app/segue/process/child.hpp"
#include "app/segue/words/plain_text.hpp"
#include "io/loop.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr std::size_t kept_bytes_max = 64 * 1024;
/// A killed process ends at once, but for one that hangs in the kernel: that is left behind.
constexpr int killed_wait_ms = 1000;

/// All that is there now. An end of file closes it.
void take_some(Fd& from, std::string& into) {
    std::array<char, 4096> bytes;
    while (from) {
        const ssize_t got = ::read(from.get(), bytes.data(), bytes.size());
        if (got == 0) from = Fd();
        if (got <= 0) return;
        into.append(bytes.data(), static_cast<std::size_t>(got));
        if (into.size() > kept_bytes_max) into.resize(kept_bytes_max);
    }
}

bool wait_for(const Child& child, int longest_ms) {
    std::array<pollfd, 3> entries{pollfd{child.process.get(), POLLIN, 0}, pollfd{child.output.get(), POLLIN, 0},
                                  pollfd{child.notes.get(), POLLIN, 0}};
    static_cast<void>(::poll(entries.data(), entries.size(), longest_ms));
    return entries[0].revents != 0;
}

}  // namespace

Result<CommandEnd> run_command(const std::vector<std::string>& command, Duration longest) {
    SEGUE_TRY(child, start_child(command));
    child.input = Fd();
    CommandEnd end;
    const Instant until = now_on_this_host() + longest;
    bool dead = false;
    while (!dead && now_on_this_host() < until) {
        dead = wait_for(child, static_cast<int>((until - now_on_this_host()) / std::chrono::milliseconds{1}) + 1);
        take_some(child.output, end.output);
        take_some(child.notes, end.notes);
    }
    if (!dead) {
        ::kill(-child.pid, SIGKILL);
        pollfd death{child.process.get(), POLLIN, 0};
        if (::poll(&death, 1, killed_wait_ms) > 0) ::waitpid(child.pid, nullptr, 0);
        return fail(ErrorKind::timed_out, fmt::format("{} was not done within {} and was killed",
                                                      plain_text(command.front()), to_text(longest)));
    }
    int status = 0;
    ::waitpid(child.pid, &status, 0);
    end.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return end;
}

}  // namespace segue

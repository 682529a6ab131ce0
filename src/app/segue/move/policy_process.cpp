#include "app/segue/move/policy_process.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "app/segue/words/dst_host.hpp"
#include "app/segue/words/plain_text.hpp"
#include "base/assert.hpp"
#include "io/loop.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

using namespace policy_process_limits;

constexpr std::string_view scheme = "exec:";
/// What a pipe can hold: read once the process is dead or given up.
constexpr int last_reads_max = 16;

std::unexpected<Error> wrong(std::string_view why) {
    return fail(ErrorKind::invalid,
                fmt::format("--policy {} {}: write for example --policy 'exec:./my-policy --fast'", scheme, why));
}

/// Never less than what is left, or the wait would be busy at its end.
int poll_ms(Duration left) {
    return static_cast<int>((left + std::chrono::milliseconds{1} - Duration{1}) / std::chrono::milliseconds{1});
}

std::string end_text(int status) {
    if (WIFEXITED(status)) return fmt::format("ended with status {}", WEXITSTATUS(status));
    return fmt::format("was ended by signal {}", WTERMSIG(status));
}

bool is_dead(const Child& child, Duration wait = {}) {
    pollfd entry{child.process.get(), POLLIN, 0};
    return ::poll(&entry, 1, poll_ms(wait)) > 0;
}

/// Also what it has started: that is in its session. Its status; 0 where the kernel cannot end it in time.
int kill_and_reap(const Child& child) {
    ::kill(-child.pid, SIGKILL);  // Not reaped yet, so that the number cannot be another's.
    int status = 0;
    if (is_dead(child, default_answer_wait)) ::waitpid(child.pid, &status, WNOHANG);
    return status;
}

}  // namespace

Result<std::vector<std::string>> parse_policy_command(std::string_view text) {
    SEGUE_ASSERT(text.starts_with(scheme));
    SEGUE_TRY(words, split_words("--policy", text.substr(scheme.size())));
    if (words.empty() || words.front().empty()) return wrong("names no program");
    if (words.front().starts_with("-")) return wrong("begins with a dash");
    return std::move(words);
}

Result<std::unique_ptr<PolicyProcess>> PolicyProcess::start(const std::vector<std::string>& command,
                                                            std::unique_ptr<Policy> fallback, Callbacks callbacks,
                                                            Duration answer_wait) {
    SEGUE_ASSERT(fallback && callbacks.on_trouble && callbacks.on_note);
    SEGUE_TRY(child, start_child(command));
    return std::unique_ptr<PolicyProcess>(
        new PolicyProcess(std::move(child), std::move(fallback), std::move(callbacks), answer_wait));
}

PolicyProcess::PolicyProcess(Child child, std::unique_ptr<Policy> fallback, Callbacks callbacks, Duration answer_wait)
    : child_(std::move(child)),
      fallback_(std::move(fallback)),
      callbacks_(std::move(callbacks)),
      answer_wait_(answer_wait) {}

PolicyProcess::~PolicyProcess() {
    if (child_) kill_and_reap(*child_);
}

// ---- Deciding --------------------------------------------------------------------------------------

Decision PolicyProcess::decide(const View& view) {
    // Also when it is not needed: a policy learns from every view, and must be ready to take over.
    Decision own = fallback_->decide(view);
    if (child_) {
        if (auto answer = ask(view)) return within_range(std::move(*answer), view);
    }
    if (!own.because.empty()) own.because = fmt::format("{} instead of exec: {}", fallback_->name(), own.because);
    return own;
}

std::optional<Decision> PolicyProcess::ask(const View& view) {
    const Instant deadline = now_on_this_host() + answer_wait_;
    const int troubles_before = troubles_;
    if (!outbox_.empty()) trouble("does not read what it is told");
    else outbox_ = external::encode(++number_, view);
    while (child_ && troubles_ == troubles_before) {
        write_some();
        const bool dead = is_dead(*child_);  // Asked before it is read: what it said last still counts.
        read_notes();
        if (auto answer = read_answers()) return answer;
        if (!child_ || troubles_ > troubles_before) break;
        if (dead) {
            end({});
            break;
        }
        const Duration left = deadline - now_on_this_host();
        if (left <= Duration{0} && !child_->output) end("closed its output");
        else if (left <= Duration{0}) trouble("has not answered within " + to_text(answer_wait_));
        else wait(left);
    }
    return std::nullopt;
}

void PolicyProcess::wait(Duration at_most) const {
    std::array<pollfd, 4> entries{pollfd{child_->output.get(), POLLIN, 0}, pollfd{child_->notes.get(), POLLIN, 0},
                                  pollfd{child_->process.get(), POLLIN, 0},
                                  pollfd{outbox_.empty() ? -1 : child_->input.get(), POLLOUT, 0}};
    static_cast<void>(::poll(entries.data(), entries.size(), poll_ms(at_most)));
}

void PolicyProcess::write_some() {
    while (!outbox_.empty()) {
        const ssize_t written = write_quietly(child_->input.get(), outbox_);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN) return;
        if (written < 0) return outbox_.clear();  // It closed its input, or is dead: no answer will come.
        outbox_.erase(0, static_cast<std::size_t>(written));
    }
}

/// One read a call, so that a process that never stops talking is left at the deadline.
std::optional<Decision> PolicyProcess::read_answers() {
    std::array<char, 64 * 1024> buffer;
    const ssize_t got = child_->output ? ::read(child_->output.get(), buffer.data(), buffer.size()) : -1;
    if (got == 0) child_->output.reset();  // Mostly its end, which says more and is about to be seen.
    if (got <= 0) return std::nullopt;
    for (auto& answer : reader_.feed(std::span(buffer.data(), static_cast<std::size_t>(got)))) {
        if (answer && answer->view < number_) continue;  // Too late, which has been complained of.
        if (answer && answer->view == number_) {
            troubles_in_a_row_ = 0;
            return std::move(answer->decision);
        }
        trouble(answer ? "answered a view that it was not told" : "sent " + answer.error().message);
        return std::nullopt;
    }
    return std::nullopt;
}

/// What goes beyond the brake's range is brought back into it here, where it can be told from what the policy meant.
Decision PolicyProcess::within_range(Decision decision, const View& view) {
    if (view.allowed && std::holds_alternative<AllowSwitchover>(decision.action)) decision.action = CarryOn{};
    SEGUE_ASSERT(!view.brake.shares.empty());
    const Share floor{view.brake.shares.front()};
    if (!decision.share || *decision.share >= floor) return decision;
    if (!std::exchange(range_told_, true)) {
        callbacks_.on_trouble(fmt::format("the policy's process asked for {:.3g} % of the CPU where {:.3g} % is the "
                                          "least: {:.3g} % it is", decision.share->ratio * 100, floor.ratio * 100,
                                          floor.ratio * 100));
    }
    decision.share = floor;
    return decision;
}

// ---- Its standard error ----------------------------------------------------------------------------

void PolicyProcess::read_notes() {
    std::array<char, 4096> buffer;
    const ssize_t got = child_->notes ? ::read(child_->notes.get(), buffer.data(), buffer.size()) : -1;
    if (got == 0) child_->notes.reset();  // Or the wait for more would be busy.
    for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)))) {
        if (c == '\n') tell_note();
        else if (note_.size() < note_bytes_max) note_ += c;
    }
}

void PolicyProcess::tell_note() {
    const std::string line = plain_text(std::exchange(note_, {}));
    if (line.empty() || notes_told_ > notes_max) return;
    const bool last = notes_told_++ == notes_max;
    callbacks_.on_note(last ? "says too much; the rest is left out" : line);
}

// ---- Troubles --------------------------------------------------------------------------------------

void PolicyProcess::trouble(const std::string& what) {
    ++troubles_;
    if (++troubles_in_a_row_ >= troubles_in_a_row_max) return end(what + ", for the third time in a row");
    if (troubles_ >= troubles_max) return end(what + ", its tenth trouble");
    callbacks_.on_trouble(fmt::format("the policy's process {}: {} decides this time", what, fallback_->name()));
}

void PolicyProcess::end(std::optional<std::string> what) {
    for (int i = 0; i < last_reads_max && child_->notes; ++i) read_notes();
    tell_note();
    const int status = kill_and_reap(*child_);
    child_.reset();
    callbacks_.on_trouble(fmt::format("the policy's process {}: {} decides from now on",
                                      what ? *what : end_text(status), fallback_->name()));
}

}  // namespace segue

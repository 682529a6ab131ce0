#include "app/segue/destination/transport.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "app/segue/process/child.hpp"
#include "app/segue/words/plain_text.hpp"
#include "base/assert.hpp"
#include "io/fd.hpp"

namespace segue {
namespace {

constexpr std::size_t read_bytes = 64 * 1024;
/// What a pipe can hold, and some more: read without the loop once the child is dead.
constexpr int last_reads_max = 32;

/// Somebody has to, or it stays as a zombie for as long as this process lives.
void reap_when_dead(Loop& loop, Fd process, pid_t pid) {
    struct Orphan {
        Fd process;
        Loop::WatchId watch{};
    };
    const auto orphan = std::make_shared<Orphan>(Orphan{std::move(process)});
    orphan->watch = loop.watch_readable(orphan->process.get(), [&loop, orphan, pid] {
        ::waitpid(pid, nullptr, WNOHANG);
        loop.unwatch(orphan->watch);
    });
}

}  // namespace

struct Transport::Impl : std::enable_shared_from_this<Transport::Impl> {
    Impl(Loop& l, Callbacks c) : loop(l), callbacks(std::move(c)) {}

    Loop& loop;
    Callbacks callbacks;
    Fd input;  ///< The child's.
    Fd output;
    Fd notes;
    Fd process;
    pid_t pid = 0;
    bool ended = false;  ///< Nothing is told any more.
    std::optional<Loop::WatchId> input_watch, output_watch, notes_watch, process_watch;
    std::optional<Loop::TimerId> exit_timer;
    std::string outbox;
    std::string note;  ///< The line that has begun.
    std::string last_note;
    int notes_told = 0;

    Result<void> spawn(const std::vector<std::string>& command);
    void listen();
    void unwatch(std::optional<Loop::WatchId>& watch) {
        if (watch) loop.unwatch(*std::exchange(watch, std::nullopt));
    }
    void let_go();
    void end(TransportEnd how);

    void on_output();
    void on_notes();
    void on_exit();
    ssize_t read_output();
    ssize_t read_notes();
    void take_notes(std::string_view bytes);
    void tell_note();
    void end_soon(const std::string& why);

    void send(std::string_view bytes);
    void write_some();
};

Result<void> Transport::Impl::spawn(const std::vector<std::string>& command) {
    SEGUE_TRY(child, start_child(command));
    pid = child.pid;
    process = std::move(child.process);
    input = std::move(child.input);
    output = std::move(child.output);
    notes = std::move(child.notes);
    return {};
}

void Transport::Impl::listen() {
    output_watch = loop.watch_readable(output.get(), [this] { on_output(); });
    notes_watch = loop.watch_readable(notes.get(), [this] { on_notes(); });
    process_watch = loop.watch_readable(process.get(), [this] { on_exit(); });
}

void Transport::Impl::let_go() {
    ended = true;
    for (auto* watch : {&input_watch, &output_watch, &notes_watch, &process_watch}) unwatch(*watch);
    if (exit_timer) loop.cancel(*std::exchange(exit_timer, std::nullopt));
    for (Fd* fd : {&input, &output, &notes}) fd->reset();
    outbox.clear();
    if (process) reap_when_dead(loop, std::move(process), pid);
}

void Transport::Impl::end(TransportEnd how) {
    if (ended) return;
    how.last_note = last_note;
    let_go();
    callbacks.on_end(how);
}

// ---- From the child --------------------------------------------------------------------------------
// A callee may destroy the Transport: `self` keeps what is running here.

ssize_t Transport::Impl::read_output() {
    std::array<char, read_bytes> buffer;
    const ssize_t got = ::read(output.get(), buffer.data(), buffer.size());
    const int error_number = errno;
    if (got > 0) callbacks.on_bytes({buffer.data(), static_cast<std::size_t>(got)});
    errno = error_number;
    return got;
}

ssize_t Transport::Impl::read_notes() {
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(notes.get(), buffer.data(), buffer.size());
    const int error_number = errno;
    if (got > 0) take_notes({buffer.data(), static_cast<std::size_t>(got)});
    errno = error_number;
    return got;
}

void Transport::Impl::on_output() {
    const auto self = shared_from_this();
    const ssize_t got = read_output();
    if (ended || got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
    unwatch(output_watch);
    output.reset();
    end_soon("closed its output");
}

void Transport::Impl::on_notes() {
    const auto self = shared_from_this();
    const ssize_t got = read_notes();
    if (ended || got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
    unwatch(notes_watch);
    notes.reset();
}

void Transport::Impl::take_notes(std::string_view bytes) {
    for (const char c : bytes) {
        if (c == '\n') tell_note();
        else if (note.size() < transport_limits::note_bytes_max) note += c;
        if (ended) return;
    }
}

void Transport::Impl::tell_note() {
    std::string line = std::exchange(note, {});
    while (line.ends_with('\r') || line.ends_with(' ')) line.pop_back();
    if (line.empty()) return;
    last_note = plain_text(line);
    if (notes_told > transport_limits::notes_max) return;
    const bool last = notes_told++ == transport_limits::notes_max;
    callbacks.on_note(last ? "says too much; the rest is left out" : last_note);
}

/// Its status says why, if it comes at once.
void Transport::Impl::end_soon(const std::string& why) {
    if (exit_timer || ended) return;
    exit_timer = loop.at(loop.now() + transport_limits::exit_wait, [this, why] {
        const auto self = shared_from_this();
        exit_timer.reset();
        end({why, std::nullopt, {}});
    });
}

void Transport::Impl::on_exit() {
    const auto self = shared_from_this();
    int status = 0;
    unwatch(process_watch);
    ::waitpid(pid, &status, WNOHANG);
    process.reset();
    // It may have left a child of its own that holds the other ends, so their end is not waited for.
    for (int i = 0; i < last_reads_max && !ended && notes && read_notes() > 0; ++i) {}
    if (!ended) tell_note();
    for (int i = 0; i < last_reads_max && !ended && output && read_output() > 0; ++i) {}
    if (WIFEXITED(status)) {
        end({fmt::format("ended with status {}", WEXITSTATUS(status)), WEXITSTATUS(status), {}});
    } else {
        end({fmt::format("was ended by signal {}", WTERMSIG(status)), std::nullopt, {}});
    }
}

// ---- To the child ----------------------------------------------------------------------------------

void Transport::Impl::send(std::string_view bytes) {
    if (ended || !input) return;
    outbox.append(bytes);
    write_some();
    if (outbox.size() <= transport_limits::unread_bytes_max) return;
    input.reset();
    outbox.clear();
    loop.post([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->end({"reads nothing", std::nullopt, {}});
    });
}

void Transport::Impl::write_some() {
    while (!outbox.empty()) {
        const ssize_t written = write_quietly(input.get(), outbox);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN) break;
        if (written < 0) {
            unwatch(input_watch);
            input.reset();
            outbox.clear();
            return end_soon("closed its input");
        }
        outbox.erase(0, static_cast<std::size_t>(written));
    }
    if (outbox.empty()) unwatch(input_watch);
    else if (!input_watch) input_watch = loop.watch_writable(input.get(), [this] { write_some(); });
}

// ---- The face --------------------------------------------------------------------------------------

Result<std::unique_ptr<Transport>> Transport::start(Loop& loop, const std::vector<std::string>& command,
                                                    Callbacks callbacks) {
    SEGUE_ASSERT(!command.empty());
    auto impl = std::make_shared<Impl>(loop, std::move(callbacks));
    if (auto spawned = impl->spawn(command); !spawned) return std::unexpected(std::move(spawned).error());
    impl->listen();
    return std::unique_ptr<Transport>(new Transport(std::move(impl)));
}

Transport::Transport(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Transport::~Transport() {
    if (!impl_->ended) impl_->let_go();
}

void Transport::send(std::string_view bytes) { impl_->send(bytes); }

void Transport::terminate() {
    // Not reaped yet, so that the number cannot be another's.
    if (impl_->process) ::kill(-impl_->pid, SIGTERM);
}

}  // namespace segue

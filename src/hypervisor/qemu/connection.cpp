#include "hypervisor/qemu/connection.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "base/assert.hpp"
#include "base/limits.hpp"
#include "hypervisor/qemu/outbox.hpp"
#include "units/text.hpp"

namespace segue::qemu {
namespace {

/// QEMU listens with a backlog of 1: while others wait at the monitor, a connect is refused with EAGAIN.
constexpr Duration connect_retry = std::chrono::milliseconds{5};

/// Longer deadlines are cut to this, so that no sum with the clock can overflow.
constexpr Duration timeout_max = std::chrono::hours{24 * 365};

std::string errno_text(int number) { return std::strerror(number); }

}  // namespace

// Whatever the loop calls holds a weak_ptr to this, so that neither a timer nor a watch outlives the
// Connection. A callback of the owner may destroy the Connection: `abandoned` is looked at after each.
struct Connection::Impl : std::enable_shared_from_this<Impl> {
    enum class State { connecting, greeting, negotiating, ready, gone };

    /// A command from execute() until QEMU's reply, even when its deadline has passed: QEMU still has it
    /// in its queue, and it still takes up one of the places there.
    struct Command {
        std::string name;
        std::string line;
        Fd passed;
        bool carries_fd = false;
        bool out_of_band = false;
        bool sent = false;
        Loop::TimerId deadline{};
        OnReply on_reply;  ///< Empty once answered.
    };

    Impl(Loop& loop_in, std::string path_in, std::string side_in, Duration greeting_timeout_in,
         Callbacks callbacks_in)
        : loop(loop_in), path(std::move(path_in)), side(std::move(side_in)),
          greeting_timeout(std::clamp(greeting_timeout_in, Duration{0}, timeout_max)),
          callbacks(std::move(callbacks_in)) {}

    Loop& loop;
    const std::string path;
    const std::string side;
    const Duration greeting_timeout;
    Callbacks callbacks;

    State state = State::connecting;
    bool abandoned = false;
    Fd socket;
    pid_t peer = 0;
    Greeting greeting;
    MessageReader reader;
    Outbox outbox;
    std::optional<Loop::WatchId> read_watch, write_watch;
    std::optional<Loop::TimerId> greeting_deadline, retry;
    std::optional<Error> loss;  ///< Why the connection is, or is about to be, gone.

    std::uint64_t last_id = 0;
    std::map<std::uint64_t, Command> commands;
    std::deque<std::uint64_t> waiting;  ///< Not sent yet, in order.
    std::size_t in_band_sent = 0;
    bool fd_sent = false;

    void start();
    void try_connect();
    void connected();
    void greeting_missed();
    void greeted(Greeting received);
    void negotiated(const Result<boost::json::value>& result);

    void submit(std::string_view name, const boost::json::object& arguments, Fd passed, bool carries_fd,
                bool out_of_band, Duration timeout, OnReply on_reply);
    void send(Command& command);
    void send_waiting();
    void flush();
    void deadline_passed(std::uint64_t id);
    void answer_later(OnReply on_reply, Error error);

    void readable();
    bool read_some();
    void take(std::span<const char> bytes, Instant arrived_at);
    void take(Message& message, Instant arrived_at);
    void replied(Reply& reply);

    void lose_later(Error error);
    void lose(Error error);
    void close() noexcept;

    [[nodiscard]] bool over() const { return abandoned || state == State::gone; }
    [[nodiscard]] Error error(ErrorKind kind, std::string_view what, std::string source = {}) const {
        return {kind, fmt::format("{} QEMU: {}", side, what), std::move(source)};
    }
    /// A loop callback that does nothing once the Connection is gone.
    template <class Member, class... Arguments>
    [[nodiscard]] std::function<void()> guarded(Member member, Arguments... arguments) {
        return [weak = weak_from_this(), member, arguments...] {
            if (const auto self = weak.lock(); self && !self->abandoned) (self.get()->*member)(arguments...);
        };
    }
};

// ---- Connecting ------------------------------------------------------------------------------------

void Connection::Impl::start() {
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
        return lose_later(error(ErrorKind::invalid,
                                fmt::format("the monitor's path must have 1 to {} characters: {}",
                                            sizeof(sockaddr_un::sun_path) - 1, path)));
    }
    socket = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return lose_later(error(ErrorKind::unavailable, "no socket for the monitor", errno_text(errno)));
    greeting_deadline = loop.at(loop.now() + greeting_timeout, guarded(&Impl::greeting_missed));
    try_connect();
}

void Connection::Impl::try_connect() {
    retry.reset();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
        return connected();
    }
    if (errno == EAGAIN || errno == EINTR) {
        retry = loop.at(loop.now() + connect_retry, guarded(&Impl::try_connect));
        return;
    }
    // Nothing was done yet, so a permission is a plain refusal; the rest may heal when QEMU starts.
    const ErrorKind kind = errno == EACCES || errno == EPERM ? ErrorKind::refused : ErrorKind::unavailable;
    lose_later(error(kind, fmt::format("cannot connect to the monitor {}", path), errno_text(errno)));
}

void Connection::Impl::connected() {
    ucred credentials{};
    socklen_t size = sizeof(credentials);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
        peer = std::max(credentials.pid, 0);
    }
    state = State::greeting;
    read_watch = loop.watch_readable(socket.get(), guarded(&Impl::readable));
}

void Connection::Impl::greeting_missed() {
    greeting_deadline.reset();
    // A blocked QEMU may have taken our own connection: closed, it is not mistaken for a holder.
    close();
    const std::string holder = describe_monitor_holder(path);
    const std::string waited = to_text(greeting_timeout);
    if (!holder.empty()) {
        return lose(error(ErrorKind::conflict,
                          fmt::format("the monitor {} is held by {}; give QEMU a second -qmp socket for Segue, "
                                      "or end that client (no greeting within {})", path, holder, waited)));
    }
    lose(error(ErrorKind::timed_out,
               fmt::format("no greeting from the monitor {} within {}: QEMU is blocked, or another client holds "
                           "the monitor and a second -qmp socket is needed", path, waited)));
}

void Connection::Impl::greeted(Greeting received) {
    if (greeting_deadline) loop.cancel(*std::exchange(greeting_deadline, std::nullopt));
    greeting = std::move(received);
    state = State::negotiating;
    boost::json::object arguments;
    if (greeting.oob) arguments["enable"] = boost::json::array{"oob"};
    // Called from here only, so `this` lives as long as the command.
    submit("qmp_capabilities", arguments, Fd(), false, false, greeting_timeout,
           [this](const Result<boost::json::value>& result) { negotiated(result); });
}

void Connection::Impl::negotiated(const Result<boost::json::value>& result) {
    if (!result) return lose(result.error());
    state = State::ready;
    // Out-of-band commands that were given before could not know that they cannot be had.
    for (auto at = waiting.begin(); at != waiting.end();) {
        const auto found = commands.find(*at);
        if (!found->second.out_of_band) {
            ++at;
            continue;
        }
        if (greeting.oob) {
            send(found->second);
        } else {
            loop.cancel(found->second.deadline);
            answer_later(std::move(found->second.on_reply),
                         error(ErrorKind::unsupported, "this monitor takes no out-of-band commands"));
            commands.erase(found);
        }
        at = waiting.erase(at);
    }
    send_waiting();
    const auto on_ready = std::exchange(callbacks.on_ready, nullptr);
    if (on_ready) on_ready(greeting);
}

// ---- Commands --------------------------------------------------------------------------------------

void Connection::Impl::submit(std::string_view name, const boost::json::object& arguments, Fd passed,
                              bool carries_fd, bool out_of_band, Duration timeout, OnReply on_reply) {
    if (state == State::gone) return answer_later(std::move(on_reply), *loss);
    if (carries_fd && !passed) {
        return answer_later(std::move(on_reply),
                            error(ErrorKind::refused, fmt::format("no descriptor to pass with \"{}\"", name),
                                  errno_text(errno)));
    }
    if (out_of_band && state == State::ready && !greeting.oob) {
        return answer_later(std::move(on_reply),
                            error(ErrorKind::unsupported, "this monitor takes no out-of-band commands"));
    }
    // A monitor that answers nothing may be yanked many times, which must not end Segue.
    if (out_of_band && commands.size() >= 2 * limits::qmp_queued_max) {
        return answer_later(std::move(on_reply),
                            error(ErrorKind::refused, "too many commands without an answer"));
    }
    const std::uint64_t id = ++last_id;
    Command& command = commands[id];
    command.name = name;
    command.line = encode_command(name, arguments, id, out_of_band);
    command.passed = std::move(passed);
    command.carries_fd = carries_fd;
    command.out_of_band = out_of_band;
    command.on_reply = std::move(on_reply);
    command.deadline = loop.at(loop.now() + std::clamp(timeout, Duration{0}, timeout_max),
                               guarded(&Impl::deadline_passed, id));
    // The negotiation itself goes before everything that waits for it.
    if (state == State::negotiating && in_band_sent == 0) return send(command), flush();
    if (state == State::ready && out_of_band) return send(command), flush();
    SEGUE_ASSERT(waiting.size() < limits::qmp_queued_max);
    waiting.push_back(id);
    send_waiting();
}

void Connection::Impl::send(Command& command) {
    command.sent = true;
    if (command.out_of_band) {
        outbox.push_ahead(std::move(command.line));
        return;
    }
    ++in_band_sent;
    fd_sent = fd_sent || command.carries_fd;
    outbox.push(std::move(command.line), std::move(command.passed));
}

void Connection::Impl::send_waiting() {
    if (state != State::ready) return;
    while (!waiting.empty() && in_band_sent < limits::qmp_outstanding_max) {
        Command& next = commands.at(waiting.front());
        // QEMU keeps the descriptors of the last message that brought any: a second one before the first
        // is taken by its command would replace it, since QEMU reads ahead when out-of-band is on.
        if (next.carries_fd && fd_sent) break;
        waiting.pop_front();
        send(next);
    }
    flush();
}

void Connection::Impl::flush() {
    if (over() || !socket) return;
    switch (outbox.flush(socket.get())) {
        case Outbox::Flush::empty:
            if (write_watch) loop.unwatch(*std::exchange(write_watch, std::nullopt));
            return;
        case Outbox::Flush::blocked:
            if (!write_watch) write_watch = loop.watch_writable(socket.get(), guarded(&Impl::flush));
            return;
        case Outbox::Flush::broken:
            if (write_watch) loop.unwatch(*std::exchange(write_watch, std::nullopt));
            lose_later(error(ErrorKind::unavailable, "the monitor takes no more commands",
                             errno_text(outbox.error_number())));
            return;
    }
}

void Connection::Impl::deadline_passed(std::uint64_t id) {
    const auto found = commands.find(id);
    if (found == commands.end() || !found->second.on_reply) return;
    Command& command = found->second;
    const auto on_reply = std::exchange(command.on_reply, nullptr);
    const std::string name = command.name;
    const bool sent = command.sent;
    // What was sent keeps its place in QEMU's queue until the late reply.
    if (!sent) {
        std::erase(waiting, id);
        commands.erase(found);
        // It may have been a descriptor's turn that held the others up.
        send_waiting();
    }
    on_reply(std::unexpected(
        error(ErrorKind::timed_out, fmt::format("{} \"{}\" in time", sent ? "no answer to" : "could not send", name))));
}

void Connection::Impl::answer_later(OnReply on_reply, Error reason) {
    loop.post([weak = weak_from_this(), on_reply = std::move(on_reply), reason = std::move(reason)] {
        if (const auto self = weak.lock(); self && !self->abandoned) on_reply(std::unexpected(reason));
    });
}

// ---- Messages --------------------------------------------------------------------------------------

/// One read a turn: a monitor that talks without end does not keep the loop from the others.
void Connection::Impl::readable() { (void)read_some(); }

/// Whether there may be more to read.
bool Connection::Impl::read_some() {
    std::array<char, 64 * 1024> buffer;
    const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    const Instant arrived_at = loop.now();
    if (size < 0 && errno == EINTR) return true;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (size <= 0) {
        lose(error(ErrorKind::unavailable, "the monitor's connection was closed",
                   size < 0 ? errno_text(errno) : std::string()));
        return false;
    }
    take(std::span(buffer).first(static_cast<std::size_t>(size)), arrived_at);
    return !over();
}

void Connection::Impl::take(std::span<const char> bytes, Instant arrived_at) {
    auto messages = reader.feed(bytes);
    if (messages) {
        for (Message& message : *messages) {
            take(message, arrived_at);
            if (over()) return;
        }
        // A fault behind whole messages is told now.
        messages = reader.feed({});
    }
    if (!messages) lose(error(ErrorKind::corrupt, messages.error().message, messages.error().source));
}

void Connection::Impl::take(Message& message, Instant arrived_at) {
    if (auto* reply = std::get_if<Reply>(&message)) return replied(*reply);
    if (auto* event = std::get_if<QmpEvent>(&message)) {
        if (state == State::ready && callbacks.on_event) callbacks.on_event(*event, arrived_at);
        return;
    }
    if (auto* received = std::get_if<Greeting>(&message)) {
        if (state == State::greeting) return greeted(std::move(*received));
        lose(error(ErrorKind::corrupt, "the monitor greeted twice"));
    }
    // A Complaint answers no command that can be named. All we send is well-formed, so it is about what an
    // earlier client left half written; a command of ours that it swallowed ends at its deadline.
}

void Connection::Impl::replied(Reply& reply) {
    const auto found = commands.find(reply.id);
    // Not sent yet: an answer to an earlier client's command of the same number.
    if (found == commands.end() || !found->second.sent) return;
    Command command = std::move(found->second);
    commands.erase(found);
    loop.cancel(command.deadline);
    if (!command.out_of_band) {
        --in_band_sent;
        fd_sent = fd_sent && !command.carries_fd;
    }
    send_waiting();
    if (!command.on_reply) return;
    if (!reply.result) {
        reply.result.error() = error(reply.result.error().kind, fmt::format("\"{}\" was refused", command.name),
                                     std::move(reply.result.error().source));
    }
    command.on_reply(std::move(reply.result));
}

// ---- The end ---------------------------------------------------------------------------------------

/// From the next turn of the loop on, since nothing may be answered from inside execute().
void Connection::Impl::lose_later(Error reason) {
    if (loss) return;
    loss = reason;
    loop.post([weak = weak_from_this(), reason = std::move(reason)] {
        const auto self = weak.lock();
        if (!self || self->abandoned) return;
        // Answers that arrived before the end are still answers. Bounded: the other side cannot refill
        // the buffer for ever, and 64 reads are more than a socket buffer holds.
        for (int i = 0; i < 64 && self->read_watch && !self->over() && self->read_some(); ++i) {}
        if (!self->abandoned) self->lose(reason);
    });
}

void Connection::Impl::lose(Error reason) {
    if (over()) return;
    const bool was_ready = state == State::ready;
    state = State::gone;
    loss = error(ErrorKind::unavailable, "the monitor's connection is gone", to_string(reason));
    close();
    const auto unanswered = std::exchange(commands, {});
    for (const auto& [id, command] : unanswered) loop.cancel(command.deadline);
    for (const auto& [id, command] : unanswered) {
        // Before readiness a failure is told by on_ready; the negotiation's own answer would be a second.
        if (!command.on_reply || (command.sent && !was_ready)) continue;
        command.on_reply(std::unexpected(
            error(ErrorKind::unavailable,
                  fmt::format("the connection was lost {} \"{}\"",
                              command.sent ? "before the answer to" : "before sending", command.name),
                  to_string(reason))));
        if (abandoned) return;
    }
    const auto on_ready = std::exchange(callbacks.on_ready, nullptr);
    if (was_ready) {
        if (const auto on_lost = std::exchange(callbacks.on_lost, nullptr)) on_lost(std::move(reason));
    } else if (on_ready) {
        on_ready(std::unexpected(std::move(reason)));
    }
}

void Connection::Impl::close() noexcept {
    if (greeting_deadline) loop.cancel(*std::exchange(greeting_deadline, std::nullopt));
    if (retry) loop.cancel(*std::exchange(retry, std::nullopt));
    if (read_watch) loop.unwatch(*std::exchange(read_watch, std::nullopt));
    if (write_watch) loop.unwatch(*std::exchange(write_watch, std::nullopt));
    waiting.clear();
    outbox.clear();
    socket.reset();
}

// ---- The face --------------------------------------------------------------------------------------

Connection::Connection(Loop& loop, std::string path, std::string side, Duration greeting_timeout,
                       Callbacks callbacks)
    : impl_(std::make_shared<Impl>(loop, std::move(path), std::move(side), greeting_timeout,
                                   std::move(callbacks))) {
    impl_->start();
}

Connection::~Connection() {
    impl_->abandoned = true;
    impl_->close();
    const auto dropped = std::exchange(impl_->commands, {});
    for (const auto& [id, command] : dropped) impl_->loop.cancel(command.deadline);
}

void Connection::execute(std::string_view name, boost::json::object arguments, Duration timeout,
                         OnReply on_reply) {
    impl_->submit(name, arguments, Fd(), false, false, timeout, std::move(on_reply));
}

void Connection::execute_with_fd(std::string_view name, boost::json::object arguments, int fd,
                                 Duration timeout, OnReply on_reply) {
    // Duplicated through a borrowed Fd, which must not close it.
    Fd borrowed(fd);
    Fd passed = borrowed.duplicate();
    (void)borrowed.release();
    impl_->submit(name, arguments, std::move(passed), true, false, timeout, std::move(on_reply));
}

void Connection::execute_out_of_band(std::string_view name, boost::json::object arguments, Duration timeout,
                                     OnReply on_reply) {
    impl_->submit(name, arguments, Fd(), false, true, timeout, std::move(on_reply));
}

pid_t Connection::peer_pid() const noexcept { return impl_->peer; }

bool Connection::out_of_band() const noexcept { return impl_->state == Impl::State::ready && impl_->greeting.oob; }

}  // namespace segue::qemu

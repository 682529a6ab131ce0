#include "channel/tcp/stream.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "channel/tcp/resolver.hpp"
#include "channel/tcp/tcp_info.hpp"
#include "io/fd.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

/// Unacknowledged for this long, the stream is broken. Pre-copy survives what a switch needs to learn a new
/// path; a blackout is watched by its own, much shorter clock.
constexpr TcpPatience patience{.unacknowledged = std::chrono::seconds{30},
                               .idle = std::chrono::seconds{10},
                               .between_probes = std::chrono::seconds{5}};

// What waits unsent in the kernel is part of every blackout, so the queue is short: 10 ms at the cap. It must
// not run dry either, or nothing is learned of the path in that time: the kernel wakes the writer at half
// of it, and on a loaded host the writer needs up to one scheduler tick (4 ms at 250 Hz) to come. Measured at
// 100 MiB/s: dry in 6 % of the looks with 128 KiB, 0.3 % with 512 KiB, none with 1 MiB; beside two hogs on
// two CPUs 64 %, 69 % and 85 % of the rate. At 10 MiB/s 128 KiB is never dry.
constexpr Duration queue_time = std::chrono::milliseconds{10};
constexpr Bytes queue_least{128 * 1024};
constexpr Bytes queue_most{8 * 1024 * 1024};
constexpr Bytes queue_unpaced{1024 * 1024};

Bytes queue_for(std::optional<ByteRate> pacing) {
    return pacing ? std::clamp(*pacing * queue_time, queue_least, queue_most) : queue_unpaced;
}

std::optional<ByteRate> pacing_for_cap(std::optional<ByteRate> cap, Bytes segment) {
    if (!cap) return std::nullopt;
    return pacing_for(*cap, segment);
}

}  // namespace

struct TcpStream::Impl {
    explicit Impl(Loop& loop_in) : loop(loop_in), resolver(loop_in) {}
    ~Impl() { stop_waiting(); }

    Loop& loop;
    Resolver resolver;
    Fd socket;
    bool connected = false;
    std::optional<ByteRate> cap;
    Bytes paced_segment;

    StreamConnect where;
    std::string greeting;  ///< What is left to be said of the token.
    Duration timeout{0};
    std::function<void(Result<StreamSample>)> on_answer;
    std::vector<SocketAddress> addresses;  ///< Still to be tried, last first.
    std::string last_failure = "the name has no address";
    std::optional<Loop::TimerId> deadline;
    std::optional<Loop::WatchId> watch;

    void try_next();
    void connect_ended();
    void greet();
    void greeted();
    void failed(int error_number);
    void give_up(const std::string& why, std::string source);
    void answer(Result<StreamSample> result);
    void stop_waiting() noexcept;
    bool apply_pacing(Bytes segment);
    [[nodiscard]] Result<StreamSample> read();
};

void TcpStream::Impl::try_next() {
    if (addresses.empty()) return give_up("cannot connect to it", last_failure);
    const SocketAddress address = addresses.back();
    addresses.pop_back();
    socket = Fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    // Paced before the first byte: the segment is not known yet, Ethernet's is the cautious guess.
    if (!socket || !apply_pacing({0}) || !set_tcp_options(socket.get(), queue_for(cap), patience)) return failed(errno);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 &&
        errno != EINPROGRESS) {
        return failed(errno);
    }
    watch = loop.watch_writable(socket.get(), [this] { connect_ended(); });
}

void TcpStream::Impl::connect_ended() {
    loop.unwatch(*std::exchange(watch, std::nullopt));
    int error_number = 0;
    socklen_t size = sizeof(error_number);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error_number, &size) != 0) error_number = errno;
    if (error_number != 0) return failed(error_number);
    greeting = where.token.empty() ? std::string() : where.token + '\n';
    greet();
}

/// All of it, or whoever writes next would break it. It fits the empty queue of a new connection, but nothing
/// says that it must.
void TcpStream::Impl::greet() {
    if (watch) loop.unwatch(*std::exchange(watch, std::nullopt));
    while (!greeting.empty()) {
        const ssize_t sent = ::send(socket.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) return failed(errno);
        if (sent < 0) {
            watch = loop.watch_writable(socket.get(), [this] { greet(); });
            return;
        }
        greeting.erase(0, static_cast<std::size_t>(sent));
    }
    greeted();
}

void TcpStream::Impl::greeted() {
    // Blocking from here on: the flag belongs to the open file, so QEMU and we share it, and QEMU writes
    // blocking. Nothing that we do with our descriptor afterwards depends on it.
    const int flags = ::fcntl(socket.get(), F_GETFL);
    if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) return failed(errno);
    connected = true;
    if (cap) prefer_cubic_on_short_path(socket.get());
    answer(read());
}

void TcpStream::Impl::failed(int error_number) {
    last_failure = std::strerror(error_number);
    socket.reset();
    try_next();
}

void TcpStream::Impl::give_up(const std::string& why, std::string source) {
    stop_waiting();
    socket.reset();
    answer(fail(ErrorKind::unavailable,
                "the migration stream to " + where.host + " port " + std::to_string(where.port) + ": " + why +
                    "; check --data-address and what filters that port on the way",
                std::move(source)));
}

void TcpStream::Impl::answer(Result<StreamSample> result) {
    stop_waiting();
    // The last thing done: the callee may destroy this.
    if (const auto callee = std::exchange(on_answer, nullptr)) callee(std::move(result));
}

void TcpStream::Impl::stop_waiting() noexcept {
    if (deadline) loop.cancel(*std::exchange(deadline, std::nullopt));
    if (watch) loop.unwatch(*std::exchange(watch, std::nullopt));
}

bool TcpStream::Impl::apply_pacing(Bytes segment) {
    paced_segment = segment;
    const auto rate = pacing_for_cap(cap, segment);
    return set_pacing(socket.get(), rate) && set_tcp_queue(socket.get(), queue_for(rate));
}

Result<StreamSample> TcpStream::Impl::read() {
    const Instant at = loop.now();
    const auto counters = connected ? read_tcp_counters(socket.get()) : std::nullopt;
    if (!counters) {
        return fail(ErrorKind::unavailable, "the migration stream cannot be read",
                    connected ? std::strerror(errno) : "it is not connected");
    }
    // A smaller segment has more frames for the same payload.
    if (counters->segment != paced_segment && counters->segment.count > 0) (void)apply_pacing(counters->segment);
    return StreamSample{.at = at, .acked = counters->acked, .unacked = counters->unacked,
                        .not_sent = counters->not_sent, .segment = counters->segment,
                        .busy = counters->busy, .broken = !counters->established};
}

TcpStream::TcpStream(Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}
TcpStream::~TcpStream() = default;

void TcpStream::connect(const StreamConnect& where, Duration timeout,
                        std::function<void(Result<StreamSample>)> on_answer) {
    Impl& impl = *impl_;
    impl.where = where;
    impl.timeout = timeout;
    impl.cap = where.cap;
    impl.on_answer = std::move(on_answer);
    impl.deadline = impl.loop.at(impl.loop.now() + timeout, [&impl] {
        impl.deadline.reset();
        impl.give_up("no connection within " + to_text(impl.timeout), {});
    });
    impl.resolver.resolve(where.host, where.port, [&impl](Result<std::vector<SocketAddress>> addresses) {
        if (!impl.on_answer) return;  // The deadline came before.
        if (!addresses) return impl.answer(std::unexpected(std::move(addresses).error()));
        impl.addresses = std::move(*addresses);
        std::ranges::reverse(impl.addresses);
        impl.try_next();
    });
}

void TcpStream::pace(std::optional<ByteRate> cap) {
    impl_->cap = cap;
    if (impl_->connected) (void)impl_->apply_pacing(impl_->paced_segment);
}

void TcpStream::limit_silence(Duration silence) {
    const auto ms = static_cast<unsigned>(std::max<std::int64_t>(silence / std::chrono::milliseconds{1}, 1));
    // Without it the connection only lasts longer.
    if (impl_->connected) (void)::setsockopt(impl_->socket.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

Result<StreamSample> TcpStream::read() const { return impl_->read(); }

void TcpStream::cut() {
    if (impl_->connected) (void)::shutdown(impl_->socket.get(), SHUT_RDWR);
}

int TcpStream::fd() const { return impl_->connected ? impl_->socket.get() : -1; }

}  // namespace segue

#include "channel/tcp/tcp_info.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace segue {
namespace {

constexpr int state_established = 1;  // TCP_ESTABLISHED of net/tcp_states.h, which is not exported.

bool set_int(int fd, int level, int option, std::int64_t value) noexcept {
    const auto number = static_cast<int>(std::clamp<std::int64_t>(value, 0, std::numeric_limits<int>::max()));
    return ::setsockopt(fd, level, option, &number, sizeof(number)) == 0;
}

/// Two such round trips are less than what a busy receiver's acknowledgements were late by (3 ms).
constexpr std::uint32_t short_path_us = 1000;

std::int64_t seconds(Duration d) { return std::chrono::ceil<std::chrono::seconds>(d).count(); }

}  // namespace

std::optional<TcpCounters> read_tcp_counters(int fd) noexcept {
    tcp_info info{};
    socklen_t size = sizeof(info);
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
    TcpCounters counters;
    counters.acked = {static_cast<std::int64_t>(info.tcpi_bytes_acked)};
    counters.unacked = {std::int64_t{info.tcpi_unacked} * info.tcpi_snd_mss};
    counters.not_sent = {info.tcpi_notsent_bytes};
    counters.segment = {info.tcpi_snd_mss};
    counters.busy = std::chrono::microseconds{info.tcpi_busy_time};
    counters.established = info.tcpi_state == state_established;
    return counters;
}

bool set_tcp_options(int fd, Bytes queue, const TcpPatience& patience) noexcept {
    return set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1) && set_tcp_queue(fd, queue) &&
           set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                   std::chrono::ceil<std::chrono::milliseconds>(patience.unacknowledged).count()) &&
           set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(patience.idle)) &&
           set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds(patience.between_probes));
}

bool set_tcp_queue(int fd, Bytes queue) noexcept {
    return set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, queue.count);
}

bool set_pacing(int fd, std::optional<ByteRate> rate) noexcept {
    // All ones is the kernel's "without limit"; 64 bits wide since Linux 4.20.
    std::uint64_t value = std::numeric_limits<std::uint64_t>::max();
    if (rate) value = static_cast<std::uint64_t>(std::max<std::int64_t>(rate->per_second, 1));
    return ::setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &value, sizeof(value)) == 0;
}

void prefer_cubic_on_short_path(int fd) noexcept {
    std::array<char, 16> name{};  // TCP_CA_NAME_MAX
    socklen_t name_size = name.size() - 1;
    tcp_info info{};
    socklen_t info_size = sizeof(info);
    if (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &name_size) != 0 ||
        ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size) != 0) {
        return;
    }
    // 0: not known, the first segment had to be sent again.
    const bool is_short = info.tcpi_rtt > 0 && info.tcpi_rtt <= short_path_us;
    if (std::string_view{name.data()} != "bbr" || !is_short) return;
    constexpr std::string_view cubic = "cubic";
    // Without it the stream is slower, no more.
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cubic.data(), cubic.size());
}

}  // namespace segue

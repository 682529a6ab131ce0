#pragma once
/// \file  TCP socket options and TCP_INFO from the kernel's own header: libc's struct lacks the fields that
///        count, and the two headers cannot meet in one source file.

#include <cstdint>
#include <optional>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

struct TcpCounters {
    Bytes acked;
    Bytes unacked;
    Bytes not_sent;
    Bytes segment;
    Duration busy{0};
    bool established = false;
};

/// Nothing, with errno set, when the kernel does not answer.
[[nodiscard]] std::optional<TcpCounters> read_tcp_counters(int fd) noexcept;

/// How long unacknowledged data may wait before the kernel gives the connection up, and how soon an idle
/// one is probed.
struct TcpPatience {
    Duration unacknowledged{0};
    Duration idle{0};
    Duration between_probes{0};
};

/// Sends at once, keeps at most `queue` unsent, with `patience`. False with errno set.
[[nodiscard]] bool set_tcp_options(int fd, Bytes queue, const TcpPatience& patience) noexcept;
[[nodiscard]] bool set_tcp_queue(int fd, Bytes queue) noexcept;

/// \param rate  Payload bytes a second; nothing: as fast as the path takes.
[[nodiscard]] bool set_pacing(int fd, std::optional<ByteRate> rate) noexcept;

/// For a connected socket that is paced. BBR keeps no more than about two round trips in flight; where a round trip
/// takes microseconds and the receiver acknowledges a millisecond late, that is less than the pacing allows: measured
/// 81 to 91 % of the rate while a destination touches its memory for the first time, 100 % with CUBIC (docs/adr/0011).
/// So on a path of up to 1 ms BBR gives way to CUBIC, if this kernel has it. Nothing else is changed, and a longer path
/// keeps BBR.
void prefer_cubic_on_short_path(int fd) noexcept;

}  // namespace segue

#pragma once
/// \file  The port to the migration stream that we own: connect, pace, watch, cut.
///
/// The socket is connected by us, handed to the source hypervisor, and a duplicate is kept: progress
/// stays readable and the stream can be cut even while the hypervisor answers nothing
/// (qemu.md section 10; DESIGN.md section 4 point 5).
/// Thread: the loop's. Errors: `unavailable` with the kernel's words.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

/// What the kernel says of the stream. Source: struct tcp_info of linux/tcp.h.
struct StreamSample {
    Instant at;
    Bytes acked;     ///< tcpi_bytes_acked: payload that the destination's kernel has.
    Bytes unacked;   ///< In flight: tcpi_unacked * tcpi_snd_mss at most.
    Bytes not_sent;  ///< tcpi_notsent_bytes: written by QEMU, not yet sent.
    Bytes segment;   ///< tcpi_snd_mss.
    Duration busy{0};  ///< tcpi_busy_time: something was unsent or unacked; in the kernel's ticks.
    bool broken = false;  ///< The connection is in no state that can carry data any more.
};

// ---- commands; answers come later, in order --------------------------------------------------------

/// StreamSample. `token`, unless empty, and a newline go first: who listens there tells us by it.
struct StreamConnect {
    std::string host;
    std::uint16_t port = 0;
    std::optional<ByteRate> cap;
    std::string token = {};
};
struct StreamPace { std::optional<ByteRate> cap; };  ///< Whole frames stay below `cap`. No answer.
/// The kernel gives the connection up once nothing was acknowledged for `silence`, whoever lives then. No answer.
struct StreamLimitSilence { Duration silence{0}; };
struct StreamRead {};                                ///< StreamSample.
struct StreamCut {};                                 ///< Shut down both ways, at once. No answer.

using StreamCommand = std::variant<StreamConnect, StreamPace, StreamLimitSilence, StreamRead, StreamCut>;

/// Frames on the wire for one segment of payload: Ethernet 14 + IPv4 20 + TCP with timestamps 32.
inline constexpr std::int64_t frame_overhead_bytes = 66;

/// The pacing rate for the socket so that whole frames stay below `cap`: cap * mss / (mss + 66) * 0.98
/// (measured: worst 100 ms window 1.006 to 1.013 of the pacing rate at 100 MiB/s).
[[nodiscard]] constexpr ByteRate pacing_for(ByteRate cap, Bytes segment) {
    const double mss = static_cast<double>(segment.count > 0 ? segment.count : 1448);
    return scale(cap, mss / (mss + static_cast<double>(frame_overhead_bytes)) * 0.98);
}

}  // namespace segue

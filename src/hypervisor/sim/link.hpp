#pragma once
/// \file  The migration stream and the wire below it, as a fluid with parcels: send queue, pacing, round
///        trip, receive window, and the ways in which it breaks.
///
/// TCP as seen from its ends: what was written before a shutdown still arrives; a dead reader answers
/// with a reset; while the wire is black nothing moves and nothing is lost. Pure.

#include <cstdint>
#include <deque>
#include <optional>

#include "channel/channel.hpp"
#include "hypervisor/sim/plan.hpp"
#include "units/duration.hpp"

namespace segue::sim {

/// What one stretch of the stream means to the destination once its last byte was read.
struct Parcel {
    std::int64_t end = 0;  ///< Offset of the byte after it.
    bool last = false;     ///< End of the device state: the whole machine has been sent.
    std::size_t chunk = 0;
    std::uint32_t generation = 0;
    bool is_chunk = false;
};

class Link {
public:
    explicit Link(const LinkPlan& plan) : plan_(plan) {}

    // The wire.
    void set_factor(double factor) { factor_ = factor; }  ///< 0: black.
    [[nodiscard]] bool black() const { return factor_ <= 0; }
    [[nodiscard]] Duration round_trip() const { return plan_.round_trip; }

    // The socket at the source.
    void connect() { connected_ = true; }
    [[nodiscard]] bool connected() const { return connected_; }
    void pace(std::optional<ByteRate> rate) { pace_ = rate; }
    /// TCP_USER_TIMEOUT: broken at the source when nothing was acknowledged for so long.
    void limit_silence(Duration longest) { silence_max_ = longest; }
    [[nodiscard]] std::int64_t room() const;
    /// \pre bytes <= room().
    void write(std::int64_t bytes) { written_ += bytes; }
    /// The parcel ends at the last byte written so far.
    void mark(Parcel parcel);
    void cut() { src_closed_ = true; }  ///< shutdown of both directions at the source.
    [[nodiscard]] bool broken_at_src() const { return src_closed_ || reset_; }
    [[nodiscard]] StreamSample sample(Instant now) const;
    [[nodiscard]] std::int64_t written() const { return written_; }

    // The socket at the destination.
    /// The next parcel that has arrived whole; removes it.
    [[nodiscard]] std::optional<Parcel> read(bool reading);
    [[nodiscard]] bool end_of_file() const;  ///< Everything was read and the source has closed.
    void dst_closed() { dst_closed_ = true; }

    /// Lets the wire work up to `now`.
    void advance(Instant now, Duration step);
    [[nodiscard]] bool quiet() const { return acked_ == written_ || reset_ || !connected_; }

private:
    struct Flight { Instant arrives; Instant acked; std::int64_t end; };
    LinkPlan plan_;
    double factor_ = 1;
    std::optional<ByteRate> pace_;
    std::optional<Duration> silence_max_;
    Instant heard_at_;  ///< Something was acknowledged, or nothing was outstanding.
    bool connected_ = false;
    bool src_closed_ = false;
    bool dst_closed_ = false;
    bool reset_ = false;  ///< The source's kernel has heard of the reader's death.
    std::int64_t written_ = 0;
    std::int64_t sent_ = 0;
    std::int64_t arrived_ = 0;
    std::int64_t acked_ = 0;
    std::int64_t consumed_ = 0;
    double carry_ = 0;
    Duration busy_{0};  ///< Something was on its way, or waited.
    std::deque<Flight> flights_;
    std::deque<Parcel> parcels_;
};

}  // namespace segue::sim

#include "hypervisor/sim/link.hpp"

#include <algorithm>

namespace segue::sim {

std::int64_t Link::room() const {
    if (!connected_ || broken_at_src()) return 0;
    return std::max<std::int64_t>(0, plan_.send_buffer.count - (written_ - acked_));
}

void Link::mark(Parcel parcel) {
    parcel.end = written_;
    parcels_.push_back(parcel);
}

StreamSample Link::sample(Instant now) const {
    StreamSample sample;
    sample.at = now;
    sample.acked = {acked_};
    sample.unacked = {sent_ - acked_};
    sample.not_sent = {written_ - sent_};
    sample.segment = {1448};
    sample.busy = busy_;
    sample.broken = !connected_ || broken_at_src();
    return sample;
}

std::optional<Parcel> Link::read(bool reading) {
    if (!reading || parcels_.empty() || parcels_.front().end > arrived_) {
        if (reading) consumed_ = arrived_;
        return std::nullopt;
    }
    const Parcel parcel = parcels_.front();
    parcels_.pop_front();
    consumed_ = parcel.end;
    return parcel;
}

bool Link::end_of_file() const { return src_closed_ && arrived_ == written_ && !black(); }

void Link::advance(Instant now, Duration step) {
    if (acked_ == written_) {
        heard_at_ = now;
    } else {
        busy_ += step;
    }
    if (silence_max_ && connected_ && now - heard_at_ > *silence_max_) src_closed_ = true;
    if (!connected_ || black()) return;
    if (dst_closed_) {
        // Whatever still goes out is answered with a reset.
        reset_ = true;
        return;
    }
    double rate = static_cast<double>(plan_.rate.per_second) * factor_;
    if (pace_) rate = std::min(rate, static_cast<double>(pace_->per_second));
    carry_ = std::min(carry_ + rate * to_seconds(step), rate * 0.01 + 1);
    const std::int64_t window = plan_.receive_buffer.count - (sent_ - consumed_);
    const auto n = std::min({static_cast<std::int64_t>(carry_), written_ - sent_, std::max<std::int64_t>(0, window)});
    if (n > 0) {
        sent_ += n;
        carry_ -= static_cast<double>(n);
        flights_.push_back({now + plan_.round_trip / 2, now + plan_.round_trip, sent_});
    }
    for (const Flight& flight : flights_) {
        if (flight.arrives > now) break;
        arrived_ = std::max(arrived_, flight.end);
    }
    while (!flights_.empty() && flights_.front().acked <= now) {
        acked_ = flights_.front().end;
        heard_at_ = now;
        flights_.pop_front();
    }
}

}  // namespace segue::sim

#include "model/bandwidth.hpp"

#include <algorithm>
#include <vector>

#include "base/assert.hpp"

namespace segue {

void BandwidthEstimate::add(Instant at, Bytes acked, bool queue_waits) {
    if (!queue_waits) {
        // The source had nothing to say: what was acked since says nothing about the path.
        open_.reset();
        return;
    }
    if (!open_) {
        open_ = Reading{at, acked};
        return;
    }
    SEGUE_ASSERT(at >= open_->at && acked >= open_->acked);
    const Duration length = at - open_->at;
    if (length < window_min) return;
    rates_.push_back((acked - open_->acked) / length);
    if (rates_.size() > window_count) rates_.pop_front();
    open_ = Reading{at, acked};
}

std::optional<ByteRate> BandwidthEstimate::at_quantile(double quantile) const {
    if (rates_.empty()) return std::nullopt;
    SEGUE_ASSERT(quantile >= 0.0 && quantile <= 1.0);
    std::vector<ByteRate> sorted(rates_.begin(), rates_.end());
    std::sort(sorted.begin(), sorted.end());
    const auto last = sorted.size() - 1;
    return sorted[static_cast<std::size_t>(quantile * static_cast<double>(last))];
}

}  // namespace segue

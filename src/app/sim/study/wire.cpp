#include "app/sim/study/wire.hpp"

#include <algorithm>
#include <cmath>

#include "app/sim/study/guest.hpp"

namespace segue::study {

double Wire::slot_end(double at_s) {
    return (std::floor(at_s / slot_s + 1e-9) + 1) * slot_s;
}

double Wire::rate_at(double at_s) {
    const auto slot = static_cast<std::size_t>(std::max(0.0, at_s) / slot_s + 1e-9);
    while (rates_.size() <= slot) {
        const double now = static_cast<double>(rates_.size()) * slot_s;
        const double keep = std::exp(-slot_s / spec_->tau_s);
        if (spec_->sigma > 0) {
            level_ = rates_.empty() ? spec_->sigma * normal(rng_)
                                    : level_ * keep + spec_->sigma * std::sqrt(1 - keep * keep) * normal(rng_);
        }
        double planned = std::clamp(1 + spec_->drift_per_s * now, 0.5, 2.0);
        for (const auto& step : spec_->steps) {
            if (now >= step.at_s) planned = step.factor;
        }
        rates_.push_back(spec_->bytes_per_s * planned * std::exp(level_ - spec_->sigma * spec_->sigma / 2));
    }
    return rates_[slot];
}

double Wire::carried(double at_s, double seconds) {
    double bytes = 0;
    while (seconds > 0) {
        const double part = std::min(seconds, slot_end(at_s) - at_s);
        bytes += rate_at(at_s) * part;
        at_s += part;
        seconds -= part;
    }
    return bytes;
}

double Wire::time_for(double bytes, double at_s) {
    double seconds = 0;
    while (bytes > 0) {
        const double part = slot_end(at_s) - at_s;
        const double rate = rate_at(at_s);
        if (rate * part >= bytes) return seconds + bytes / rate;
        bytes -= rate * part;
        seconds += part;
        at_s += part;
    }
    return seconds;
}

}  // namespace segue::study

#include "hypervisor/sim/memory.hpp"

#include <algorithm>
#include <cmath>

namespace segue::sim {

Memory::Memory(const GuestPlan& plan, Rng rng) : plan_(plan), rng_(rng) {
    const auto count = static_cast<std::size_t>(plan.memory.count / chunk_bytes);
    generation_.assign(count, 1);
    dirty_.assign(count, 0);
    hot_count_ = plan.shape == GuestShape::uniform
                     ? count
                     : std::clamp<std::size_t>(static_cast<std::size_t>(plan.working_set.count / chunk_bytes), 1,
                                               count);
    hot_begin_ = static_cast<std::size_t>(rng_.between(0, static_cast<std::int64_t>(count - hot_count_)));
    for (auto& generation : generation_) {
        if (rng_.chance(plan.zero_share)) generation = 0;
    }
}

double Memory::rate_now() const {
    const double base = static_cast<double>(plan_.rate.per_second) / static_cast<double>(chunk_bytes);
    switch (plan_.shape) {
        case GuestShape::idle: return base * 0.01;
        case GuestShape::ramp: return base * std::min(2.0, 0.2 + worked_ / 10);
        case GuestShape::phases: return std::fmod(worked_, 4.0) < 2.0 ? base * 2 : base * 0.1;
        case GuestShape::uniform:
        case GuestShape::hot_cold: return base;
    }
    return base;
}

void Memory::run(Duration work) {
    owed_ += rate_now() * to_seconds(work);
    worked_ += to_seconds(work);
    while (owed_ >= 1) {
        owed_ -= 1;
        const bool cold = plan_.shape == GuestShape::hot_cold && rng_.chance(0.02);
        const std::size_t begin = cold ? 0 : hot_begin_;
        const std::size_t count = cold ? generation_.size() : hot_count_;
        const auto chunk = begin + static_cast<std::size_t>(rng_.between(0, static_cast<std::int64_t>(count) - 1));
        ++generation_[chunk];
        dirty_[chunk] = 1;
    }
}

void Memory::sync_into(std::vector<std::uint8_t>& pending, std::size_t& count) {
    for (std::size_t i = 0; i < dirty_.size(); ++i) {
        if (dirty_[i] == 0) continue;
        dirty_[i] = 0;
        if (pending[i] == 0) ++count;
        pending[i] = 1;
    }
}

Bytes Memory::distinct_in(Duration work) const {
    const double w = static_cast<double>(hot_count_);
    const double chunks = w * (1 - std::exp(-rate_now() * to_seconds(work) / w));
    return {static_cast<std::int64_t>(chunks * static_cast<double>(chunk_bytes))};
}

}  // namespace segue::sim

#include "model/work_spread.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace segue {

WorkSpread spread_of(std::span<const double> busy) {
    double sum = 0;
    double squares = 0;
    double most = 0;
    for (const double one : busy) {
        sum += one;
        squares += one * one;
        most = std::max(most, one);
    }
    SEGUE_ASSERT(sum > 0);
    const auto count = static_cast<double>(busy.size());
    const double mean = sum / count;
    return {most / mean, std::sqrt(squares / count) / mean};
}

BusiestVcpus busiest_of(double busy, const WorkSpread& spread) {
    const double most = std::min(spread.most * busy, 1.0);
    const double variance = (spread.rms * spread.rms - 1) * busy * busy;
    const double above = most - busy;
    const bool alike = !(variance > 1e-4 * busy * busy) || !(above > 1e-2 * busy);
    if (alike) return {0, busy};
    // No more of them than leave the others something.
    return {std::min(variance / (variance + above * above), busy / most), most};
}

double work_rate_at(double busy, const BusiestVcpus& kinds, double share) {
    if (!(kinds.part > 0) || !(kinds.part < 1)) return std::min(busy, share);
    const double others = std::max((busy - kinds.part * kinds.busiest) / (1 - kinds.part), 0.0);
    return std::min(kinds.part * std::min(share, kinds.busiest) + (1 - kinds.part) * std::min(share, others), busy);
}

}  // namespace segue

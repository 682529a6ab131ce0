#include "model/conformal.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace segue {
namespace {

constexpr double z90 = 1.2815515655446004;
/// |z| / z90 at the probabilities i / 9 of a standard normal's |z|: a forecaster whose bands are right.
constexpr std::array<double, Conformal::stand_ins> calm_scores{0.1090, 0.2202, 0.3361, 0.4600,
                                                               0.5967, 0.7549, 0.9525, 1.2432};
constexpr double covered = 0.8;

}  // namespace

void Conformal::add(const Band& forecast, double outcome) {
    if (!(forecast.p10 > 0 && forecast.p50 >= forecast.p10 && forecast.p90 >= forecast.p50)) return;
    if (!(outcome > 0) || !std::isfinite(outcome) || !std::isfinite(forecast.p90)) return;
    const double off = std::log(outcome / forecast.p50);
    const double side = off > 0 ? std::log(forecast.p90 / forecast.p50) : std::log(forecast.p50 / forecast.p10);
    scores_.push_back(std::abs(off) / std::max(side, 1e-3));
    if (scores_.size() > window) scores_.pop_front();
}

double Conformal::factor() const {
    if (scores_.empty()) return 1;
    std::vector<double> all(calm_scores.begin(), calm_scores.end());
    all.insert(all.end(), scores_.begin(), scores_.end());
    std::sort(all.begin(), all.end());
    // The k-th smallest of n covers k / (n + 1) of what comes next.
    const double rank = covered * static_cast<double>(all.size() + 1) - 1;
    const auto low = std::min(static_cast<std::size_t>(rank), all.size() - 1);
    const auto high = std::min(low + 1, all.size() - 1);
    const double value = all[low] + (rank - static_cast<double>(low)) * (all[high] - all[low]);
    return std::clamp(value, factor_min, factor_max);
}

Band Conformal::widened(const Band& band) const {
    return widen(band, factor());
}

Band widen(const Band& band, double factor) {
    if (!(band.p10 > 0 && band.p50 > 0)) return band;
    return {band.p50 * std::pow(band.p10 / band.p50, factor), band.p50,
            band.p50 * std::pow(band.p90 / band.p50, factor)};
}

Band lognormal_band(double median, double sigma) {
    return {median * std::exp(-z90 * sigma), median, median * std::exp(z90 * sigma)};
}

}  // namespace segue

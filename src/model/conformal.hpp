#pragma once
/// \file  Makes bands cover what they claim: widens a Band by what past ones missed (split conformal,
///        theory.md 1.3).
///
/// The score of a past forecast is its error in the logarithm over the half-width of its own band on that side; the
/// factor is the quantile of the last scores that makes four of five outcomes fall inside. While scores are few,
/// made-up ones of a perfectly calibrated normal forecaster stand in: with none the factor is 1.
/// Pure. Cost: sorting `window` numbers.

#include <cstddef>
#include <deque>

#include "model/outlook.hpp"

namespace segue {

class Conformal {
public:
    static constexpr std::size_t window = 60;    ///< Forecasts remembered.
    static constexpr std::size_t stand_ins = 8;  ///< Made-up scores, one real one counting as one of them.
    static constexpr double factor_min = 0.7;
    static constexpr double factor_max = 5;

    /// What was forecast and what came of it. Ignored where the logarithm of either says nothing.
    void add(const Band& forecast, double outcome);
    /// What to widen by so that P10 to P90 covers 80 %.
    [[nodiscard]] double factor() const;
    [[nodiscard]] std::size_t count() const { return scores_.size(); }
    [[nodiscard]] Band widened(const Band& band) const;

private:
    std::deque<double> scores_;
};

/// The median stays, both sides are stretched by `factor` in the logarithm. A band that is not above zero is left.
[[nodiscard]] Band widen(const Band& band, double factor);

/// Of a quantity whose logarithm is normal. \pre median >= 0, sigma >= 0.
[[nodiscard]] Band lognormal_band(double median, double sigma);

}  // namespace segue

#pragma once
/// \file  Finds a guest's dirty curve from what was seen of it: page samples before the start and beside pass 1,
///        dirty syncs during the move, earlier moves.
///
/// Non-negative least squares on ramps min(x/tau, 1) and exponentials 1 - exp(-x/tau), tau from 10 ms to 300 s of
/// work: every concave curve is a mixture of these (theory.md 1.2), so that no family of guests is assumed. What
/// the observations leave open is filled by a prior that spreads the dirtying over all tau in proportion to
/// tau^0.75: between observations the curve is smooth and concave; below the smallest work seen it is near to a
/// line through zero, with room for a hot set; beyond the largest it goes on to rise a little. How sure it is there
/// is said by `log_sigma`, which grows away from the observations.
/// Observations are weighted by their variance and an outlier by less; dirty syncs are forgotten with a half-life
/// of 3 passes and 10 s of work, whichever is longer: a pass of minutes is not stale after three short ones.
/// Pure, deterministic. Cost: a fit takes about 0.3 ms; `add` nothing.

#include <array>
#include <cstddef>
#include <vector>

#include "model/curve.hpp"
#include "units/bytes.hpp"

namespace segue {

enum class CurveEvidence {
    remembered,  ///< From earlier moves of this guest.
    sample,      ///< Page sampling: hashes contents, misses rewrites of the same value.
    sync,        ///< A dirty sync of this move: exact, but for what the guest did otherwise in that round.
};

struct CurveObservation {
    double work_s = 0;        ///< Guest work over which it was seen, seconds.
    double bytes = 0;         ///< Distinct bytes dirtied in it.
    double relative_sd = 0.1;
    CurveEvidence evidence = CurveEvidence::sync;
    double absolute_sd = 0;   ///< Beside the relative one, bytes: rounding, few samples.

    friend bool operator==(const CurveObservation&, const CurveObservation&) = default;
};

/// A curve and how sure it is.
struct CurveBelief {
    Curve curve;
    /// Standard deviation of ln F at each point of the curve's grid; the rounds' own scatter not included.
    std::array<double, Curve::points> log_sigma{};

    [[nodiscard]] double sigma_at(double work_s) const;
};

class CurveFit {
public:
    static constexpr std::size_t observations_max = 64;  ///< Older ones weigh less than 1/1000 by then.
    /// A guest of which nothing was ever seen: dirties a hundredth of its memory a second, or 5 times less or more.
    static constexpr double unknown_sigma = 1.6;

    /// \param memory  F never gets above it.
    explicit CurveFit(Bytes memory) : memory_(static_cast<double>(memory.count)) {}

    /// Ignored where it says nothing: no work, or no number.
    void add(const CurveObservation& observation);
    /// The guest has changed: what was seen so far, but for the newest `keep`, holds only in shape, times `factor`,
    /// as a weak prior.
    void change(double factor, std::size_t keep);
    [[nodiscard]] CurveBelief fit() const;
    [[nodiscard]] const std::vector<CurveObservation>& observations() const { return seen_; }

private:
    struct Weighed;
    struct Solved;
    [[nodiscard]] static double size_of(const std::vector<Weighed>& seen);
    static void take_out_bias(std::vector<Weighed>& seen);
    [[nodiscard]] static Solved solve(std::vector<Weighed>& seen);
    [[nodiscard]] std::vector<Weighed> weighed() const;

    double memory_;
    std::vector<CurveObservation> seen_;  ///< In the order in which they were made.
};

}  // namespace segue

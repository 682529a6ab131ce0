#pragma once
/// \file  Whether a link that carries less than it promised may be so for a moment only. Pure.

#include <optional>

#include "policy/policy.hpp"

namespace segue::converge {

class SlowLink {
public:
    /// Before the start this was believed of it; bytes per second, 0 where nothing was.
    void promised(double rate) { promised_ = rate; }
    [[nodiscard]] double promise() const { return promised_; }

    /// At a dirty sync after pass 1: it is slow, has not been so for long, and the pass that would show more is short,
    /// also against the time left. What pass 1 took beyond its promise counts as slow.
    /// \param rate  What it carries, bytes per second.
    [[nodiscard]] bool for_a_moment(const View& view, double rate);

private:
    double promised_ = 0;
    std::optional<double> since_s_;  ///< By the move's clock.
};

}  // namespace segue::converge

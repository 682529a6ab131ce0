#pragma once
/// \file  How much the guest worked, and how much of its time it would work if nobody braked it.
///
/// Guest work is the run time of its vCPUs, mean of all of them: the axis of the dirty curve. Readings come every
/// 20 to 250 ms; between two of them the guest is taken to have run evenly.
/// Pure. Cost: O(log readings) a question; at most `readings_max` are kept, old ones thinned out.

#include <cstddef>
#include <optional>
#include <vector>

#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue {

class WorkClock {
public:
    static constexpr std::size_t readings_max = 1024;

    /// \param remembered_busy  From earlier moves; 0: not known, then all of the time is assumed.
    explicit WorkClock(double remembered_busy = 0) : remembered_busy_(remembered_busy) {}

    /// One reading; ignored where it goes backwards. \param worked  Since any fixed moment.
    /// \param granted  The least share that was granted since the reading before.
    void add(Instant at, Duration worked, Share granted);

    /// Work between two instants; absent where no reading is near. Up to `reach` before the first and after the
    /// last reading the nearest stretch is taken to go on.
    [[nodiscard]] std::optional<Duration> between(Instant from, Instant to) const;
    /// The part of its time that a vCPU runs when nobody brakes it: learned only while nobody does, the last
    /// seconds counting most.
    [[nodiscard]] Share busy() const;
    [[nodiscard]] bool busy_measured() const { return unbraked_s_ > 0; }
    /// What it really ran of the time since the reading nearest to so long ago; absent with fewer than two.
    [[nodiscard]] std::optional<Share> measured_share(Duration over = std::chrono::seconds{1}) const;

    static constexpr Duration reach = std::chrono::milliseconds{500};

private:
    struct Reading {
        Instant at;
        Duration worked;
    };
    [[nodiscard]] std::optional<double> worked_s(Instant at) const;

    double remembered_busy_;
    std::vector<Reading> readings_;
    Share granted_before_ = all_of_it;
    double unbraked_s_ = 0;  ///< Wall time unbraked, fading, and the work in it.
    double unbraked_work_s_ = 0;
};

}  // namespace segue

#pragma once
/// \file  How much the guest worked, and how much of its time it would work if nobody braked it.
///
/// Guest work is the run time of its vCPUs, mean of all of them: the axis of the dirty curve. Readings come every
/// 20 to 250 ms; between two of them the guest is taken to have run evenly.
/// While QEMU tracks what is written, the same work takes more run time (TCG: each first write to a page goes the slow
/// way; KVM: it faults): a guest that paces itself by the clock ran 1.08 to 1.2 times as long for it (measured, four
/// real moves). All that is told here is run time; `tracking_cost` is what it has to be divided by.
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
    explicit WorkClock(double remembered_busy = 0);

    /// One reading; ignored where it goes backwards. \param worked  Since any fixed moment.
    /// \param granted  The least share that was granted since the reading before.
    void add(Instant at, Duration worked, Share granted);
    /// Dirty tracking begins.
    void tracking_begins(Instant at);

    /// How many times as much run time the same work takes under tracking as before it, by the first seconds of a guest
    /// that is idle in part and nearly as busy as before; 1 where that cannot be told.
    [[nodiscard]] double tracking_cost() const;
    /// Work between two instants; absent where no reading is near. Up to `reach` before the first and after the
    /// last reading the nearest stretch is taken to go on.
    [[nodiscard]] std::optional<Duration> between(Instant from, Instant to) const;
    /// The part of its time that a vCPU runs now, tracked or not, when nobody brakes it: learned only while nobody
    /// does, the last seconds counting most.
    [[nodiscard]] Share busy() const;
    [[nodiscard]] bool busy_measured() const { return busy_measured_; }
    /// What it really ran of the time since the reading nearest to so long ago; absent with fewer than two.
    [[nodiscard]] std::optional<Share> measured_share(Duration over = std::chrono::seconds{1}) const;

    static constexpr Duration reach = std::chrono::milliseconds{500};

private:
    struct Reading {
        Instant at;
        Duration worked;
    };
    [[nodiscard]] std::optional<double> worked_s(Instant at) const;

    std::vector<Reading> readings_;
    /// Unbraked wall time, and the run time in it.
    struct Unbraked {
        double wall_s = 0;
        double ran_s = 0;
        void fade(double keep);
        void add(double wall, double ran);
    };
    Share granted_before_ = all_of_it;
    bool busy_measured_ = false;
    std::optional<Instant> tracked_since_;
    Unbraked before_;  ///< Fading; what is remembered counts as some.
    Unbraked since_;   ///< Under dirty tracking, fading.
    Unbraked compared_before_;  ///< As measured, for the tracking's cost.
    Unbraked compared_since_;
};

}  // namespace segue

#pragma once
/// \file  Whether the share that was set with go does what was expected of it. What should have stopped the guest long
///        ago, or stands still just above its budget, shows that the curve is wrong there: then a lower share is taken,
///        and at the lowest the move is given up.
///
/// Its clock runs from sync to sync, but no longer than twice what sending the backlog takes: while the link is silent
/// the guest is not held. Pure. Cost: nothing, 10 us where a guest has stood still for long.

#include "policy/converge/mechanics.hpp"

namespace segue::converge {

inline constexpr double same_share = 1e-9;

/// The setting that grants so much, of a ground that has it or a lower one.
[[nodiscard]] const Setting& setting_of(const Ground& ground, double share);

class Watch {
public:
    /// Go was said with a share, or a lower one was set. \param expected_s  From now to the stop.
    void set(double now_s, double backlog, double expected_s);
    /// At each dirty sync after go, before anything is asked. \param share  What the round had.
    void heed(const Ground& ground, double now_s, double backlog, double share);
    /// The most that may be granted from now on.
    [[nodiscard]] double most_share(const Ground& ground, double share);
    [[nodiscard]] bool failed(const Ground& ground, double share) const;
    /// Since the share was set, as this clock runs.
    [[nodiscard]] double held_s() const { return clock_s_ - set_at_s_; }

private:
    [[nodiscard]] bool stands(const Ground& ground, double share, double times, double least_s) const;
    /// It stops as soon as QEMU looks, and has not fitted for so long that a look must have been.
    [[nodiscard]] bool only_not_looked_at() const;

    double clock_s_ = 0;  ///< From go on.
    double heeded_at_s_ = 0;  ///< By the move's clock.
    double backlog_ = 0;
    double set_at_s_ = 0;
    double expected_s_ = 0;
    double most_share_ = 1;
    /// Since when the backlog has neither clearly fallen nor doubled, how many syncs ago, and what it was then.
    double stands_since_s_ = 0;
    int stands_syncs_ = 0;
    double stands_at_ = 0;
    bool fits_ = false;
    double fits_since_s_ = 0;
};

}  // namespace segue::converge

#pragma once
/// \file  From the solved programme to what is done at one dirty sync: wait, or go with a share. The policy, the
///        plan and the forecasts all decide by this class.
///
/// Beside the programme's own prices stand these rules: a guest whose backlog falls under the budget by itself is not
/// braked, and looked at once more while a pass is short against the move so far and should save more standstill than
/// its time is worth; nothing is waited for beyond the moment from which a rough course still ends in time; a share
/// once lowered for the switchover is not raised again.
/// Pure. Cost: made in 0.3 ms, priced in 0.1 ms; a choice about 2 us.

#include <limits>
#include <optional>

#include "policy/converge/dp.hpp"
#include "policy/converge/watch.hpp"

namespace segue::converge {

struct Situation {
    double backlog = 0;
    bool allowed = false;  ///< Go has been said.
    bool waited = false;   ///< Go has to be said now.
    double share = 1;      ///< Granted now, or the most that may be.
    double time_left = std::numeric_limits<double>::infinity();
    double slowness = 1;   ///< How much longer everything takes with the link at its worst.
    double shift = 0;      ///< What the present spell leaves for the next round, as a logarithm.
    double gone_s = 0;     ///< Since the move began.
    double before = 0;     ///< The backlog at the sync before; 0: there was none.
};

struct Choice {
    bool go = false;
    bool unaided = false;     ///< No brake is needed at all.
    bool for_time = false;    ///< The timeout, not the price, decided.
    std::size_t setting = 0;  ///< Of the ground; meaningless while waiting.
    bool looks_on = false;    ///< Waits only since one more pass should save more than its time is worth.
};

class Steering {
public:
    /// The programme at one aggression.
    struct Priced {
        double aggression = 0;
        Values braked;
        Values unaided;
    };

    /// \param highest  No backlog will be above it.
    Steering(const Ground& ground, double highest);

    [[nodiscard]] const Ground& ground() const { return braked_.ground(); }
    [[nodiscard]] const Terrain& terrain() const { return braked_; }
    [[nodiscard]] Priced price(double aggression) const;
    [[nodiscard]] Choice choose(const Priced& priced, const Situation& now) const;
    /// The setting for pass 1: no brake, unless the timeout cannot be kept otherwise.
    [[nodiscard]] std::size_t first_pass_setting(double pass_s, double time_left, double slowness) const;
    /// Another pass at full speed (a short round where go has been said) leaves time for a brake on a rough course.
    [[nodiscard]] bool may_wait(const Situation& now) const;
    /// Least time to the stop, with or without brake, all rounds alike.
    [[nodiscard]] double stop_time(NoisePoint noise, double backlog) const;

private:
    [[nodiscard]] bool may_leave_less(double aggression, const Situation& now) const;
    [[nodiscard]] bool needs_no_brake(double aggression, const Situation& now) const;
    [[nodiscard]] Choice choose_on(const Terrain& terrain, const Values& values, const Situation& now) const;

    Terrain braked_;
    Terrain unaided_;  ///< The ground with its highest setting alone.
    double natural_level_ = 0;
};

/// Passes at full speed beyond which nothing more is waited for: where the calm moment that would pay is so rare, the
/// guest is another than believed.
[[nodiscard]] int passes_waited_max(double aggression);

/// Time that is kept free of a timeout: the standstill and what the engine's own steps take.
[[nodiscard]] double time_kept(const Ground& ground);

}  // namespace segue::converge

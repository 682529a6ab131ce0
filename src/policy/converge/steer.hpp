#pragma once
/// \file  From the solved programme to what is done at one dirty sync: wait, or go with a share. The policy, the
///        plan and the forecasts all decide by these functions.
///
/// Beside the programme's own prices stand three rules: a guest whose backlog falls under the budget by itself is not
/// braked; nothing is waited for beyond the moment from which a rough course still ends in time; a share once
/// lowered for the switchover is not raised again.
/// Pure. Cost: a choice about 1 us a setting.

#include <limits>

#include "policy/converge/dp.hpp"

namespace segue::converge {

struct Situation {
    double backlog = 0;
    bool allowed = false;  ///< Go has been said.
    double share = 1;      ///< Granted now.
    double time_left = std::numeric_limits<double>::infinity();
    double slowness = 1;   ///< How much longer everything takes with the link at its worst.
    double shift = 0;      ///< What the present spell leaves for the next round, as a logarithm.
};

struct Choice {
    bool go = false;
    std::size_t setting = 0;  ///< Of the ground; meaningless while waiting.
    bool for_time = false;    ///< The timeout, not the price, decided.
    double cost = 0;
    double cost_of_other = 0;  ///< Of waiting where it goes, of going where it waits.
};

[[nodiscard]] Choice choose(const Terrain& terrain, const Values& values, const Situation& now);

/// The backlog falls under the budget by itself, soon enough for this aggression.
[[nodiscard]] bool needs_no_brake(const Ground& ground, double backlog, double aggression, double time_left);

/// The ground with its highest setting alone.
[[nodiscard]] Ground without_brake(Ground ground);

/// The setting for pass 1: no brake, unless the timeout cannot be kept otherwise.
[[nodiscard]] std::size_t first_pass_setting(const Terrain& terrain, double pass_s, double time_left, double slowness);

/// Time that is kept free of a timeout: the standstill and what the engine's own steps take.
[[nodiscard]] double time_kept(const Ground& ground);

}  // namespace segue::converge

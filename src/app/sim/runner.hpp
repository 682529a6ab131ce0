#pragma once
/// \file  Runs one scenario: the real Migration (and Session, Client, Recovery) against the simulated world, every
///        promise checked.
///
/// Thread: none. Deterministic: the same scenario gives the same transcript, byte for byte.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/sim/scenario.hpp"

namespace segue::sim {

struct RunResult {
    std::vector<std::string> violations;
    std::vector<std::string> transcript;  ///< One line per transition.
    std::optional<Summary> summary;       ///< Absent when Segue died before the end.
    std::optional<Summary> recovered;     ///< Of the last `segue recover`, if one was needed.
    bool struck = false;                  ///< The fault's moment came.
    Moment struck_in = Moment::any_time;  ///< The stage in which it really struck.
    Duration virtual_time{0};
    std::optional<Duration> stood;        ///< The longest the guest really stood.
};

/// \param on_line  Called for each line of the transcript as it is made, so that it survives an abort.
[[nodiscard]] RunResult run_scenario(const Scenario& scenario,
                                     std::function<void(const std::string&)> on_line = {});

/// "moved", "failed", ..., or "segue-killed".
[[nodiscard]] std::string outcome_word(const RunResult& result);

}  // namespace segue::sim

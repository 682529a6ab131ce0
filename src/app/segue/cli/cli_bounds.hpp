#pragma once
/// \file  The options of a move that are the same for `segue migrate` and `segue plan`: its bounds, and how it is
///        steered. Errors: `invalid`, as in cli.hpp.

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "migration/request.hpp"
#include "units/bound_ranges.hpp"

namespace CLI {
class App;
}

namespace segue {

/// What the options accept, ends included.
namespace cli_range {
using namespace bound_range;
}  // namespace cli_range

/// As typed.
struct BoundWords {
    std::optional<std::string> max_downtime, max_suspend_time, timeout, min_cpu, max_stall, max_bandwidth,
        switchover_bandwidth;
};
struct SteeringWords {
    std::optional<std::string> aggression, brake, policy;
    bool auto_converge = false;
};

struct Steering {
    BrakeKind brake = BrakeKind::cgroup;
    bool brake_required = false;
    double aggression = 0.5;
    std::string policy = "converge";  ///< Or "patient", or "exec:COMMAND".
};

void declare_bounds(CLI::App& app, BoundWords& words);
void declare_steering(CLI::App& app, SteeringWords& words);

/// \param notes  What was understood where the words alone do not say it; to be shown.
[[nodiscard]] Result<Bounds> parse_bounds(const BoundWords& words, std::vector<std::string>& notes);
[[nodiscard]] Result<Steering> parse_steering(const SteeringWords& words);

}  // namespace segue

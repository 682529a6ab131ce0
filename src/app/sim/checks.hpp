#pragma once
/// \file  The promises, checked against the truth of the simulated world once a run is over. What can be
///        seen only as it happens (two copies running, the word without a claim, ...) is checked by the
///        world itself.

#include <optional>
#include <string>
#include <vector>

#include "app/sim/scenario.hpp"
#include "hypervisor/sim/world.hpp"

namespace segue::sim {

struct Evidence {
    const Scenario& scenario;
    const World& world;
    std::optional<Summary> summary;
    Truth at_finish;      ///< As it was when Finish was said.
    bool struck = false;
    Instant struck_at;
    Instant finished_at;
    Instant now;
};

[[nodiscard]] std::vector<std::string> check_promises(const Evidence& evidence);

}  // namespace segue::sim

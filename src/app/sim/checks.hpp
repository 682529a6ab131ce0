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
    std::optional<Summary> recovered;  ///< What the last `segue recover` said.
    Truth at_finish;                   ///< As it was when Segue's Finish was said.
    bool struck = false;
    std::vector<Fault> struck_with;
    Instant struck_at;
    Instant finished_at;
    Instant now;
    std::optional<MoveRecord> src_record;
    bool dst_guardian_there = false;
    bool dst_receive_there = false;
    std::vector<Instant> src_fsyncs;
    std::vector<Instant> dst_fsyncs;
};

[[nodiscard]] std::vector<std::string> check_promises(const Evidence& evidence);
/// Segue died: what its guardian alone must have seen to, before anybody runs `segue recover`.
[[nodiscard]] std::vector<std::string> check_without_segue(const Scenario& scenario, const World& world, bool struck);

}  // namespace segue::sim

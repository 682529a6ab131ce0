#pragma once
/// \file  One simulated move: a world, a request, at most one fault, all from a seed.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hypervisor/sim/plan.hpp"
#include "migration/migration.hpp"

namespace segue::sim {

enum class Fault {
    none, link_collapse, black_hole, return_path_lost, dst_frozen, dst_dies, src_dies, src_monitor_lost, slow_flush,
    segue_killed, segue_stalled, guardian_killed, user_cancel, timeout_short, lost_answer, late_answer, cont_refused,
};
inline constexpr std::size_t fault_count = 17;
[[nodiscard]] std::string_view to_string(Fault fault) noexcept;

/// When the fault strikes: in a stage of the migration, while the guest is being stopped, or at a time.
enum class Moment {
    inspecting, sampling, guarding, preparing, copying, stopping, held, continued, loaded, handing_over, undoing,
    closing, any_time,
};
inline constexpr std::size_t moment_count = 13;
[[nodiscard]] std::string_view to_string(Moment moment) noexcept;
[[nodiscard]] Moment moment_of(MigrationStage stage) noexcept;

struct Scenario {
    std::uint64_t seed = 0;
    Plan plan;
    Request request;
    Fault fault = Fault::none;
    Moment moment = Moment::any_time;
    Duration offset{0};      ///< After the stage began; for `any_time` after the start.
    Duration length{0};      ///< How long it lasts, or how late an answer is.
    int which = 0;           ///< The first, second, third answer after it strikes.
    bool effect_happens = true;  ///< Of a command whose answer is lost.
    bool hurts_undo = false;     ///< The user cancels first, so that there is something to undo.
    Duration cancel_first{0};    ///< When, after copying began.
};

/// After this long the user gives up, whatever happens; then the world is healed; then it must be over.
inline constexpr Duration user_patience = std::chrono::seconds{40};
inline constexpr Duration healed_after = std::chrono::seconds{60};
inline constexpr Duration over_after = std::chrono::seconds{160};

[[nodiscard]] Scenario scenario_from(std::uint64_t seed);
/// A convergent guest on a good link, no fault: what directed tests start from.
[[nodiscard]] Scenario plain_scenario(std::uint64_t seed);

}  // namespace segue::sim

#pragma once
/// \file  One simulated move: a world, a request, at most one fault, all from a seed. Faults and moments form the cells
///        of a table; consecutive seeds take one cell after the other, so that as many seeds as there are cells try
///        each of them once.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "hypervisor/sim/plan.hpp"
#include "migration/migration.hpp"

namespace segue::sim {

class World;

enum class Fault {
    none, link_collapse, black_hole, return_path_lost, dst_frozen, dst_dies, src_dies, src_monitor_lost, slow_flush,
    segue_killed, segue_stalled, guardian_killed, user_cancel, timeout_short, lost_answer, late_answer, cont_refused,
    segue_and_guardian_killed, src_host_lost, src_fsync_slow, src_journal_fails,
    // With a remote destination only.
    receive_killed, receive_stalled, dst_guardian_killed, receive_and_guardian_killed, both_segues_killed,
    control_cut, control_deaf_dst, control_deaf_src, control_black_hole, dst_host_lost, word_late, duplicate_answer,
    dst_fsync_slow, dst_journal_fails,
};
inline constexpr std::size_t fault_count = 35;
[[nodiscard]] std::string_view to_string(Fault fault) noexcept;

/// When the fault strikes: in a stage of the migration, while the guest is being stopped, at a time, or when a step of
/// either journal is asked to be written (and so before, while or after it is).
enum class Moment {
    inspecting, sampling, guarding, preparing, copying, stopping, held, continued, loaded, handing_over, undoing,
    closing, any_time,
    step_guarding, step_preparing, step_migrate, step_held, step_continued, step_word, step_answered_running,
    step_answered_refused, step_undoing, step_rolled_back, step_moved, step_closed,
    step_dst_prepared, step_dst_listening, step_dst_accepted, step_dst_running, step_dst_refused, step_dst_tombstone,
};
inline constexpr std::size_t moment_count = 31;
[[nodiscard]] constexpr bool is_step(Moment moment) { return moment >= Moment::step_guarding; }
[[nodiscard]] std::string_view to_string(Moment moment) noexcept;
[[nodiscard]] Moment moment_of(MigrationStage stage) noexcept;
[[nodiscard]] std::optional<Moment> moment_of(StepKind step) noexcept;

/// What can strike when.
struct Cell {
    Fault fault{};
    Moment moment{};
    friend auto operator<=>(const Cell&, const Cell&) = default;
};
/// Every cell in which the fault has something to hurt, in order; the reasons for the others are in cells.cpp.
[[nodiscard]] const std::vector<Cell>& reachable_cells();
[[nodiscard]] bool needs_remote(Fault fault) noexcept;
[[nodiscard]] bool needs_remote(Moment moment) noexcept;

/// What a directed test does to the running world.
struct Interference {
    Duration at{0};  ///< After copying began.
    std::function<void(World&)> act;
};

struct Scenario {
    std::uint64_t seed = 0;
    Plan plan;
    Request request;
    bool controlled = false;  ///< By the converge policy, else by the patient one.
    Fault fault = Fault::none;
    Moment moment = Moment::any_time;
    Duration offset{0};      ///< After the stage began; for `any_time` after the start.
    Duration length{0};      ///< How long it lasts, or how late an answer is.
    int which = 0;           ///< The first, second, third answer after it strikes.
    bool effect_happens = true;  ///< Of a command whose answer is lost.
    bool hurts_undo = false;     ///< The user cancels first, so that there is something to undo.
    Duration cancel_first{0};    ///< When, after copying began.
    bool refuses_word = false;   ///< The destination's QEMU refuses `cont` all along, for the same reason.
    std::optional<Fault> second{};  ///< Strikes `second_after` the first: then only safety and the end are promised.
    Duration second_after{0};
    Duration second_length{0};
    std::optional<Duration> cancel_on_top{};  ///< The user cancels so long after the fault.
    Duration notice_src{0};      ///< How long each side's kernel takes to notice a cut.
    Duration notice_dst{0};
    bool lost_for_good = false;  ///< The destination's host never comes back, and the operator says so.
    bool recover_early = false;  ///< The first recover is run before the world is healed.
    /// ... and so soon that the guardian still works. Only where that has a monitor of its own.
    std::optional<Duration> recover_at_once{};
    std::optional<Duration> recover_killed{};  ///< The first recover is killed so long after its start.
    /// For directed tests: who decides instead of either policy, and what happens meanwhile.
    std::function<std::unique_ptr<Policy>()> policy{};
    std::vector<Interference> script{};
};

/// After this long the user gives up, whatever happens; then the world is healed; then it must be over.
inline constexpr Duration user_patience = std::chrono::seconds{40};
inline constexpr Duration healed_after = std::chrono::seconds{60};
inline constexpr Duration over_after = std::chrono::seconds{160};

[[nodiscard]] Scenario scenario_from(std::uint64_t seed);
/// The same with a second fault.
[[nodiscard]] Scenario pair_from(std::uint64_t seed);
/// A convergent guest on a good link, no fault: what directed tests start from.
[[nodiscard]] Scenario plain_scenario(std::uint64_t seed);

}  // namespace segue::sim

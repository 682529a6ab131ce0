#pragma once
/// \file  What each level of aggression would cost, before anything happens: the table of `segue plan`.
///
/// Each row is the converge policy itself, played against many draws of guest and link from the outlook
/// (common random numbers for all rows, fixed: the same question has the same answer, bit for bit).
/// Pure. Cost: eleven rows about 10 ms, 60 ms where relaxations are looked for.

#include <optional>
#include <string>
#include <vector>

#include "policy/policy.hpp"

namespace segue {

struct PlanQuestion {
    Outlook outlook;
    Duration max_downtime{0};
    std::optional<Duration> timeout;
    BrakeRange brake;
    Duration reserve{0};  ///< Kept free of max_downtime for a rollback.
    std::optional<ByteRate> switchover_bandwidth;  ///< Where the blackout's is another than the copying's.
};

struct PlanRow {
    double aggression = 0;
    /// As it is called, Ethernet's headers counted. Only where the link is not known and each row tells of another.
    std::optional<ByteRate> link = {};
    bool feasible = false;       ///< At least 95 of 100 draws end within all bounds.
    double finishes_ratio = 0;   ///< Draws that do.
    // Of the draws that do; total_s and lost_work_s include the standstill.
    Band total_s;
    Band downtime_s;
    Band lowest_share;           ///< Least that the guest was granted of its vCPUs while it ran.
    Band mean_share;             ///< Mean over the move of what it got of what it would have used.
    Band stall_s;                ///< Longest standstill at a stretch by the brake.
    Band lost_work_s;            ///< Guest work not done that would have been, seconds.
    Band sent_bytes;
    std::vector<std::string> binding;  ///< Bounds that shape this row: "max-downtime", "min-cpu", "timeout", ...
};

/// One bound that, moved alone, would make the move feasible.
struct Relaxation {
    std::string bound;  ///< "max-downtime", "min-cpu", "max-stall", "max-bandwidth", "timeout".
    double value = 0;   ///< The smallest that works: seconds, ratio, or bytes per second.
};

struct Plan {
    /// Aggression 0.0, 0.1, ... 1.0. Total time never rises, lowest share never rises. Or links, slowest first.
    std::vector<PlanRow> rows;
    bool feasible = false;      ///< Any row is.
    std::string binding;        ///< If none is: the bound that stands in the way.
    std::vector<Relaxation> relaxations;
};

[[nodiscard]] Plan make_plan(const PlanQuestion& question);

/// Where nothing is known of the link: one level over links of 100 Mbit/s to 25 Gbit/s. What stands in the way, if
/// none will do, is that of the fastest.
[[nodiscard]] Plan plan_over_links(const PlanQuestion& question, double aggression);

/// One row alone.
[[nodiscard]] PlanRow plan_row(const PlanQuestion& question, double aggression);

}  // namespace segue

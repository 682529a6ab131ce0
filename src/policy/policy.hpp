#pragma once
/// \file  The port of a policy: how one live migration is steered.
///
/// A policy is a deterministic automaton: constructed alike and shown the same views, it decides the
/// same, bit for bit. It has no clock, no I/O, no randomness, no globals, and no access to a hypervisor;
/// all it may know is in `View`, all it can do is in `Decision`. migration/ calls it once per dirty sync,
/// once more whenever a page sample came in during pass 1, and checks what it decides against the bounds.
/// Thread: the loop's. Cost: under 1 ms a call. Errors: none; too little evidence means carry on.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/outlook.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue {

/// One pass, from one dirty sync to the next.
struct Pass {
    std::int64_t number = 0;
    Duration began{0};   ///< Since the move began.
    Bytes backlog;       ///< Dirty at its beginning.
    Duration worked = {};  ///< Guest work in the pass before: what dirtied this backlog. 0: not measured.
    Share share = {};    ///< What the guest was granted in the pass before.
};

/// What the brake may be set to, floor and max stall applied; from the lowest to the highest, the last is all of
/// it. Just all of it where there is no brake.
struct BrakeRange {
    std::vector<double> shares{1.0};
    std::vector<double> stall_s{0.0};  ///< Worst standstill at a stretch, of each.
    bool cut_by_stall = false;         ///< Max stall, not min CPU, leaves lower shares out.
    double floor = 0;                  ///< What min CPU allows; 0: not said.
    bool available = false;            ///< There is a brake, though no share of it may be allowed.
};

struct View {
    Duration elapsed{0};  ///< Since the move began.
    std::optional<Duration> timeout;
    std::vector<Pass> passes;  ///< Oldest first; the last is under way, and has just begun but where a sample came in.
    Bytes memory;
    std::optional<ByteRate> bandwidth;  ///< Of the stream, cautious; absent before the first busy window.
    /// The most that may be pending at a stop that the source makes by itself.
    Bytes budget;
    /// At one of a braked guest, which Segue makes. Neither the brake nor late answers delay it.
    Bytes braked_budget;
    bool allowed = false;               ///< Go has been said already.
    Duration max_downtime{0};
    Duration reserve{0};  ///< Of it, kept free for a rollback.
    std::optional<ByteRate> switchover_bandwidth;  ///< What the operator says of the link in the blackout.
    double aggression = 0.5;  ///< 0: least disturbance, takes the time it may; 1: as soon as the bounds let it.
    BrakeRange brake;
    Share share = {};  ///< Granted now.
    Outlook outlook;  ///< Of this moment, with everything that `passes` taught.
};

struct CarryOn {};
/// Let the source stop the guest as soon as what is pending fits the budget.
struct AllowSwitchover {};
struct GiveUp {
    std::string bound = "max-downtime";  ///< That stands in the way: "timeout" or another of PlanRow::binding.
};

struct Decision {
    std::variant<CarryOn, AllowSwitchover, GiveUp> action;
    /// One sentence with the numbers that mattered, for the operator.
    std::string because;
    /// From now on; absent: as it is. Never below the lowest of BrakeRange (migration/ sees to that).
    std::optional<Share> share = {};
    /// What it expects from here, if it can say: seconds to the end of the move, and of the standstill.
    std::optional<Band> total_s = {};
    std::optional<Band> downtime_s = {};
};

class Policy {
public:
    virtual ~Policy() = default;
    Policy(const Policy&) = delete;
    Policy& operator=(const Policy&) = delete;

    /// Stable identifier: `[a-z][a-z0-9-]*`.
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
    /// Before anything is changed, `passes` empty: why no allowed choice can succeed, and what would help. Empty: one
    /// may. Cost: some milliseconds.
    [[nodiscard]] virtual std::string refuse(const View& view) const;
    [[nodiscard]] virtual Decision decide(const View& view) = 0;

protected:
    Policy() = default;
};

/// Waits for the backlog to fall by itself and allows the switchover when the next sync may fit the
/// budget. Never brakes.
[[nodiscard]] std::unique_ptr<Policy> make_patient_policy();

}  // namespace segue

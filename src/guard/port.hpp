#pragma once
/// \file  What migration/ asks of the guardian, and what it hears from it. Implemented by app/segue (the
///        process) and hypervisor/sim (the same rules in virtual time).

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "guard/board.hpp"
#include "units/duration.hpp"

namespace segue {

struct GuardStart {};  ///< GuardReady. Before anything is changed on either side.
struct GuardBrief { std::string put_back_script; };  ///< No answer.
struct GuardTakeStream {};                           ///< Its duplicate of the stream. No answer.
/// The open brake: it lets go whenever it acts. No answer.
struct GuardTakeBrake {};
struct GuardClaimWord {};      ///< GuardClaim.
struct GuardClaimRollback {};  ///< GuardClaim.
/// Writes the board; whatever is absent stays as it is. No answer; visible before the next effect acts.
struct GuardNote {
    std::optional<guard::Stage> stage = {};
    std::optional<std::uint32_t> pass = {};
    std::optional<Instant> ran_at = {};
    std::optional<Duration> budget = {};
    bool source_runs = false;
    std::optional<Instant> undoing_at = {};  ///< A sign of life.
};
struct GuardRelease {};  ///< Everything is put back; it may leave. No answer.

using GuardCommand = std::variant<GuardStart, GuardBrief, GuardTakeStream, GuardTakeBrake, GuardClaimWord,
                                  GuardClaimRollback, GuardNote, GuardRelease>;

struct GuardReady {
    bool own_monitor = false;
    Duration lateness_worst{0};
    Duration round_trip_worst{0};
};
struct GuardClaim {
    bool ours = false;
    /// A rollback that the guardian had decided before: its deadline came first.
    bool guardian_first = false;
};
using GuardAnswer = std::variant<GuardReady, GuardClaim>;

struct GuardRolledBack { bool source_runs = false; guard::RollbackReason reason{}; };
struct GuardNeedsHelp { guard::RollbackReason reason{}; };
struct GuardDied {};
using GuardNotice = std::variant<GuardRolledBack, GuardNeedsHelp, GuardDied>;

}  // namespace segue

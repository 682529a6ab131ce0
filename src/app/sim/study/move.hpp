#pragma once
/// \file  One migration of the study: a guest, a link and QEMU's mechanics to the letter of qemu.md section 1,
///        steered by a policy as Segue would (or by auto-converge, as QEMU would by itself).
///
/// Modelled: 100 ms windows and the threshold from the last one; estimated, then exact sync; a look at most every 50
/// ms; go that takes 55 to 450 ms to count; a dirty sync's own time; the stop, its stall and fixed costs; the rollback
/// when the standstill would get too long; the brake's delay; the stream's readings as Segue takes them.
/// Pure: the same arguments give the same result, bit for bit. Cost: about 1 ms a minute of virtual time.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/sim/study/auto_converge.hpp"
#include "app/sim/study/beholder.hpp"
#include "app/sim/study/case.hpp"
#include "policy/policy.hpp"

namespace segue::study {

enum class End { moved, gave_up, timed_out, rolled_back, endless };
[[nodiscard]] std::string_view to_string(End end) noexcept;

struct MoveResult {
    End end = End::endless;
    std::string because;         ///< Of giving up.
    bool refused = false;        ///< Before the start.
    double total_s = 0;
    double downtime_s = 0;       ///< Also where it was rolled back.
    double lost_s = 0;           ///< Guest work, standstill included.
    double sent_bytes = 0;
    double lowest_share = 1;
    double worst_stall_s = 0;
    double most_per_s = 0;       ///< On the wire, of any window of 100 ms.
    std::int64_t syncs = 0;      ///< When it ended.
    double work_taken_s = 0;     ///< What the guest worked meanwhile.
    double rate_sampled = 0;     ///< Bytes a second, as one second shows it.
    std::optional<Band> total_after_1{};   ///< As decided at the second dirty sync, from the start.
    std::optional<Band> downtime_after_1{};
    double pass_1_s = 0;                   ///< When the second dirty sync was.
    Curve curve_after_1;         ///< The true one at the second dirty sync, where asked for.
};

/// What a case is like before its start, as `segue plan` knows it: after all its samples.
struct Start {
    Setting setting;
    Outlook outlook;
    Bytes budget;
    Duration reserve{0};
};

using BeholderOf = std::function<std::unique_ptr<Beholder>(const Setting&, const GuestRun&, const Case&)>;
using Log = std::function<void(const std::string&)>;

struct Pilot {
    Policy* policy = nullptr;   ///< Or none: auto-converge.
    BeholderOf beholder;
    AutoConvergeSettings auto_converge{};
    std::function<void(const Start&)> on_start{};
    bool may_refuse = false;      ///< The policy, before the start.
    bool samples_beside = false;  ///< Page sampling goes on beside pass 1.
    bool keep_curve = false;
    double endless_s = 4 * 3600;  ///< Given up by the study itself.
    Log log{};
};

/// \param bounds  In place of the case's.
[[nodiscard]] MoveResult run_move(const Case& one, const Bounds& bounds, const Pilot& pilot);

}  // namespace segue::study

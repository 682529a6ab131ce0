#pragma once
/// \file  QEMU's rounds on a guest with a known curve: what one pass, one round after go, and a whole run of such
///        rounds take and leave. The one description of it for the programme, the plan and the oracle.
///
/// Before go a pass sends its whole backlog V and the next is F(work). After go the source looks again as soon as
/// less than what it was told is left, and stops if no more than that is dirty then (qemu.md 1.3); else it sends on. A
/// guest with a brake is stopped by Segue, as soon as what is left and a little more than what was dirtied since the
/// last sync fit (migration/stopping.cpp). What is dirtied twice, or lies among what is not yet sent, is counted once.
/// Plain doubles: seconds and bytes. Pure. Cost: a round 0.1 us.

#include <array>
#include <cstddef>
#include <limits>
#include <vector>

#include "policy/policy.hpp"

namespace segue::converge {

inline constexpr double never = 1e12;
[[nodiscard]] inline bool is_never(double seconds) { return seconds > 1e6; }

/// After go the source looks every 50 ms at most whether little enough is left: half of it on average.
inline constexpr double look_s = 0.025;
/// A short round's own cost against that of a whole pass: a dirty sync, but no window to wait for.
inline constexpr double short_round_cost = 0.25;
/// What the source may stop with before go: so many seconds' worth.
inline constexpr double before_go_s = 0.001;
/// A changed limit counts from QEMU's next 100 ms window on (migration_update_counters). From go to STOP with little
/// left: 17 to 83 ms in 26 moves of lab/study's guests, 34 in the middle; 55 to 123 ms in 12 runs before them, 100 to
/// 450 ms in others (measured.md). The three points, with the weights of a round's noise, hold most of the first two.
inline constexpr double go_effect_s = 0.070;
inline constexpr std::array<double, 3> go_effect_at_s = {0.120, go_effect_s, 0.020};

/// One share that may be set.
struct Setting {
    double share = 1;
    double stall_s = 0;
    double work_rate = 1;  ///< Guest work in a second of wall time.
    double budget = 0;     ///< What may be pending at the stop.
    double told = 0;       ///< The source looks below this: the worst stall charged, which would delay its own stop.

    /// Segue stops it.
    [[nodiscard]] bool counted() const { return share < 1; }
};

/// What may be pending at a stop that the source makes of a free guest, and at one that Segue makes of a braked one.
struct Budgets {
    double free = 0;
    double braked = 0;

    [[nodiscard]] double most() const { return braked > free ? braked : free; }
};

/// Guest, link and bounds as the rounds see them.
struct Ground {
    Curve curve;
    double busy = 1;
    BusiestVcpus busiest;
    double unbraked = 0;  ///< Part of the dirtying that a brake does not slow.
    double bandwidth = 1;
    double switch_bandwidth = 1;
    double overhead_s = 0;
    double fixed_s = 0;  ///< Charged for the standstill, beside bytes.
    double usual_s = 0;  ///< What of it is usually taken.
    double memory = 0;
    double level_sigma = 0;
    double round_sigma = 0;
    double round_phi = 0;
    double counted = 1.25;  ///< counted_for() of them.
    std::vector<Setting> settings;  ///< From the lowest share to the highest, which is no brake.

    /// Guest work in a second of wall time with such a share.
    [[nodiscard]] double work_rate(double share) const { return work_rate_at(busy, busiest, share); }
    [[nodiscard]] bool is_braked_by(double share) const { return work_rate(share) < busy * (1 - 1e-9); }
    /// A share above it brakes nobody.
    [[nodiscard]] double busiest_share() const { return busiest.part > 0 ? std::max(busiest.busiest, busy) : busy; }
    [[nodiscard]] const Setting& unbraked_setting() const { return settings.back(); }
    [[nodiscard]] Budgets budgets() const { return {settings.back().budget, settings.front().budget}; }
    /// Go is said with the first so many: with a brake if there is any.
    [[nodiscard]] std::size_t go_settings() const { return settings.size() > 1 ? settings.size() - 1 : 1; }
    [[nodiscard]] double sigma() const;  ///< Of one round's dirt: level and round together.
};

/// \param budgets    What may be pending at the stop.
/// \param shares_max At most so many settings, spread over the range; both ends are always kept.
[[nodiscard]] Ground ground_of(const Outlook& outlook, const BrakeRange& brake, Budgets budgets, double bandwidth,
                               double switch_bandwidth, std::size_t shares_max);

/// What a round of so much wall time dirties.
[[nodiscard]] double dirtied(const Ground& ground, const Setting& setting, double wall_s);

struct WholePass {
    double time_s = 0;
    double fresh = 0;  ///< What the next sync finds; times the round's noise.
};
/// A whole pass before go.
[[nodiscard]] WholePass whole_pass(const Ground& ground, const Setting& setting, double backlog);

struct GoRound {
    double time_s = 0;
    double rest = 0;   ///< Not yet sent at the next look, or the stop.
    double fresh = 0;  ///< Dirtied beside it; times the round's noise.
    bool stopped = false;  ///< By Segue: if it is more than fits then, the move is rolled back.
};
/// The source is told this at least, as time of the link (migration/go.cpp).
inline constexpr double least_told_s = 0.002;
/// From go until the brake is set and Segue may stop the guest.
inline constexpr double count_effect_s = 0.020;
/// \param known_work  curve.work_for(backlog): the caller has it for all settings at once.
/// \param go_wait_s   How long it takes until go, which is being said now, counts; 0: it was said before.
[[nodiscard]] GoRound go_round(const Ground& ground, const Setting& setting, double backlog, double known_work,
                               double go_wait_s);

struct Run {
    bool stops = false;
    double time_s = 0;
    double pending = 0;  ///< At the stop.
    double sent = 0;     ///< Before the stop.
};
/// Go now, this setting all along, every round off by the same factor.
[[nodiscard]] Run run_go(const Ground& ground, const Setting& setting, double backlog, double factor);

/// Passes without brake until what is left fits, then go.
[[nodiscard]] Run run_natural(const Ground& ground, double backlog, double factor);

/// Whether any one setting, or waiting, stops the guest within so many seconds.
[[nodiscard]] bool stops_within(const Ground& ground, double backlog, double factor, double limit_s);

/// Passes without brake and without go until what is left stands still: the natural level.
[[nodiscard]] double natural_level(const Ground& ground, double backlog, double factor);

}  // namespace segue::converge

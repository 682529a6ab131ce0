#pragma once
/// \file  What the parts of one simulated world share: time, the truth about the guest, and whom to tell.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guard/board.hpp"
#include "guard/port.hpp"
#include "hypervisor/guest.hpp"
#include "hypervisor/sim/agenda.hpp"
#include "hypervisor/sim/plan.hpp"

namespace segue::sim {

/// One stretch in which the guest ran nowhere.
struct Standing {
    Instant from;
    std::optional<Instant> to;
};

/// What is really so, whatever anybody was told.
struct Truth {
    bool src_runs = true;
    bool dst_runs = false;
    bool src_alive = true;
    bool src_ended = false;  ///< It was told to quit, after the move.
    bool dst_alive = true;
    bool src_changed = false;       ///< Settings differ from what was found.
    bool src_migration_open = false;  ///< A migration is under way or not yet cleaned up.
    bool dst_has_latest = false;    ///< At the moment it was first run: every chunk at its latest generation.
    bool dst_ever_ran = false;      ///< Then the source's copy is stale for ever.
    bool fenced = false;            ///< The operator said so: what he starts stale is his.
    bool accepted = false;          ///< Durably, by the destination's host.
    bool tombstone = false;         ///< Durably, by the destination's host.
    bool brake_open = false;
    double src_share = 1;           ///< What each vCPU of the source may run of the time.
    std::optional<Instant> brake_lifted_at;  ///< The last time.
    std::vector<Standing> standings;
    std::optional<Instant> held_at;       ///< pre-switchover, the last time.
    std::optional<Instant> flushed_at;    ///< `stop` was done with the disks, the last time.
    std::optional<Instant> completed_at;  ///< By the source's word.
    std::optional<Instant> word_at;       ///< The verdict became `word`.
    std::optional<Instant> segue_died_at;
};

struct Hooks {
    std::function<void(const GuestNotice&)> guest;
    /// With a remote destination: news of its QEMU, and whether somebody listens for the data connection
    /// (and hands it on then).
    std::function<void(const GuestNotice&)> dst_guest;
    std::function<bool()> take_stream;
    std::function<void(const GuardNotice&)> guard;
    std::function<void()> segue_killed;  ///< By the guardian.
    std::function<void(std::string)> violation;
    std::function<void(std::string_view who, const std::string& what)> log;
};

struct Context {
    Plan plan;
    Agenda agenda;
    Hooks hooks;
    Truth truth;
    guard::Board board;
    std::function<void(std::string_view who)> lift_brake{};

    void log(std::string_view who, const std::string& what) const {
        if (hooks.log) hooks.log(who, what);
    }
    void violation(std::string what) const {
        if (hooks.violation) hooks.violation(std::move(what));
    }
    [[nodiscard]] guard::Verdict verdict() const { return static_cast<guard::Verdict>(board.verdict.load()); }

    void src_vcpus(bool run) { vcpus(truth.src_runs, run); }
    void dst_vcpus(bool run) { vcpus(truth.dst_runs, run); }

private:
    void vcpus(bool& which, bool run) {
        if (which == run) return;
        which = run;
        const bool any = truth.src_runs || truth.dst_runs;
        if (truth.src_runs && truth.dst_runs) violation("two copies of the guest run");
        if (!any) {
            truth.standings.push_back({agenda.now(), std::nullopt});
        } else if (!truth.standings.empty() && !truth.standings.back().to) {
            truth.standings.back().to = agenda.now();
        }
    }
};

}  // namespace segue::sim

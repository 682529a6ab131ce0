#include "app/sim/checks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "units/text.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;

/// After pre-switchover a rollback that is overdue already takes this long at most.
constexpr Duration rollback_after_hold = milliseconds{25};

class Checker {
public:
    explicit Checker(const Evidence& evidence)
        : e_(evidence), truth_(evidence.world.truth()), max_downtime_(evidence.scenario.request.bounds.max_downtime) {}

    std::vector<std::string> all() {
        for (const auto& standing : truth_.standings) check_standing(standing);
        if (e_.summary) {
            check_place(*e_.summary);
            check_downtime_told(*e_.summary);
            check_put_back(*e_.summary);
        } else {
            check_without_segue();
        }
        const auto& guardian = e_.world.guardian();
        if (guardian.started() && guardian.alive() && !guardian.left()) say("the guardian is still there");
        return std::move(out_);
    }

private:
    void say(std::string what) { out_.push_back(std::move(what)); }
    [[nodiscard]] bool fault_is(Fault fault) const { return e_.struck && e_.scenario.fault == fault; }
    [[nodiscard]] bool word() const { return e_.world.verdict() == guard::Verdict::word; }

    void check_standing(const Standing& standing) {
        if (!truth_.src_alive) return;  // A guest crash.
        if (word() && !truth_.dst_alive && fault_is(Fault::dst_dies)) return;  // So is this: its owner died.
        Duration limit = max_downtime_;
        std::string what = "max downtime";
        if (truth_.held_at && *truth_.held_at >= standing.from) {
            // Drain and flush are not enforceable: what follows them is.
            const Duration stopping = *truth_.held_at - standing.from;
            if (stopping + rollback_after_hold > limit) {
                limit = stopping + rollback_after_hold;
                what = "what stopping took";
            }
        }
        if (word() && truth_.word_at && *truth_.word_at >= standing.from) {
            const Duration until_word = *truth_.word_at - standing.from;
            if (until_word > limit) say(fmt::format("the word was claimed {} after the stop", to_text(until_word)));
            if (e_.struck && e_.scenario.fault != Fault::none) return;  // The hand-over is not enforceable.
        }
        const Duration stood = standing.to.value_or(e_.now) - standing.from;
        if (stood > limit) {
            const std::string_view still = standing.to ? "" : " and still stands";
            say(fmt::format("the guest stood for {}{}, {} is {}", to_text(stood), still, what, to_text(limit)));
        }
    }

    void check_place(const Summary& summary) {
        const auto& truth = e_.at_finish;
        const bool crash = fault_is(Fault::dst_dies) || fault_is(Fault::src_dies);
        // The news of a death takes a moment.
        if (crash && e_.finished_at - e_.struck_at < milliseconds{1}) return;
        switch (summary.guest_on) {
            case GuestOn::source:
                if (!truth.src_runs || !truth_.src_runs) say("told to be on the source, where it does not run");
                break;
            case GuestOn::destination:
                if (!truth.dst_runs || !truth_.dst_runs) say("told to be on the destination, where it does not run");
                if (!truth_.dst_has_latest) say("the destination's memory is not the latest");
                break;
            case GuestOn::nowhere:
                if (truth.src_runs || truth.dst_runs) say("told to be nowhere, and it runs");
                break;
            case GuestOn::unknown: check_unknown_allowed(); break;
        }
        const bool moved = summary.outcome == Outcome::moved;
        if (moved != (summary.guest_on == GuestOn::destination)) say("outcome and place do not agree");
        if (moved && !summary.error.empty() && !e_.struck) say("moved without a fault, but: " + summary.error);
        if (!moved && truth_.dst_runs && summary.guest_on != GuestOn::unknown) {
            say("it runs on the destination, and that was not told");
        }
        if (summary.outcome == Outcome::refused && truth_.src_changed) say("refused, and something was changed");
    }

    /// Only an unanswered hand-over word excuses not knowing; or that every way to the source is lost.
    void check_unknown_allowed() {
        const bool excused = word() || fault_is(Fault::src_dies) ||
                             (fault_is(Fault::src_monitor_lost) && !e_.scenario.plan.guard.own_monitor);
        if (!excused) say("told to be unknown although it could be known");
        if (!word() && !truth_.src_runs && truth_.src_alive) say("unknown, and in the end it runs nowhere");
        if (word() && !e_.struck) say("unknown without a fault");
    }

    void check_downtime_told(const Summary& summary) {
        if (summary.guest_on == GuestOn::unknown || summary.guest_on == GuestOn::nowhere) return;
        const bool stood = !truth_.standings.empty();
        // Without the source's monitor nobody could know; what is told is then an upper bound.
        const bool blind = fault_is(Fault::src_monitor_lost) && !stood;
        if (summary.guest_stopped != stood && !blind) {
            say(stood ? "it stood, and was told never to have stopped" : "told to have stopped, and it never did");
        }
        if (!stood || !truth_.standings.back().to) return;
        const Duration real = *truth_.standings.back().to - truth_.standings.back().from;
        if (summary.downtime < real) {
            say(fmt::format("told to have stood for {}, it was {}", to_text(summary.downtime), to_text(real)));
        }
    }

    void check_put_back(const Summary& summary) {
        if (summary.outcome == Outcome::unknown || !truth_.src_alive) return;
        // After a move the source QEMU has only its end before it: its settings matter to nobody.
        const bool told = summary.error.find("settings could not be put back") != std::string::npos;
        if (truth_.src_changed && !told && summary.outcome != Outcome::moved) {
            say("the source's settings were not put back, and nobody was told");
        }
        if (truth_.src_migration_open && summary.guest_on == GuestOn::source) {
            say("the source still has a migration under way");
        }
        if (summary.guest_on != GuestOn::source) return;
        const bool told_dst = summary.error.find("could not be seen to end") != std::string::npos;
        if (truth_.dst_alive && e_.world.dst_listens() && !told_dst) {
            say("the destination was left behind, and nobody was told");
        }
    }

    void check_without_segue() {
        if (!truth_.src_alive || word()) return;
        if (!truth_.src_runs) say("Segue died and the guest does not run on the source");
        if (truth_.dst_runs) say("Segue died and the guest runs on the destination without the word");
        if (truth_.src_migration_open) say("Segue died and the source still has a migration under way");
        if (truth_.src_changed) say("Segue died and the source's settings were not put back");
    }

    const Evidence& e_;
    const Truth& truth_;
    Duration max_downtime_;
    std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> check_promises(const Evidence& evidence) { return Checker(evidence).all(); }

}  // namespace segue::sim

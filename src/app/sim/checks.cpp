#include "app/sim/checks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "units/text.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;

/// After pre-switchover a rollback that is overdue already takes this long at most.
constexpr Duration rollback_after_hold = milliseconds{25};

bool kills_segue_and_guardian(Fault fault) {
    return fault == Fault::segue_and_guardian_killed || fault == Fault::src_host_lost;
}

/// A guest whose move is not live stands until the timeout at most.
Duration may_stand(const Request& request) {
    return request.non_live ? request.bounds.timeout.value_or(over_after) : request.bounds.max_downtime;
}

class Checker {
public:
    explicit Checker(const Evidence& evidence)
        : e_(evidence), truth_(evidence.world.truth()), max_downtime_(may_stand(evidence.scenario.request)) {}

    std::vector<std::string> all() {
        // Two faults at once may cost any bound, and hide what was to be told; never safety, nor the end.
        const bool one = e_.struck_with.size() <= 1;
        if (one) {
            for (const auto& standing : truth_.standings) check_standing(standing);
        }
        if (e_.summary && one) {
            check_place(*e_.summary);
            check_downtime_told(*e_.summary);
            if (!e_.recovered) check_put_back(*e_.summary);
        }
        check_end();
        check_fsyncs(e_.src_fsyncs, "source");
        check_fsyncs(e_.dst_fsyncs, "destination");
        const auto& guardian = e_.world.guardian();
        if (guardian.started() && guardian.alive() && !guardian.left()) say("the guardian is still there");
        if (e_.dst_guardian_there) say("the destination's guardian is still there");
        if (e_.dst_receive_there) say("segue receive is still there");
        return std::move(out_);
    }

private:
    void say(std::string what) { out_.push_back(std::move(what)); }
    [[nodiscard]] bool fault_is(Fault fault) const {
        return std::ranges::find(e_.struck_with, fault) != e_.struck_with.end();
    }
    [[nodiscard]] bool word() const { return e_.world.verdict() == guard::Verdict::word; }
    /// The fault ended the QEMU, alone or with its host.
    [[nodiscard]] bool src_lost() const { return fault_is(Fault::src_dies) || fault_is(Fault::src_host_lost); }
    [[nodiscard]] bool dst_lost() const {
        const bool same_host = fault_is(Fault::src_host_lost) && !e_.scenario.plan.remote.used;
        return fault_is(Fault::dst_dies) || fault_is(Fault::dst_host_lost) || same_host;
    }

    void check_standing(const Standing& standing) {
        if (!truth_.src_alive && !truth_.src_ended) return;  // A guest crash.
        if (word() && !truth_.dst_alive && dst_lost()) return;  // So is this: its owner died.
        // Nobody was left to bring it back but the operator.
        if (e_.struck && kills_segue_and_guardian(e_.scenario.fault)) return;
        Duration limit = max_downtime_;
        std::string what = "max downtime";
        // Drain and flush are not enforceable: what follows them is.
        const bool by_stop = truth_.flushed_at && *truth_.flushed_at >= standing.from;
        const auto& flushed = by_stop ? truth_.flushed_at : truth_.held_at;
        if (flushed && *flushed >= standing.from) {
            const Duration stopping = *flushed - standing.from;
            if (stopping + rollback_after_hold > limit) {
                limit = stopping + rollback_after_hold;
                what = "what stopping took";
            }
        }
        if (word() && truth_.word_at && *truth_.word_at >= standing.from) {
            const Duration until_word = *truth_.word_at - standing.from;
            if (until_word > limit) say(fmt::format("the word was claimed {} after the stop", to_text(until_word)));
            // The hand-over is not enforceable.
            if ((e_.struck && e_.scenario.fault != Fault::none) || e_.scenario.refuses_word) return;
        }
        const Duration stood = standing.to.value_or(e_.now) - standing.from;
        if (stood > limit) {
            const std::string_view still = standing.to ? "" : " and still stands";
            say(fmt::format("the guest stood for {}{}, {} is {}", to_text(stood), still, what, to_text(limit)));
        }
    }

    void check_place(const Summary& summary) {
        const auto& truth = e_.at_finish;
        // The news of a death takes a moment.
        const Duration news = milliseconds{1} + e_.scenario.plan.remote.delay * 2;
        if ((src_lost() || dst_lost()) && e_.finished_at - e_.struck_at < news) return;
        switch (summary.guest_on) {
            case GuestOn::source:
                if (!truth.src_runs) say("told to be on the source, where it does not run");
                if (!truth_.src_runs && !src_lost()) say("told to be on the source, and then it did not run there");
                break;
            case GuestOn::destination:
                // Nothing tells a host that is lost from one that cannot be reached: it ran, and that was seen.
                if (!truth.dst_runs && !(fault_is(Fault::dst_host_lost) && truth.dst_ever_ran)) {
                    say("told to be on the destination, where it does not run");
                }
                if (!truth_.dst_runs && !dst_lost()) say("told to be on the destination, and then did not run there");
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
        if (word() && !e_.struck && !e_.scenario.refuses_word) say("unknown without a fault");
    }

    void check_downtime_told(const Summary& summary) {
        if (summary.guest_on == GuestOn::unknown || summary.guest_on == GuestOn::nowhere) return;
        const bool stood = !truth_.standings.empty();
        // Without the source's monitor nobody could know; what is told is then an upper bound. A death after the end
        // is nobody's news.
        const bool blind = fault_is(Fault::src_monitor_lost) && !stood;
        const bool later = stood && truth_.standings.front().from >= e_.finished_at;
        if (summary.guest_stopped != stood && !blind && !later) {
            say(stood ? "it stood, and was told never to have stopped" : "told to have stopped, and it never did");
        }
        if (!stood || later || !truth_.standings.back().to) return;
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
    }

    /// The world was healed and recover has run: the move is over, and everything is where it belongs.
    void check_end() {
        if (truth_.src_alive && truth_.src_runs && truth_.src_share < 1) say("in the end the brake still holds");
        const int running = (truth_.src_runs ? 1 : 0) + (truth_.dst_runs ? 1 : 0);
        const bool owner_died = (!truth_.src_alive && src_lost()) || (word() && !truth_.dst_alive && dst_lost());
        const bool excused = owner_died || (running == 0 && nobody_knows());
        if (running != 1 && !excused) say(fmt::format("in the end {} copies run", running));
        if (truth_.fenced && truth_.src_alive && !truth_.src_runs) say("fenced, and the source does not run");
        if (truth_.dst_runs && !truth_.dst_has_latest) say("what runs in the end is not the latest memory");
        if (truth_.dst_runs && truth_.src_alive) say("the source's QEMU was left standing after the move");
        if (truth_.dst_runs && !word()) say("it runs on the destination without a word");
        if (!truth_.dst_runs && truth_.dst_alive && dst_is_ours() && !told_left_behind()) {
            say("a destination QEMU was left behind, and nobody was told");
        }
        if (truth_.src_alive && truth_.src_runs && e_.recovered) {
            if (truth_.src_changed) say("after recover the source's settings are not put back");
            if (truth_.src_migration_open) say("after recover the source still has a migration under way");
        }
        if ((!e_.src_record || !e_.src_record->ended) && !nobody_knows()) say("the journal's record was not closed");
        if (e_.recovered && e_.recovered->unfinished && !nobody_knows()) say("recover did not bring it to an end");
    }

    /// With no `segue receive` there is no second journal: a destination QEMU that is gone was killed before it was
    /// told to run or after it ran, and nothing is left that could say which. Only the operator's word ends this.
    [[nodiscard]] bool nobody_knows() const {
        if (e_.scenario.plan.remote.used || truth_.dst_alive || !e_.src_record) return false;
        return std::ranges::any_of(e_.src_record->steps,
                                   [](const MoveStep& step) { return step.kind == StepKind::word_may_be_sent; }) &&
               !e_.src_record->ended;
    }

    /// One that only waited, and that nobody told to listen, is its operator's.
    [[nodiscard]] bool dst_is_ours() const { return e_.scenario.plan.remote.by_command || e_.world.dst_listens(); }
    [[nodiscard]] bool told_left_behind() const {
        const auto tells = [](const std::optional<Summary>& summary) {
            return summary && (summary->error.find("could not be seen to end") != std::string::npos ||
                               summary->error.find("end its QEMU if it waits there") != std::string::npos);
        };
        // Nobody on that host is left who knows of it, and it never runs.
        const bool receive_dead = fault_is(Fault::receive_killed) || fault_is(Fault::both_segues_killed);
        if (fault_is(Fault::receive_and_guardian_killed)) return true;
        if (receive_dead && fault_is(Fault::dst_guardian_killed)) return true;
        return !e_.scenario.plan.remote.used && (tells(e_.summary) || tells(e_.recovered));
    }

    /// One on each side at most while the guest of a move that succeeds stands.
    void check_fsyncs(const std::vector<Instant>& fsyncs, std::string_view where) {
        if (!e_.summary || e_.summary->outcome != Outcome::moved || truth_.standings.empty()) return;
        const Standing& standing = truth_.standings.back();
        const auto within = std::ranges::count_if(fsyncs, [&](Instant at) {
            return at >= standing.from && standing.to && at < *standing.to;
        });
        if (within > 1) say(fmt::format("{} durable writes on the {} while the guest stood", within, where));
    }

    const Evidence& e_;
    const Truth& truth_;
    Duration max_downtime_;
    std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> check_promises(const Evidence& evidence) { return Checker(evidence).all(); }

std::vector<std::string> check_without_segue(const Scenario& scenario, const World& world, bool struck) {
    const auto& truth = world.truth();
    std::vector<std::string> out;
    if (!truth.src_alive || world.verdict() == guard::Verdict::word) return out;
    if (struck && kills_segue_and_guardian(scenario.fault)) return out;
    if (!truth.src_runs) out.emplace_back("Segue died and the guest does not run on the source");
    if (truth.dst_runs) out.emplace_back("Segue died and the guest runs on the destination without the word");
    if (truth.src_migration_open) out.emplace_back("Segue died and the source still has a migration under way");
    if (truth.src_changed) out.emplace_back("Segue died and the source's settings were not put back");
    if (truth.src_share < 1) out.emplace_back("Segue died and the brake still holds the guest");
    if (truth.brake_lifted_at && truth.segue_died_at &&
        *truth.brake_lifted_at - *truth.segue_died_at > scenario.request.bounds.max_downtime) {
        out.emplace_back("Segue died and the brake was let go later than max downtime");
    }
    return out;
}

}  // namespace segue::sim

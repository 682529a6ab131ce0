#include "app/segue/replay/replay_move.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "app/segue/words/plain_text.hpp"
#include "app/sim/study/move.hpp"
#include "app/sim/study/optimum.hpp"
#include "policy/converge/converge.hpp"

namespace segue {
namespace {

using study::End;
using study::MoveResult;

/// Stop requests, stalls and fixed costs are drawn; the middle of so many courses is shown.
constexpr std::uint64_t courses = 7;
constexpr double mebibyte = 1024 * 1024;

std::string outcome_words(End end) {
    switch (end) {
        case End::moved: return "moved";
        case End::gave_up:
        case End::rolled_back: return "downtime-exceeded";
        case End::timed_out: return "timeout";
        case End::endless: return "endless";
    }
    return "?";
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

/// The usual end, and the middle of the courses that ended so.
MoveCost middle_of(const std::vector<MoveResult>& results) {
    std::map<End, std::size_t> ends;
    for (const MoveResult& one : results) ++ends[one.end];
    const End end = std::ranges::max_element(ends, {}, [](const auto& each) { return each.second; })->first;
    const auto of = [&](const auto& figure) {
        std::vector<double> values;
        for (const MoveResult& one : results) {
            if (one.end == end) values.push_back(std::invoke(figure, one));
        }
        return median(std::move(values));
    };
    MoveCost out;
    out.outcome = outcome_words(end);
    out.total_s = of(&MoveResult::total_s);
    if (end == End::moved || end == End::rolled_back) out.downtime_s = of(&MoveResult::downtime_s);
    out.sent_bytes = of(&MoveResult::sent_bytes);
    out.lost_work_s = of(&MoveResult::lost_s);
    out.lowest_share = of(&MoveResult::lowest_share);
    return out;
}

/// What goes on for longer is called endless: thirty times as long as memory takes once.
double patience_s(const study::Case& one) {
    return 60 + 30 * one.guest.memory_bytes * one.guest.nonzero_ratio / one.wire.bytes_per_s;
}

MoveResult fly(const study::Case& one, const study::Bounds& bounds, Policy* policy, bool knowing) {
    study::Pilot pilot;
    pilot.policy = policy;
    pilot.samples_beside = !knowing;
    pilot.endless_s = patience_s(one);
    pilot.auto_converge.max = static_cast<int>(std::lround(100 * (1 - bounds.min_cpu)));
    pilot.beholder = [knowing](const study::Setting& setting, const study::GuestRun& truth, const study::Case& what) {
        return knowing ? study::make_knowing(setting, truth, what) : study::make_learning(setting);
    };
    return study::run_move(one, bounds, pilot);
}

/// The programme on the true curve, with QEMU's looks after go and without: the better of both.
MoveResult fly_best(const study::Case& one) {
    study::Bounds calm = one.bounds;
    calm.aggression = 0;
    const auto whole = study::make_reference_policy();
    const auto looks = make_converge_policy();
    const MoveResult first = fly(one, calm, whole.get(), true);
    const MoveResult second = fly(one, calm, looks.get(), true);
    if (second.end != End::moved) return first;
    return first.end != End::moved || second.lost_s < first.lost_s ? second : first;
}

MoveResult fly_by(const study::Case& one, const std::string& name) {
    if (name == "auto-converge") return fly(one, one.bounds, nullptr, false);
    const auto policy = name == "patient" ? make_patient_policy() : make_converge_policy();
    return fly(one, one.bounds, policy.get(), false);
}

MoveCost cost_of(const RecordedMove& move, const MoveEnding& ending) {
    MoveCost out;
    const double downtime_s = ending.downtime ? to_seconds(*ending.downtime) : 0;
    const RecordedCost seen = cost_of(move, to_seconds(ending.total) - downtime_s);
    const double busy = move.decisions.back().view.outlook.busy.ratio;
    out.outcome = ending.outcome;
    out.total_s = to_seconds(ending.total);
    if (ending.downtime) out.downtime_s = downtime_s;
    out.sent_bytes = static_cast<double>(ending.sent.count);
    out.lost_work_s = seen.lost_s + busy * downtime_s;
    out.lowest_share = seen.lowest_share;
    return out;
}

std::string regret_words(const std::optional<MoveCost>& one, const std::optional<MoveCost>& best) {
    const auto regret = regret_of(one, best);
    return regret ? fmt::format("{:+.2f} s, {:+.1f} s", regret->lost_work_s, regret->total_s) : "-";
}

}  // namespace

ReplayReport play_again(const RecordedMove& move, const std::string& policy, const std::optional<MoveEnding>& ending) {
    ReplayReport out;
    out.job = move.job;
    out.vm = move.vm;
    out.steered_by = move.policy;
    out.policy = policy;
    out.decisions = move.decisions.size();
    if (move.decisions.empty()) {
        out.trouble = "nothing was decided in it";
        return out;
    }
    if (ending) out.recorded = cost_of(move, *ending);
    auto known = case_of(move);
    if (!known) {
        out.trouble = known.error().message;
        return out;
    }
    std::vector<MoveResult> replayed;
    std::vector<MoveResult> best;
    for (std::uint64_t course = 1; course <= courses; ++course) {
        known->seed = course;
        replayed.push_back(fly_by(*known, policy));
        best.push_back(fly_best(*known));
    }
    out.replayed = middle_of(replayed);
    out.optimum = middle_of(best);
    return out;
}

std::string render_replayed(const ReplayReport& report) {
    if (!report.replayed) return "not played again: " + plain_text(report.trouble);
    std::string text = fmt::format("played again: {}\n{:<16}{:>18}{:>18}{:>18}", replay_assumptions, "", "recorded",
                                   plain_text(report.policy), "optimum");
    const std::array columns{&report.recorded, &report.replayed, &report.optimum};
    const auto row = [&](std::string_view name, const auto& words) {
        text += fmt::format("\n{:<16}", name);
        for (const auto* column : columns) text += fmt::format("{:>18}", *column ? words(**column) : "-");
    };
    row("ended", [](const MoveCost& cost) { return plain_text(cost.outcome); });
    row("total s", [](const MoveCost& cost) { return fmt::format("{:.2f}", cost.total_s); });
    row("stood ms", [](const MoveCost& cost) {
        return cost.downtime_s ? fmt::format("{:.0f}", *cost.downtime_s * 1e3) : std::string("-");
    });
    row("sent MiB", [](const MoveCost& cost) { return fmt::format("{:.0f}", cost.sent_bytes / mebibyte); });
    row("lost work s", [](const MoveCost& cost) { return fmt::format("{:.2f}", cost.lost_work_s); });
    row("lowest CPU %", [](const MoveCost& cost) { return fmt::format("{:.0f}", cost.lowest_share * 100); });
    text += fmt::format("\n{:<16}{:>18}{:>18}{:>18}", "regret (work, t)", regret_words(report.recorded, report.optimum),
                        regret_words(report.replayed, report.optimum), "-");
    return text;
}

}  // namespace segue

// The figures of the issue, from the outcomes of many cases.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/sim/study/study.hpp"

namespace segue::study {
namespace {

double quantile(std::vector<double> values, double part) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const double at = part * static_cast<double>(values.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const auto high = std::min(low + 1, values.size() - 1);
    return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

std::string percent(double part) { return fmt::format("{:.1f} %", part * 100); }

bool moved(const Attempt& attempt) { return attempt.result.end == End::moved; }

class Sheet {
public:
    explicit Sheet(const std::vector<Outcome>& outcomes) : outcomes_(outcomes) {}

    std::vector<Figure> all() {
        cases();
        bounds();
        finishing();
        lost_work();
        verdicts();
        forecasts();
        coverage();
        rival();
        decisions();
        return std::move(out_);
    }

private:
    void figure(std::string name, double number, std::string value, std::string goal = {},
                std::optional<bool> holds = {}) {
        out_.push_back({std::move(name), std::move(value), std::move(goal), holds, number});
    }
    /// A part of cases that must be at least, or at most, so large.
    void part(const std::string& name, std::size_t count, std::size_t of, double goal, bool at_least) {
        const double share = of == 0 ? 0 : static_cast<double>(count) / static_cast<double>(of);
        std::optional<bool> holds;
        if (of > 0) holds = at_least ? share >= goal : share <= goal;
        figure(name, share, fmt::format("{} ({} of {})", percent(share), count, of),
               fmt::format("{} {}", at_least ? ">=" : "<=", percent(goal)), holds);
    }
    void at_most(const std::string& name, const std::vector<double>& values, double part, double goal, bool ratio) {
        const double value = quantile(values, part);
        const auto text = [ratio](double x) { return ratio ? fmt::format("{:.3f} x", x) : percent(x); };
        std::optional<bool> holds;
        if (!values.empty()) holds = value <= goal;
        figure(name, value, fmt::format("{} (n {})", text(value), values.size()), "<= " + text(goal), holds);
    }
    /// Of the forecasts of one kind of attempt, as parts of what came.
    struct Errors {
        std::vector<double> before;
        std::vector<double> after;
        std::vector<double> downtime;  ///< Over max(15 ms, 10 %).
        std::vector<double> constant;  ///< Of the constant rate, where it promises an end; ours there.
        std::vector<double> beside_constant;
    };
    [[nodiscard]] Errors errors_of(Attempt Outcome::* who, bool steady_only) const;
    [[nodiscard]] std::size_t count(Kind kind) const {
        return static_cast<std::size_t>(
            std::ranges::count_if(outcomes_, [kind](const Outcome& one) { return one.kind == kind; }));
    }

    void cases();
    void bounds();
    void finishing();
    void lost_work();
    void verdicts();
    void forecasts();
    void coverage();
    void rival();
    void decisions();

    const std::vector<Outcome>& outcomes_;
    std::vector<Figure> out_;
};

void Sheet::cases() {
    const auto outside = std::ranges::count_if(outcomes_, [](const Outcome& one) { return !one.one.guest.in_model; });
    figure("cases", static_cast<double>(outcomes_.size()),
           fmt::format("{}: {} feasible, {} marginal, {} infeasible", outcomes_.size(), count(Kind::feasible),
                       count(Kind::marginal), count(Kind::infeasible)));
    part("guests of families outside of the model", static_cast<std::size_t>(outside), outcomes_.size(), 1.0 / 3, true);
}

void Sheet::bounds() {
    for (const auto* name : {"downtime", "timeout", "bandwidth", "min-cpu", "max-stall"}) {
        std::size_t broken = 0;
        std::size_t attempts = 0;
        for (const auto& one : outcomes_) {
            for (const auto* attempt : {&one.ours, &one.calm, &one.keen}) {
                ++attempts;
                broken += std::ranges::count(attempt->broken, name) > 0 ? 1U : 0U;
            }
        }
        figure(fmt::format("{} broken", name), static_cast<double>(broken),
               fmt::format("{} of {} attempts", broken, attempts), "0", broken == 0);
    }
}

void Sheet::finishing() {
    std::size_t asked = 0;
    std::size_t calm = 0;
    std::size_t keen = 0;
    for (const auto& one : outcomes_) {
        if (one.kind != Kind::feasible) continue;
        asked += moved(one.ours) ? 1U : 0U;
        calm += moved(one.calm) ? 1U : 0U;
        keen += moved(one.keen) ? 1U : 0U;
    }
    part("feasible finished, as asked", asked, count(Kind::feasible), 0.99, true);
    part("feasible finished, aggression 0", calm, count(Kind::feasible), 0.99, true);
    part("feasible finished, aggression 1", keen, count(Kind::feasible), 0.99, true);
}

void Sheet::lost_work() {
    std::vector<double> ratios;
    std::vector<double> asked;
    std::vector<double> clairvoyant;
    for (const auto& one : outcomes_) {
        if (one.kind != Kind::feasible || !moved(one.calm)) continue;
        const double best = std::max(one.optimum.lost_s, 1e-3);
        ratios.push_back(one.calm.result.lost_s / best);
        if (moved(one.ours)) asked.push_back(one.ours.result.lost_s / best);
        // Below a millisecond no order of pages matters.
        if (one.clairvoyant_s > 1e-3) clairvoyant.push_back(one.calm.result.lost_s / one.clairvoyant_s);
    }
    at_most("lost work over the optimum's, median", ratios, 0.5, 1.15, true);
    at_most("lost work over the optimum's, P95", ratios, 0.95, 1.4, true);
    const double middle = quantile(asked, 0.5);
    figure("... at the aggression asked for, median", middle, fmt::format("{:.3f} x", middle));
    figure("lost work over the clairvoyant bound, median", quantile(clairvoyant, 0.5),
           fmt::format("{:.2f} x (n {})", quantile(clairvoyant, 0.5), clairvoyant.size()));
}

void Sheet::verdicts() {
    std::size_t early = 0;
    std::size_t falsely = 0;
    std::size_t told = 0;
    std::size_t told_early = 0;
    std::size_t knowing_early = 0;
    const auto refused_of = [](const Attempt& attempt) {
        return attempt.refused || attempt.result.end == End::gave_up;
    };
    const auto soon_of = [&](const Attempt& attempt) {
        return refused_of(attempt) && (attempt.refused || attempt.result.syncs <= 3);
    };
    for (const auto& one : outcomes_) {
        const bool soon = soon_of(one.ours);
        if (one.kind == Kind::feasible && refused_of(one.ours)) ++falsely;
        if (one.kind != Kind::infeasible) continue;
        early += soon ? 1U : 0U;
        knowing_early += soon_of(one.knowing) ? 1U : 0U;
        // Where even the true curve gives hope until later, the link or the guest changed for the worse.
        if (one.optimum.end != End::gave_up || one.optimum.syncs > 3) continue;
        ++told;
        told_early += soon ? 1U : 0U;
    }
    part("infeasible refused by the second pass", early, count(Kind::infeasible), 0.98, true);
    const double share = told == 0 ? 0 : static_cast<double>(told_early) / static_cast<double>(told);
    figure("... of those whose true curve says so by then", share,
           fmt::format("{} ({} of {})", percent(share), told_early, told));
    const auto infeasible = count(Kind::infeasible);
    const double best = infeasible == 0 ? 0 : static_cast<double>(knowing_early) / static_cast<double>(infeasible);
    figure("... infeasible refused, told the true curve", best,
           fmt::format("{} ({} of {})", percent(best), knowing_early, infeasible));
    part("feasible refused", falsely, count(Kind::feasible), 0.01, false);
}

Sheet::Errors Sheet::errors_of(Attempt Outcome::* who, bool steady_only) const {
    Errors out;
    for (const auto& one : outcomes_) {
        const Attempt& attempt = one.*who;
        if (!moved(attempt) || (steady_only && one.one.wire.kind != "constant")) continue;
        const auto& result = attempt.result;
        const auto off = [&result](double p50) { return std::abs(p50 - result.total_s) / result.total_s; };
        if (attempt.before) {
            out.before.push_back(off(attempt.before->total_s.p50));
            const double wrong = std::abs(attempt.before->downtime_s.p50 - result.downtime_s);
            out.downtime.push_back(wrong / std::max(0.015, 0.1 * result.downtime_s));
        }
        if (result.total_after_1) out.after.push_back(off(result.total_after_1->p50));
        if (!one.constant_total_s) continue;
        out.constant.push_back(off(*one.constant_total_s));
        if (attempt.before) out.beside_constant.push_back(out.before.back());
    }
    return out;
}

void Sheet::forecasts() {
    const auto ours = errors_of(&Outcome::ours, false);
    const auto steady = errors_of(&Outcome::ours, true);
    const auto knowing = errors_of(&Outcome::knowing, false);
    const auto both = errors_of(&Outcome::knowing, true);
    // A link that collapses, drifts or is shared later on is known to nobody before the start; nor is a guest that
    // changes, but to who is told its curve. What is missed there too is beyond all learning.
    const auto beside = [&](const std::string& what, auto part, auto text) {
        const auto line = [&](const std::string& when, const Errors& errors) {
            const auto& values = errors.*part;
            const double p90 = quantile(values, 0.9);
            figure(fmt::format("... {}, {}", what, when), p90, fmt::format("{} (n {})", text(p90), values.size()));
        };
        line("link as it was probed", steady);
        line("told the true curve", knowing);
        line("both", both);
    };
    const auto times = [](double x) { return fmt::format("{:.3f} x", x); };
    const auto median = [&](const std::string& name, const std::vector<double>& values) {
        figure(name, quantile(values, 0.5), percent(quantile(values, 0.5)));
    };
    median("total time before the start, median error", ours.before);
    at_most("total time before the start, P90 error", ours.before, 0.9, 0.10, false);
    beside("before the start", &Errors::before, percent);
    median("total time after pass 1, median error", ours.after);
    at_most("total time after pass 1, P90 error", ours.after, 0.9, 0.04, false);
    beside("after pass 1", &Errors::after, percent);
    at_most("downtime's error over max(15 ms, 10 %), P90", ours.downtime, 0.9, 1, true);
    beside("downtime", &Errors::downtime, times);
    const double theirs = quantile(ours.constant, 0.9);
    figure("constant dirty rate, P90 error", theirs, fmt::format("{} (n {})", percent(theirs), ours.constant.size()));
    if (ours.beside_constant.empty()) return;
    const double part = quantile(ours.beside_constant, 0.9) / std::max(theirs, 1e-9);
    figure("ours on the same, over it", part, fmt::format("{:.2f} x", part), "<= 0.20 x", part <= 0.2);
    const double least = quantile(knowing.beside_constant, 0.9) / std::max(quantile(knowing.constant, 0.9), 1e-9);
    figure("... on the same, told the true curve", least, fmt::format("{:.2f} x", least));
}

/// P10 and P90 widened to 5 and 95 % as a normal distribution's on each side: what the 90 % band is.
Band wide(const Band& band) {
    constexpr double factor = 1.6449 / 1.2816;
    return {band.p50 - (band.p50 - band.p10) * factor, band.p50, band.p50 + (band.p90 - band.p50) * factor};
}

void Sheet::coverage() {
    for (const bool first : {true, false}) {
        std::size_t in80 = 0;
        std::size_t in90 = 0;
        std::size_t n = 0;
        for (const auto& one : outcomes_) {
            const auto& result = one.ours.result;
            std::optional<Band> band;
            if (first && one.ours.before) band = one.ours.before->total_s;
            if (!first) band = result.total_after_1;
            if (!moved(one.ours) || !band) continue;
            ++n;
            const auto inside = [&result](const Band& b) { return result.total_s >= b.p10 && result.total_s <= b.p90; };
            in80 += inside(*band) ? 1U : 0U;
            in90 += inside(wide(*band)) ? 1U : 0U;
        }
        const std::string when = first ? "before the start" : "after pass 1";
        const double share80 = n == 0 ? 0 : static_cast<double>(in80) / static_cast<double>(n);
        const double share90 = n == 0 ? 0 : static_cast<double>(in90) / static_cast<double>(n);
        figure("80 % bands cover, " + when, share80, fmt::format("{} (n {})", percent(share80), n));
        std::optional<bool> holds;
        if (n > 0) holds = share90 >= 0.86 && share90 <= 0.94;
        figure("90 % bands cover, " + when, share90, fmt::format("{} (n {})", percent(share90), n), "86 to 94 %",
               holds);
    }
    std::size_t held = 0;
    std::size_t n = 0;
    for (const auto& one : outcomes_) {
        if (!moved(one.ours) || !one.ours.before) continue;
        const auto band = wide(one.ours.before->downtime_s);
        const double was = one.ours.result.downtime_s;
        ++n;
        held += was >= band.p10 && was <= band.p90 ? 1U : 0U;
    }
    const double share = n == 0 ? 0 : static_cast<double>(held) / static_cast<double>(n);
    figure("90 % bands cover the downtime, before the start", share, fmt::format("{} (n {})", percent(share), n));
}

void Sheet::rival() {
    std::vector<double> lost;
    std::vector<double> time;
    std::vector<double> bytes;
    std::size_t n = 0;
    std::size_t never = 0;
    std::size_t broken = 0;
    for (const auto& one : outcomes_) {
        if (one.kind != Kind::feasible || !moved(one.ours)) continue;
        const auto& theirs = one.auto_converge.result;
        ++n;
        broken += one.auto_converge.broken.empty() ? 0U : 1U;
        if (theirs.end != End::moved) {
            ++never;
            continue;
        }
        if (theirs.lowest_share >= 1) continue;  // It never had to throttle: nothing to compare.
        lost.push_back(theirs.lost_s / std::max(one.ours.result.lost_s, 1e-3));
        time.push_back(theirs.total_s / one.ours.result.total_s);
        bytes.push_back(theirs.sent_bytes / one.ours.result.sent_bytes);
    }
    const auto middle = [this](const std::string& name, const std::vector<double>& values) {
        const double value = quantile(values, 0.5);
        figure("auto-converge over ours where it throttled, " + name, value,
               fmt::format("{:.2f} x (P10 {:.2f}, P90 {:.2f}, n {})", value, quantile(values, 0.1),
                           quantile(values, 0.9), values.size()));
    };
    middle("lost work", lost);
    middle("time", time);
    middle("bytes", bytes);
    figure("auto-converge breaks a bound", static_cast<double>(broken), fmt::format("{} of {} feasible", broken, n));
    figure("auto-converge never ends", static_cast<double>(never), fmt::format("{} of {} feasible", never, n));
}

void Sheet::decisions() {
    std::vector<double> worst;
    for (const auto& one : outcomes_) {
        for (const auto* attempt : {&one.ours, &one.calm, &one.keen}) {
            if (attempt->decision_worst_s > 0) worst.push_back(attempt->decision_worst_s);
        }
    }
    if (worst.empty()) return;
    const double p50 = quantile(worst, 0.5);
    const double p99 = quantile(worst, 0.99);
    figure("slowest decision of a move, P50", p50, fmt::format("{:.2f} ms", p50 * 1e3));
    figure("slowest decision of a move, P99", p99, fmt::format("{:.2f} ms", p99 * 1e3), "< 1 ms", p99 < 1e-3);
}

}  // namespace

std::vector<Figure> figures_of(const std::vector<Outcome>& outcomes) {
    return Sheet(outcomes).all();
}

}  // namespace segue::study

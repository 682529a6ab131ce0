#include "policy/converge/foresee.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

namespace segue::converge {
namespace {

/// One in ten lies beyond.
constexpr double tenth = 1.2816;
/// What the switchover's parts take against what they usually do.
constexpr double costs_less = 0.3;
constexpr double costs_more = 0.3;

/// Standard normals in a fixed order, as a usual course has them.
constexpr std::array<double, Luck::rounds> usual_rounds = {
    -0.16, 0.67, -0.98, 0.37, 1.38, -0.55, 0.05, -1.83, 0.83, -0.27, 0.49, -1.15,
    1.83, 0.16, -0.67, 0.98, -0.05, -1.38, 0.27, 1.15, -0.83, 0.55, -0.37, -0.49};
/// Where in them the others begin.
constexpr std::array<std::ptrdiff_t, 4> usual_starts = {5, 10, 14, 19};

Luck usual_luck() {
    Luck out;
    out.round = usual_rounds;
    return out;
}

/// In rounds: of such a course one pass more or less is a small part, and to play five would take too long.
constexpr int long_course = 30;

/// Of the usual courses that end.
struct Usual {
    std::vector<double> total_s;
    std::vector<double> downtime_s;

    void add(const Course& one) {
        if (!one.finished) return;
        total_s.push_back(one.total_s);
        downtime_s.push_back(one.downtime_s);
    }
    void sort() {
        std::ranges::sort(total_s);
        std::ranges::sort(downtime_s);
    }
    static double middle(const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; }
};

}  // namespace

std::optional<Foreseen> foresee(const Steering& steering, const Steering::Priced& priced, const Situation& start,
                                const Around& around) {
    const auto course = [&](const Luck& luck) { return play(steering, priced, start, luck); };
    const auto plain = course(usual_luck());
    if (!plain.finished) return std::nullopt;
    // One pass more or less at full speed is often all the same to the policy, and a matter of the rounds' noise.
    Usual usual;
    usual.add(plain);
    const auto others = std::span(usual_starts).first(plain.rounds <= long_course ? usual_starts.size() : 0);
    for (const auto start_at : others) {
        Luck luck = usual_luck();
        std::rotate(luck.round.begin(), luck.round.begin() + start_at, luck.round.end());
        usual.add(course(luck));
    }
    if (2 * usual.total_s.size() <= others.size()) return std::nullopt;
    usual.sort();
    const auto off = [&](auto change) {
        Luck luck = usual_luck();
        change(luck);
        return course(luck);
    };
    const double level = tenth * steering.ground().sigma();
    const double slow = 1 / start.slowness;
    const auto less = off([level](Luck& luck) { luck.level = -level; });
    const auto more = off([level](Luck& luck) { luck.level = level; });
    const auto slower = off([slow](Luck& luck) { luck.speed = slow; });
    const auto early_go = off([](Luck& luck) { luck.go_s = go_effect_at_s[rough]; });

    Foreseen out;
    const double total = around.before_s + Usual::middle(usual.total_s);
    const double down = less.finished ? std::max(plain.total_s - less.total_s, 0.0) : 0;
    const double up = more.finished ? std::max(more.total_s - plain.total_s, 0.0) : plain.total_s;
    const double late = (slower.finished ? slower.total_s - plain.total_s : 0) + around.before_s * (1 / slow - 1);
    const double early = total * (1 - 1 / around.fast);
    const double below = around.before_s + usual.total_s.front();
    const double above = around.before_s + usual.total_s.back();
    out.total_s = {total - std::hypot(down, early, total - below), total,
                   total + std::hypot(up, std::max(late, 0.0), above - total)};

    const double fixed = steering.ground().usual_s;
    const double stands = Usual::middle(usual.downtime_s);
    double least = usual.downtime_s.front();
    double most = usual.downtime_s.back();
    if (less.finished) least = std::min(least, less.downtime_s);
    if (more.finished) most = std::max(most, more.downtime_s);
    if (early_go.finished) most = std::max(most, early_go.downtime_s);
    least -= costs_less * fixed;
    most += costs_more * fixed;
    out.downtime_s = {std::max(least, 0.0), stands, most};
    return out;
}

}  // namespace segue::converge

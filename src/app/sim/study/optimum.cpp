#include "app/sim/study/optimum.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/assert.hpp"

namespace segue::study {
namespace {

constexpr std::size_t points = 192;
constexpr int sweeps_max = 60;
/// A guest that dirties nearly as fast as the link sends needs many rounds.
constexpr int rounds_max = 3000;
constexpr double never = 1e15;
/// The rounds that are planned come out a little worse than expected: noise of a round.
constexpr double margin = 1.03;
/// Where the timeout binds a little of the time is kept.
constexpr double time_kept = 0.97;
constexpr double still = 0.995;
/// A second is never worth less than this much work: nobody waits a minute for a microsecond.
constexpr double price_least = 1e-4;
/// Values are found to within this.
constexpr double settled = 1e-7;
/// Another round is waited for only if it saves more than the table's own error.
constexpr double worth_waiting = 1.005;
constexpr double price_most = 1e4;
constexpr int price_steps = 12;

struct Move {
    double cost_s = 0;  ///< Work lost in the round.
    double time_s = 0;
    double end_s = 0;   ///< Standstill, where the round may be the last; negative: it may not.
    double next = 0;    ///< Position of what it leaves.
    bool stands_still = false;  ///< It leaves as much as there was.
};

class Programme {
public:
    Programme(const RoundProblem& problem, double backlog) : problem_(problem) {
        lowest_ = std::max(problem.budget * 0.02, 4096.0);
        const double after = problem.curve->bytes_in(backlog / problem.bandwidth);
        const double highest = std::max({backlog, problem.budget * 2, after});
        log_step_ = std::log(highest * 1.01 / lowest_) / (points - 1);
        const auto shares = problem.brake.shares.size();
        moves_.resize(points * shares);
        for (std::size_t i = 0; i < points; ++i) {
            for (std::size_t s = 0; s < shares; ++s) moves_[i * shares + s] = move(level(i), s);
        }
    }

    /// \param price  Of a second, in seconds of guest work.
    void solve(double price) {
        price_ = price;
        value_.fill(never);
        for (int sweep = 0; sweep < sweeps_max; ++sweep) {
            double change = 0;
            // From the lowest up: most rounds lead down.
            for (std::size_t i = 0; i < points; ++i) {
                double best = value_[i];
                const auto shares = problem_.brake.shares.size();
                for (std::size_t s = 0; s < shares; ++s) best = std::min(best, cost(moves_[i * shares + s]));
                change = std::max(change, value_[i] - best);
                value_[i] = best;
            }
            if (change < settled) break;
        }
    }

    /// Follows the best choices from `backlog`.
    [[nodiscard]] RoundAnswer follow(double backlog) const {
        RoundAnswer out;
        double left = backlog;
        for (int round = 0; round < rounds_max; ++round) {
            const auto [best, share] = choose(left);
            if (cost(best) >= never) return {};
            out.lost_s += best.cost_s;
            out.time_s += best.time_s;
            const bool last = best.end_s >= 0 && end_cost(best) <= go_on_cost(best) * worth_waiting;
            if (round == 0) {
                out.share = share;
                out.go = last;
            }
            if (last) {
                out.feasible = true;
                out.downtime_s = best.end_s;
                out.lost_s += problem_.busy * best.end_s;
                out.time_s += best.end_s;
                return out;
            }
            left = lowest_ * std::exp(best.next * log_step_);
        }
        return {};
    }

private:
    [[nodiscard]] double level(std::size_t point) const {
        return lowest_ * std::exp(static_cast<double>(point) * log_step_);
    }
    [[nodiscard]] Move move(double backlog, std::size_t s) const {
        const double share = problem_.brake.shares[s];
        const double pace = work_rate_at(problem_.busy, problem_.busiest, share);
        Move out;
        out.time_s = backlog / problem_.bandwidth + problem_.overhead_s;
        const double next = margin * problem_.curve->bytes_in(pace * out.time_s);
        out.end_s = -1;
        if (next <= problem_.budget) {
            out.time_s = std::max(out.time_s, problem_.go_s);
            out.end_s = problem_.standing_s + next / problem_.bandwidth;
        }
        out.cost_s = (problem_.busy - pace) * out.time_s;
        out.stands_still = next > still * backlog;
        out.next = std::log(std::max(next, lowest_) / lowest_) / log_step_;
        return out;
    }
    [[nodiscard]] double end_cost(const Move& move) const { return (problem_.busy + price_) * move.end_s; }
    [[nodiscard]] double go_on_cost(const Move& move) const {
        const double at = std::clamp(move.next, 0.0, static_cast<double>(points - 1));
        const auto low = std::min(static_cast<std::size_t>(at), points - 2);
        const double part = at - static_cast<double>(low);
        if (value_[low] >= never || value_[low + 1] >= never) return never;
        return value_[low] * (1 - part) + value_[low + 1] * part;
    }
    [[nodiscard]] double cost(const Move& move) const {
        // What neither ends nor gets anywhere would be waited for for ever: the curve stays as it is.
        double after = move.stands_still ? never : go_on_cost(move);
        if (move.end_s >= 0) after = std::min(after, end_cost(move));
        return after >= never ? never : move.cost_s + price_ * move.time_s + after;
    }
    [[nodiscard]] std::pair<Move, double> choose(double backlog) const {
        Move best = move(backlog, problem_.brake.shares.size() - 1);
        double share = problem_.brake.shares.back();
        for (std::size_t s = 0; s + 1 < problem_.brake.shares.size(); ++s) {
            const Move other = move(backlog, s);
            if (cost(other) >= cost(best)) continue;
            best = other;
            share = problem_.brake.shares[s];
        }
        return {best, share};
    }

    const RoundProblem& problem_;
    double lowest_ = 1;
    double log_step_ = 1;
    double price_ = 0;
    std::vector<Move> moves_;
    std::array<double, points> value_{};
};

class Reference final : public Policy {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "reference"; }

    [[nodiscard]] Decision decide(const View& view) override {
        RoundProblem problem;
        const auto& outlook = view.outlook;
        problem.curve = &outlook.curve;
        problem.bandwidth = outlook.bandwidth_bytes_per_second.p50;
        problem.busy = std::max(outlook.busy.ratio, 0.001);
        problem.busiest = outlook.busiest;
        problem.overhead_s = to_seconds(outlook.round_overhead);
        problem.go_s = view.allowed ? 0 : 0.12;
        problem.budget = static_cast<double>(std::max(view.budget, view.braked_budget).count);
        problem.standing_s = to_seconds(outlook.costs.total());
        problem.brake = view.brake;
        if (view.timeout) problem.time_left_s = to_seconds(*view.timeout - view.elapsed);
        const Pass& pass = view.passes.back();
        const double backlog =
            static_cast<double>(pass.number == 1 ? outlook.first_pass.count : pass.backlog.count);
        const RoundAnswer answer = best_rounds(problem, backlog);
        if (!answer.feasible) {
            const double pass_s = backlog / problem.bandwidth;
            return {GiveUp{},
                    fmt::format("no allowed choice can succeed: {:.3g} bytes at {:.3g} a second take {:.2f} s, in "
                                "which {:.3g} are dirtied; budget {:.3g}",
                                backlog, problem.bandwidth, pass_s, problem.curve->bytes_in(problem.busy * pass_s),
                                problem.budget)};
        }
        Decision out;
        if (answer.go) out.action = AllowSwitchover{};
        out.because = fmt::format("share {:.3f}, {:.2f} s to go, {:.2f} s lost", answer.share, answer.time_s,
                                  answer.lost_s);
        out.share = Share{answer.share};
        const double total = to_seconds(view.elapsed) + answer.time_s;
        out.total_s = Band{total, total, total};
        out.downtime_s = Band{answer.downtime_s, answer.downtime_s, answer.downtime_s};
        return out;
    }
};

}  // namespace

RoundAnswer best_rounds(const RoundProblem& problem, double backlog) {
    SEGUE_ASSERT(problem.curve != nullptr && !problem.brake.shares.empty());
    if (problem.budget <= 0 || problem.bandwidth <= 0) return {};
    Programme programme(problem, backlog);
    programme.solve(price_least);
    RoundAnswer best = programme.follow(backlog);
    if (!best.feasible || !problem.time_left_s || best.time_s <= *problem.time_left_s * time_kept) return best;
    double low = price_least;
    double high = price_most;
    best = {};
    for (int i = 0; i < price_steps; ++i) {
        const double price = std::sqrt(low * high);
        programme.solve(price);
        const RoundAnswer answer = programme.follow(backlog);
        const bool in_time = answer.feasible && answer.time_s <= *problem.time_left_s * time_kept;
        if (in_time) best = answer;
        (in_time ? high : low) = price;
    }
    if (best.feasible) return best;
    programme.solve(price_most);
    const RoundAnswer fastest = programme.follow(backlog);
    return fastest.feasible && fastest.time_s <= *problem.time_left_s ? fastest : RoundAnswer{};
}

std::unique_ptr<Policy> make_reference_policy() {
    return std::make_unique<Reference>();
}

double clairvoyant_s(const Curve& curve, double bandwidth) {
    double most = 0;
    for (std::size_t i = 0; i < Curve::points; ++i) {
        most = std::max(most, curve.table()[i] - bandwidth * Curve::work_at(i));
    }
    return most / bandwidth;
}

std::optional<double> constant_rate_total_s(double first_pass, double rate, double bandwidth, double budget,
                                            double standing_s) {
    if (rate >= bandwidth || budget <= 0) return std::nullopt;
    double total = 0;
    double backlog = first_pass;
    while (backlog > budget) {
        const double round = backlog / bandwidth;
        total += round;
        backlog = rate * round;
    }
    return total + backlog / bandwidth + standing_s;
}

}  // namespace segue::study

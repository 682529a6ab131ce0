#include "policy/converge/plan.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <random>

#include "base/assert.hpp"
#include "policy/converge/play.hpp"
#include "policy/converge/question.hpp"
#include "policy/converge/unforeseen.hpp"

namespace segue {
namespace {

using namespace converge;

constexpr std::size_t draws = 100;
/// The policy will know the guest's level after pass 1; a few levels stand for what it may find.
constexpr std::size_t levels = 5;
constexpr std::size_t shares_max = 5;
constexpr int rows = 11;
constexpr double finishes_enough = 0.95;
constexpr std::array links{ByteRate{12'500'000},  ByteRate{125'000'000},   ByteRate{312'500'000},
                           ByteRate{625'000'000}, ByteRate{1'250'000'000}, ByteRate{3'125'000'000}};
/// Payload of a full frame over what it takes on the wire, and a little less than the link may carry.
constexpr double payload_ratio = 1448.0 / 1538 * 0.98;
/// What one pass leaves unknown of the level, where the rounds are quiet.
constexpr double least_level_sigma = 0.02;
/// A bound that shapes at least this part of the courses is said to bind.
constexpr double shapes = 0.1;
constexpr double same = 1e-9;
/// A relaxation is told once a plan with it succeeds; until then it gives by this much more.
constexpr double further = 1.06;
constexpr int tries_max = 12;

double uniform(std::mt19937_64& seeded) {
    return (static_cast<double>(seeded() >> 11) + 0.5) * 0x1p-53;
}

double normal(std::mt19937_64& seeded) {
    const double radius = std::sqrt(-2 * std::log(uniform(seeded)));
    return radius * std::cos(2 * 3.14159265358979323846 * uniform(seeded));
}

struct Draw {
    double level = 0;  ///< Standard normals.
    double first_pass = 0;
    double first_round = 0;
    double speed = 0;
    Luck luck;
};

/// The same for every question and row. The levels are spread evenly over their probability, so that a hundred are
/// enough for a tenth per cent; the rest is chance.
const std::array<Draw, draws>& all_draws() {
    static const auto made = [] {
        std::array<Draw, draws> out;
        std::mt19937_64 seeded(20261121);
        std::mt19937_64 gos(20261123);
        std::array<double, draws> spread{};
        for (auto& value : spread) value = normal(seeded);
        std::sort(spread.begin(), spread.end());
        for (std::size_t i = 0; i < draws; ++i) {
            auto& draw = out[i];
            // The mirror image makes every pair's mean nought.
            draw.level = (spread[i] - spread[draws - 1 - i]) / 2;
            draw.first_pass = normal(seeded);
            draw.first_round = normal(seeded);
            draw.speed = normal(seeded);
            for (auto& round : draw.luck.round) round = normal(seeded);
            draw.luck.costs = 0.7 + 0.6 * uniform(seeded);
            draw.luck.go_s = go_effect_at_s[rough] + uniform(gos) * (go_effect_at_s[calm] - go_effect_at_s[rough]);
        }
        return out;
    }();
    return made;
}

bool solvable(const PlanQuestion& question) {
    return question.outlook.bandwidth_bytes_per_second.p50 > 0 &&
           asked_of(question, 2).ground.budgets().most() > 0;
}

Band band_of(std::vector<double> values) {
    if (values.empty()) return {};
    std::sort(values.begin(), values.end());
    const auto at = [&](double part) {
        return values[static_cast<std::size_t>(std::lround(part * static_cast<double>(values.size() - 1)))];
    };
    return {at(0.1), at(0.5), at(0.9)};
}

/// What holds for all rows of one question: the first pass, and a solved guest for each level it may turn out to have.
class Question {
public:
    explicit Question(const PlanQuestion& question)
        : outlook_(question.outlook),
          max_downtime_s_(to_seconds(question.max_downtime)),
          cut_by_stall_(question.brake.cut_by_stall),
          asked_(asked_of(question, shares_max)) {
        SEGUE_ASSERT(solvable(question));
        const auto& ground = asked_.ground;
        const Steering prior(ground, ground.memory);
        time_left_ = asked_.timeout_s - time_kept(ground);
        first_setting_ = prior.first_pass_setting(asked_.first_pass_s, time_left_, asked_.slowness);
        Ground known = ground;
        known.level_sigma = std::min(outlook_.level_sigma, std::max(ground.round_sigma, least_level_sigma));
        for (std::size_t i = 0; i < levels; ++i) {
            level_at_[i] = level_parts[i] * outlook_.level_sigma;
            known.curve = ground.curve.scaled(std::exp(level_at_[i]));
            steering_.emplace_back(known, ground.memory);
        }
    }

    [[nodiscard]] PlanRow row(double aggression) const {
        std::vector<Steering::Priced> priced;
        for (const auto& steering : steering_) priced.push_back(steering.price(aggression));
        std::vector<Course> courses;
        for (const auto& draw : all_draws()) courses.push_back(course(priced, draw));
        return summed_up(courses, aggression);
    }

private:
    /// The middles of five equal parts of a normal.
    static constexpr std::array<double, levels> level_parts = {-1.4, -0.53, 0.0, 0.53, 1.4};

    [[nodiscard]] Course course(const std::vector<Steering::Priced>& priced, const Draw& draw) const {
        const auto& ground = asked_.ground;
        const auto& setting = ground.settings[first_setting_];
        const double level = draw.level * outlook_.level_sigma;
        Luck luck = draw.luck;
        luck.speed = std::exp(draw.speed * asked_.speed_sigma);
        const double bytes = std::min(asked_.first_pass * std::exp(draw.first_pass * outlook_.first_pass_sigma),
                                      ground.memory);
        const double first_s =
            bytes / (ground.bandwidth * luck.speed) + asked_.first_pass_beside_s + ground.overhead_s;
        std::size_t nearest = 0;
        for (std::size_t i = 1; i < levels; ++i) {
            if (std::abs(level_at_[i] - level) < std::abs(level_at_[nearest] - level)) nearest = i;
        }
        luck.level = level - level_at_[nearest];
        Situation then;
        const double off = std::exp(level + draw.first_round * ground.round_sigma);
        then.backlog = std::min(off * dirtied(ground, setting, first_s), ground.memory);
        then.time_left = time_left_ - first_s;
        then.slowness = asked_.slowness;
        then.gone_s = first_s;
        then.before = bytes;
        Course out = play(steering_[nearest], priced[nearest], then, luck);
        out.total_s += first_s;
        out.work_s += setting.work_rate * first_s;
        out.wanted_s += ground.busy * first_s;
        out.lost_work_s += (ground.busy - setting.work_rate) * first_s;
        out.sent += bytes;
        if (setting.work_rate < ground.busy) {
            out.for_time = true;
            out.lowest_share = std::min(out.lowest_share, setting.share);
            out.stall_s = std::max(out.stall_s, setting.stall_s);
        }
        return out;
    }

    [[nodiscard]] PlanRow summed_up(const std::vector<Course>& courses, double aggression) const {
        PlanRow out;
        out.aggression = aggression;
        std::vector<Course> ended;
        for (const auto& one : courses) {
            if (one.finished) ended.push_back(one);
        }
        out.finishes_ratio = static_cast<double>(ended.size()) / static_cast<double>(courses.size());
        out.feasible = out.finishes_ratio >= finishes_enough;
        const auto band = [&](auto part) {
            std::vector<double> values;
            for (const auto& one : ended) values.push_back(part(one));
            return band_of(std::move(values));
        };
        out.total_s = unforeseen_before(band([](const Course& c) { return c.total_s; }));
        out.downtime_s = unforeseen_downtime(band([](const Course& c) { return c.downtime_s; }), max_downtime_s_);
        out.lowest_share = band([](const Course& c) { return c.lowest_share; });
        out.mean_share = band([](const Course& c) { return c.wanted_s > 0 ? c.work_s / c.wanted_s : 1; });
        out.stall_s = band([](const Course& c) { return c.stall_s; });
        out.lost_work_s = band([](const Course& c) { return c.lost_work_s; });
        out.sent_bytes = band([](const Course& c) { return c.sent; });
        out.binding = binding(courses);
        return out;
    }

    [[nodiscard]] std::vector<std::string> binding(const std::vector<Course>& courses) const {
        const auto& ground = asked_.ground;
        const auto often = [&](auto is) {
            const auto count = std::count_if(courses.begin(), courses.end(), is);
            return static_cast<double>(count) >= shapes * static_cast<double>(courses.size());
        };
        std::vector<std::string> out;
        // A guest is braked because it would not fit its standstill otherwise.
        if (often([&](const Course& c) { return !c.finished || ground.is_braked_by(c.lowest_share); })) {
            out.emplace_back("max-downtime");
        }
        const double lowest = ground.settings.front().share;
        if (ground.is_braked_by(lowest) && often([&](const Course& c) { return c.lowest_share <= lowest + same; })) {
            out.emplace_back(cut_by_stall_ ? "max-stall" : "min-cpu");
        }
        if (often([&](const Course& c) { return c.for_time || c.total_s > asked_.timeout_s; })) {
            if (std::isfinite(asked_.timeout_s)) out.emplace_back("timeout");
        }
        return out;
    }

    Outlook outlook_;
    double max_downtime_s_ = 0;
    bool cut_by_stall_ = false;
    Asked asked_;
    double time_left_ = 0;
    std::size_t first_setting_ = 0;
    std::array<double, levels> level_at_{};
    std::vector<Steering> steering_;
};

void not_above(Band& band, const Band& limit) {
    band.p10 = std::min(band.p10, limit.p10);
    band.p50 = std::min(band.p50, limit.p50);
    band.p90 = std::min(band.p90, limit.p90);
}

PlanRow impossible(double aggression, const PlanQuestion& question) {
    PlanRow out;
    out.aggression = aggression;
    out.binding.emplace_back(question.outlook.bandwidth_bytes_per_second.p50 > 0 ? "max-downtime" : "max-bandwidth");
    return out;
}

PlanQuestion with(const PlanQuestion& question, const Relaxation& relaxation) {
    PlanQuestion out = question;
    if (relaxation.bound == "max-downtime") out.max_downtime = from_seconds(relaxation.value);
    if (relaxation.bound == "timeout") out.timeout = from_seconds(relaxation.value);
    if (relaxation.bound == "min-cpu") out.brake = lowered_to(question.brake, relaxation.value);
    if (relaxation.bound == "max-stall") {
        out.brake = lowered_to(question.brake, share_of_stall(question.brake, relaxation.value));
    }
    if (relaxation.bound == "max-bandwidth") {
        auto& band = out.outlook.bandwidth_bytes_per_second;
        const double times = relaxation.value / band.p50;
        band = {band.p10 * times, band.p50 * times, band.p90 * times};
        if (out.switchover_bandwidth) out.switchover_bandwidth = scale(*out.switchover_bandwidth, times);
    }
    return out;
}

/// Gives by a little more until a plan with it succeeds.
std::optional<Relaxation> proven(const PlanQuestion& question, Relaxation relaxation) {
    for (int i = 0; i < tries_max; ++i) {
        const auto relaxed = with(question, relaxation);
        if (solvable(relaxed) && Question(relaxed).row(1).feasible) return relaxation;
        relaxation.value = relaxation.bound == "min-cpu" ? relaxation.value / further
                                                         : told(relaxation.value * further);
    }
    return std::nullopt;
}

void name_hindrance(Plan& plan, const PlanQuestion& question) {
    plan.binding = "max-bandwidth";
    if (question.outlook.bandwidth_bytes_per_second.p50 <= 0) return;
    const auto hindrance = hindrance_of(hurdle_of(question));
    plan.binding = hindrance.bound;
    for (const auto& relaxation : hindrance.relaxations) {
        if (auto good = proven(question, relaxation)) plan.relaxations.push_back(*good);
    }
}

}  // namespace

PlanRow plan_row(const PlanQuestion& question, double aggression) {
    if (!solvable(question)) return impossible(aggression, question);
    return Question(question).row(aggression);
}

Plan make_plan(const PlanQuestion& question) {
    Plan out;
    if (solvable(question)) {
        const Question solved(question);
        for (int i = 0; i < rows; ++i) out.rows.push_back(solved.row(i / static_cast<double>(rows - 1)));
    } else {
        for (int i = 0; i < rows; ++i) out.rows.push_back(impossible(i / static_cast<double>(rows - 1), question));
    }
    // Chance and the coarseness of the settings may make a row a little slower than the one before: what the milder
    // level reaches, the stronger one may be asked to reach as well.
    for (std::size_t i = 1; i < out.rows.size(); ++i) {
        if (out.rows[i - 1].finishes_ratio <= 0) continue;
        not_above(out.rows[i].total_s, out.rows[i - 1].total_s);
        not_above(out.rows[i].lowest_share, out.rows[i - 1].lowest_share);
    }
    out.feasible = std::any_of(out.rows.begin(), out.rows.end(), [](const PlanRow& row) { return row.feasible; });
    if (!out.feasible) name_hindrance(out, question);
    return out;
}

Plan plan_over_links(const PlanQuestion& question, double aggression) {
    Plan out;
    PlanQuestion over = question;
    for (const ByteRate link : links) {
        const double rate = payload_ratio * static_cast<double>(link.per_second);
        over.outlook.bandwidth_bytes_per_second = {rate, rate, rate};
        over.outlook.bandwidth_known = true;
        out.rows.push_back(plan_row(over, aggression));
        out.rows.back().link = link;
        out.feasible = out.feasible || out.rows.back().feasible;
    }
    if (!out.feasible) name_hindrance(out, over);
    return out;
}

}  // namespace segue

// Whole moves of hundreds of random guests: bounds kept, ends reached, little lost against the optimum.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "policy/converge/cases_test.hpp"
#include "policy/converge/converge.hpp"
#include "policy/converge/mechanics.hpp"
#include "policy/converge/oracle.hpp"

namespace segue::test {
namespace {

constexpr std::uint64_t cases = 540;

struct Judged {
    Case given;
    bool feasible = false;
    bool hopeless = false;  ///< Not even with a fifth more room in every bound.
    double optimum_s = 0;
};

double quantile(std::vector<double> values, double part) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

Moved play(const Case& given, double aggression) {
    return Move(given, aggression).run(*make_converge_policy());
}

/// All cases at three aggressions, played once for all tests.
class ConvergeMoves : public testing::Test {
protected:
    static void SetUpTestSuite() {
        for (std::uint64_t seed = 0; seed < cases; ++seed) {
            Judged one{case_of(seed)};
            one.feasible = feasible(one.given.truth, 0.1);
            one.hopeless = !one.feasible && !feasible(one.given.truth, -0.2);
            if (one.feasible) one.optimum_s = optimum_lost_work(one.given.truth);
            judged.push_back(one);
            mild.push_back(play(one.given, 0));
            middling.push_back(play(one.given, 0.5));
            strong.push_back(play(one.given, 1));
        }
    }
    static void TearDownTestSuite() {
        for (auto* moves : {&mild, &middling, &strong}) moves->clear();
        judged.clear();
    }

    static double finished_ratio(const std::vector<Moved>& moves) {
        double finished = 0;
        double all = 0;
        for (std::size_t i = 0; i < moves.size(); ++i) {
            if (!judged[i].feasible) continue;
            all += 1;
            if (moves[i].end == Moved::End::moved) finished += 1;
        }
        return finished / all;
    }
    static std::vector<double> regrets(const std::vector<Moved>& moves) {
        std::vector<double> out;
        for (std::size_t i = 0; i < moves.size(); ++i) {
            if (judged[i].feasible && moves[i].end == Moved::End::moved) {
                // In which of its looks QEMU finds little enough is luck: half of one is nobody's regret.
                out.push_back((moves[i].lost_s - converge::look_s) / judged[i].optimum_s);
            }
        }
        return out;
    }

    static inline std::vector<Judged> judged;
    static inline std::vector<Moved> mild, middling, strong;
};

TEST_F(ConvergeMoves, never_break_a_bound) {
    for (const auto* moves : {&mild, &middling, &strong}) {
        for (std::size_t i = 0; i < moves->size(); ++i) {
            const auto& moved = (*moves)[i];
            const auto& truth = judged[i].given.truth;
            if (moved.end != Moved::End::moved) {
                EXPECT_NE(moved.end, Moved::End::downtime) << "seed " << i;
                continue;
            }
            EXPECT_LE(moved.downtime_s, to_seconds(truth.max_downtime)) << "seed " << i;
            if (truth.timeout) {
                EXPECT_LE(moved.total_s, to_seconds(*truth.timeout)) << "seed " << i;
            }
            EXPECT_GE(moved.lowest_share, truth.brake.shares.front()) << "seed " << i;
        }
    }
}

TEST_F(ConvergeMoves, finish_where_it_is_feasible_at_every_aggression) {
    RecordProperty("feasible", std::to_string(std::count_if(judged.begin(), judged.end(),
                                                            [](const Judged& one) { return one.feasible; })));
    RecordProperty("finished", fmt::format("{} {} {}", finished_ratio(mild), finished_ratio(middling),
                                           finished_ratio(strong)));
    EXPECT_GE(finished_ratio(mild), 0.99);
    EXPECT_GE(finished_ratio(middling), 0.99);
    EXPECT_GE(finished_ratio(strong), 0.99);
}

TEST_F(ConvergeMoves, lose_hardly_more_work_than_the_optimum) {
    for (const auto* moves : {&mild, &middling}) {
        const auto regret = regrets(*moves);
        ASSERT_GE(regret.size(), 400U);
        const std::string which = moves == &mild ? "mild" : "middling";
        RecordProperty(which + "_regret_p50", std::to_string(quantile(regret, 0.5)));
        RecordProperty(which + "_regret_p95", std::to_string(quantile(regret, 0.95)));
        EXPECT_LE(quantile(regret, 0.5), 1.15);
        EXPECT_LE(quantile(regret, 0.95), 1.4);
    }
}

TEST_F(ConvergeMoves, give_up_the_hopeless_within_two_passes) {
    int hopeless = 0;
    int in_time = 0;
    for (std::size_t i = 0; i < judged.size(); ++i) {
        if (!judged[i].hopeless) continue;
        hopeless += 1;
        // The third sync ends the second pass.
        if (middling[i].end == Moved::End::gave_up && middling[i].passes <= 3) in_time += 1;
    }
    RecordProperty("hopeless", hopeless);
    RecordProperty("given_up_in_time", in_time);
    ASSERT_GE(hopeless, 30);
    EXPECT_GE(in_time, 0.98 * hopeless);
}

TEST_F(ConvergeMoves, say_when_giving_up_what_would_have_helped) {
    for (std::size_t i = 0; i < judged.size(); ++i) {
        if (middling[i].end != Moved::End::gave_up || !judged[i].hopeless) continue;
        EXPECT_NE(middling[i].because.find("stands in the way"), std::string::npos) << middling[i].because;
        EXPECT_NE(middling[i].because.find(">="), std::string::npos) << middling[i].because;
    }
}

TEST_F(ConvergeMoves, are_no_slower_at_a_higher_aggression) {
    double faster_or_same = 0;
    double all = 0;
    std::vector<double> totals[3];
    for (std::size_t i = 0; i < judged.size(); ++i) {
        if (mild[i].end != Moved::End::moved || strong[i].end != Moved::End::moved) continue;
        all += 1;
        if (strong[i].total_s <= 1.03 * mild[i].total_s) faster_or_same += 1;
        totals[0].push_back(mild[i].total_s);
        totals[1].push_back(middling[i].total_s);
        totals[2].push_back(strong[i].total_s);
    }
    // Each move draws its own noise as it goes, so a few differ by luck.
    EXPECT_GE(faster_or_same, 0.98 * all);
    for (const double part : {0.1, 0.25, 0.5, 0.75, 0.9}) {
        EXPECT_LE(quantile(totals[1], part), 1.01 * quantile(totals[0], part));
        EXPECT_LE(quantile(totals[2], part), 1.01 * quantile(totals[1], part));
    }
}

TEST_F(ConvergeMoves, are_the_same_when_played_again) {
    for (std::size_t i = 0; i < judged.size(); i += 20) {
        const auto again = play(judged[i].given, 0.5);
        EXPECT_EQ(again.total_s, middling[i].total_s);
        EXPECT_EQ(again.lost_s, middling[i].lost_s);
        EXPECT_EQ(again.because, middling[i].because);
        EXPECT_EQ(again.forecasts, middling[i].forecasts);
    }
}

}  // namespace
}  // namespace segue::test

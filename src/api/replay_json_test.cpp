#include "api/replay_json.hpp"

#include <gtest/gtest.h>

#include "api/schema_test.hpp"

namespace segue {
namespace {

using namespace json_test;

ReplayReport played() {
    ReplayReport report;
    report.job = 7;
    report.vm = "web1";
    report.steered_by = report.policy = "converge";
    report.same = 4;
    report.decisions = 4;
    report.recorded = MoveCost{"moved", 9.3, 0.21, 1e9, 1.4, 0.1};
    report.replayed = MoveCost{"moved", 9.5, 0.22, 1.1e9, 1.5, 0.1};
    report.optimum = MoveCost{"moved", 9.0, 0.2, 1e9, 1.25, 0.12};
    return report;
}

TEST(ReplayJson, is_as_the_schema_says) {
    EXPECT_EQ(problem_of(replay_json(played())), "");
    ReplayReport short_one = played();
    short_one.replayed.reset();
    short_one.optimum.reset();
    short_one.recorded.reset();
    short_one.same.reset();
    short_one.trouble = "too short";
    EXPECT_EQ(problem_of(replay_json(short_one)), "");
}

TEST(ReplayJson, has_a_regret_only_where_both_moved) {
    ReplayReport report = played();
    const auto line = json::parse(replay_json(report));
    EXPECT_DOUBLE_EQ(line.at("replayed_regret").at("lost_work_seconds").as_double(), 0.25);
    EXPECT_DOUBLE_EQ(line.at("replayed_regret").at("total_seconds").as_double(), 0.5);
    report.replayed->outcome = "timeout";
    report.replayed->downtime_s.reset();
    const auto other = json::parse(replay_json(report));
    EXPECT_TRUE(other.at("replayed_regret").is_null());
    EXPECT_TRUE(other.at("replayed").at("downtime_seconds").is_null());
    EXPECT_FALSE(other.at("recorded_regret").is_null());
}

}  // namespace
}  // namespace segue

#include "api/plan_json.hpp"

#include <gtest/gtest.h>

#include "api/schema_test.hpp"

namespace segue {
namespace {

using namespace json_test;

Plan two_rows() {
    Plan plan;
    plan.feasible = true;
    PlanRow row;
    row.aggression = 0.5;
    row.feasible = true;
    row.finishes_ratio = 0.98;
    row.total_s = {10, 12, 14};
    row.binding = {"max-downtime"};
    plan.rows = {row, PlanRow{}};
    return plan;
}

TEST(PlanJson, is_as_the_schema_says) {
    EXPECT_EQ(problem_of(plan_json(two_rows(), {})), "");
    Plan hopeless = two_rows();
    hopeless.feasible = false;
    hopeless.binding = "min-cpu";
    hopeless.relaxations = {{"min-cpu", 0.04}};
    EXPECT_EQ(problem_of(plan_json(hopeless, {})), "");
}

TEST(PlanJson, names_the_link_of_a_row_where_it_is_not_known) {
    Plan plan = two_rows();
    plan.rows[0].link = ByteRate{125'000'000};
    EXPECT_EQ(problem_of(plan_json(plan, {})), "");
    const auto line = json::parse(plan_json(plan, {}));
    EXPECT_EQ(line.at("rows").at(0).at("link_bytes_per_second"), json::value(125'000'000));
    EXPECT_TRUE(line.at("rows").at(1).at("link_bytes_per_second").is_null());
}

TEST(PlanJson, has_no_figures_where_no_draw_ends) {
    const auto line = json::parse(plan_json(two_rows(), {}));
    EXPECT_EQ(line.at("rows").at(0).at("total_seconds").at("p50"), json::value(12.0));
    EXPECT_TRUE(line.at("rows").at(1).at("total_seconds").is_null());
    EXPECT_TRUE(line.at("binding").is_null());
}

}  // namespace
}  // namespace segue

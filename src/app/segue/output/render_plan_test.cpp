#include "app/segue/output/render_plan.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace segue {
namespace {

PlanRow row_of(double aggression) {
    PlanRow row;
    row.aggression = aggression;
    row.feasible = true;
    row.finishes_ratio = 1;
    row.total_s = {10.4, 12.1, 14.0};
    row.downtime_s = {0.19, 0.21, 0.26};
    row.lowest_share = {0.05, 0.05, 0.07};
    row.mean_share = {0.61, 0.7, 0.8};
    row.stall_s = {0.03, 0.04, 0.046};
    row.lost_work_s = {2.1, 2.6, 3.3};
    row.sent_bytes = {1.1e9, 1.2e9, 1.4e9};
    row.binding = {"max-downtime", "min-cpu"};
    return row;
}

TEST(RenderPlan, is_a_table_with_a_line_for_each_level) {
    Plan plan;
    plan.feasible = true;
    for (int i = 0; i <= 10; ++i) plan.rows.push_back(row_of(i / 10.0));
    const std::string text = render_plan(plan, "web1", {});
    std::istringstream lines(text);
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 160U) << line;
    EXPECT_EQ(count, 14U) << text;
    EXPECT_NE(text.find("web1: within max-downtime 0.3 s, min-cpu 10%, max-stall 0.15 s"), std::string::npos) << text;
    EXPECT_NE(text.find("  0.4  12.1 (10.4-14.0)   210 (190-260)"), std::string::npos) << text;
    EXPECT_NE(text.find("2.60 (2.10-3.30)"), std::string::npos) << text;
}

TEST(RenderPlan, has_a_line_for_each_link_where_the_link_is_not_known) {
    Plan plan;
    plan.feasible = true;
    for (const std::int64_t link : {12'500'000, 125'000'000, 312'500'000}) {
        plan.rows.push_back(row_of(0.4));
        plan.rows.back().link = ByteRate{link};
    }
    const std::string text = render_plan(plan, "web1", {});
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 160U) << line;
    EXPECT_NE(text.find("what --aggression 0.4 would cost over such a link; --max-bandwidth RATE"), std::string::npos)
        << text;
    EXPECT_NE(text.find("\n      link  total s"), std::string::npos) << text;
    EXPECT_NE(text.find("\n100 Mbit/s  12.1 (10.4-14.0)"), std::string::npos) << text;
    EXPECT_NE(text.find("\n  1 Gbit/s  12.1"), std::string::npos) << text;
    EXPECT_NE(text.find("\n2.5 Gbit/s  12.1"), std::string::npos) << text;
    plan.feasible = false;
    plan.binding = "max-downtime";
    EXPECT_NE(render_plan(plan, "web1", {}).find("no link here keeps these bounds: max-downtime stands"),
              std::string::npos);
}

TEST(RenderPlan, says_what_stands_in_the_way_and_what_would_do) {
    Plan plan;
    PlanRow row = row_of(0);
    row.feasible = false;
    row.finishes_ratio = 0;
    plan.rows = {row};
    plan.binding = "max-downtime";
    plan.relaxations = {{"max-downtime", 0.74}, {"min-cpu", 0.12}, {"max-bandwidth", 310.0 * 1024 * 1024}};
    const std::string text = render_plan(plan, "web1", {});
    EXPECT_NE(text.find("  0.0  cannot be done: max-downtime, min-cpu"), std::string::npos) << text;
    EXPECT_NE(text.find("--max-downtime >= 0.74 s, or --min-cpu <= 12%, or --max-bandwidth >= 310 MiB/s"),
              std::string::npos)
        << text;
    plan.relaxations.clear();
    EXPECT_NE(render_plan(plan, "web1", {}).find("no single bound"), std::string::npos);
}

ForecastReport seen() {
    ForecastReport out;
    out.samples = {{std::chrono::seconds{1}, mebibytes(52)}, {std::chrono::seconds{3}, mebibytes(118)}};
    out.bandwidth = mebibytes_per_second(98);
    return out;
}
constexpr std::string_view told_from =
    "\n  told from: the guest dirties 52 MiB in 1 s, 118 MiB in 3 s; the link carries 98 MiB/s";

TEST(RenderExpected, is_one_row_in_words) {
    EXPECT_EQ(render_expected(row_of(0.4), seen()),
              "forecast at aggression 0.4, middle (and 10 to 90 of 100):\n"
              "  total 12.1 (10.4-14.0) s, downtime 210 (190-260) ms, 1144 (1049-1335) MiB sent; "
              "lowest CPU 5 (5-7) %, stalls of 40 (30-46) ms, 2.60 (2.10-3.30) s of work lost" +
                  std::string(told_from));
}

TEST(RenderExpected, says_of_a_forecast_during_pass_1_that_it_looked_longer) {
    ForecastReport later = seen();
    later.underway = true;
    EXPECT_TRUE(render_expected(row_of(0.4), later)
                    .starts_with("forecast after a longer look, at aggression 0.4, middle (and 10 to 90 of 100):\n"));
}

TEST(RenderExpected, says_of_a_guest_that_needs_no_brake_that_it_is_not_braked) {
    PlanRow row = row_of(0.5);
    row.lowest_share = {1, 1, 1};
    const std::string text = render_expected(row, seen());
    EXPECT_NE(text.find("MiB sent; the guest is not braked\n"), std::string::npos) << text;
    EXPECT_EQ(text.find("lowest CPU"), std::string::npos) << text;
}

TEST(RenderExpected, says_how_many_moves_would_not_end_so) {
    PlanRow row = row_of(0.5);
    row.feasible = false;
    row.finishes_ratio = 0.6;
    const std::string text = render_expected(row, seen());
    EXPECT_NE(text.find("\n  only 60 of 100 such moves would end so; segue plan"), std::string::npos) << text;
}

TEST(RenderExpected, says_what_stands_in_the_way) {
    PlanRow row = row_of(0.5);
    row.feasible = false;
    row.finishes_ratio = 0;
    EXPECT_EQ(render_expected(row, seen()), "forecast at aggression 0.5: cannot be done within max-downtime, min-cpu; "
                                            "segue plan shows what would do" + std::string(told_from));
}

}  // namespace
}  // namespace segue

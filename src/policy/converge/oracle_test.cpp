#include "policy/converge/oracle.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace segue {
namespace {

constexpr double link = 1e8;

/// A guest in link-seconds: memory, working set and first dirty rate against the link's.
PlanQuestion guest(double memory, double working_set, double rate, double downtime_s, double floor) {
    PlanQuestion out;
    const auto bytes = [](double seconds) { return Bytes{static_cast<std::int64_t>(seconds * link)}; };
    out.outlook.curve = Curve::saturating(bytes(working_set), ByteRate{static_cast<std::int64_t>(rate * link)});
    out.outlook.busy = all_of_it;
    out.outlook.memory = bytes(memory);
    out.outlook.first_pass = bytes(memory);
    out.outlook.bandwidth_bytes_per_second = {link, link, link};
    out.outlook.bandwidth_known = true;
    out.max_downtime = from_seconds(downtime_s);
    out.brake.shares.clear();
    for (int i = 0; i <= 20; ++i) out.brake.shares.push_back(floor * std::pow(1 / floor, i / 20.0));
    out.brake.shares.back() = 1;
    out.brake.stall_s.assign(out.brake.shares.size(), 0);
    return out;
}

/// The share below which the downtime can be met: F^-1(B d) / d.
double critical_share(const PlanQuestion& question) {
    const double d = to_seconds(question.max_downtime);
    return question.outlook.curve.work_for(link * d) / d;
}

// Where theory.md 3.4 lets whole rounds only end a move, a switchover may here stop in the middle of one; both are
// within a tenth and a look of 25 ms of each other.
TEST(Oracle, loses_about_one_round_at_the_natural_level) {
    const struct {
        double memory, working_set, rate, downtime_s, lost;
    } table[] = {{4, 0.5, 5, 0.1, 0.53},
                 {4, 0.5, 20, 0.1, 0.70},
                 {4, 1, 5, 0.1, 1.05},
                 {8, 2, 5, 0.3, 2.11},
                 {20, 5, 20, 0.3, 7.25}};
    for (const auto& row : table) {
        const auto question = guest(row.memory, row.working_set, row.rate, row.downtime_s, 0.02);
        EXPECT_NEAR(optimum_lost_work(question), row.lost, 0.1 * row.lost + 0.025) << row.rate;
    }
}

TEST(Oracle, never_loses_less_than_a_clairvoyant) {
    for (const double rate : {1.2, 2.0, 5.0, 20.0}) {
        const auto question = guest(8, 1, rate, 0.3, 0.02);
        EXPECT_GE(optimum_lost_work(question), clairvoyant_lost_work(question.outlook.curve, 1, link)) << rate;
    }
}

TEST(Oracle, knows_the_clairvoyant_bound_of_a_saturating_guest) {
    for (const double rate : {1.2, 2.0, 5.0, 20.0}) {
        const auto curve = Curve::saturating(Bytes{1'000'000'000}, ByteRate{static_cast<std::int64_t>(rate * link)});
        const double closed = 10 * (1 - (1 + std::log(rate)) / rate);
        EXPECT_NEAR(clairvoyant_lost_work(curve, 1, link), closed, 0.02 * closed + 0.02) << rate;
    }
}

TEST(Oracle, ends_only_below_the_critical_share) {
    for (const double rate : {3.0, 5.0, 10.0}) {
        const double critical = critical_share(guest(4, 1, rate, 0.3, 0.02));
        EXPECT_TRUE(feasible(guest(4, 1, rate, 0.3, 0.7 * critical), 0)) << rate;
        EXPECT_FALSE(feasible(guest(4, 1, rate, 0.3, 1.4 * critical), 0)) << rate;
    }
}

TEST(Oracle, leaves_an_idle_guest_alone) {
    auto question = guest(4, 0.01, 0.01, 0.3, 0.1);
    EXPECT_LT(optimum_lost_work(question), 0.02);
}

TEST(Oracle, needs_room_in_the_timeout) {
    auto question = guest(4, 1, 5, 0.3, 0.05);
    question.timeout = from_seconds(4.3);
    EXPECT_FALSE(feasible(question, 0));
    question.timeout = from_seconds(6.5);
    EXPECT_TRUE(feasible(question, 0.1));
}

}  // namespace
}  // namespace segue

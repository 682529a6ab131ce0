#include "app/sim/study/guest.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "app/sim/study/families.hpp"

namespace segue::study {
namespace {

using sim::Rng;

PageClass random_class(double pages, double per_page_s) {
    PageClass out;
    out.pages = pages;
    out.rate = {per_page_s};
    return out;
}

double pages_after(const GuestSpec& spec, double seconds, double share, std::uint64_t seed = 1) {
    GuestRun guest(spec, Rng(seed));
    guest.advance(seconds, share);
    double pages = 0;
    for (const double dirty : guest.take_dirty()) pages += dirty;
    return pages;
}

/// Each page and each write, one by one.
double brute_force(double pages, double per_page_s, double seconds, Rng rng) {
    std::set<std::int64_t> dirty;
    for (double writes = pages * per_page_s * seconds; writes >= 1; --writes) {
        dirty.insert(rng.between(0, static_cast<std::int64_t>(pages) - 1));
    }
    return static_cast<double>(dirty.size());
}

TEST(StudyGuest, random_writes_dirty_as_many_pages_as_page_by_page) {
    for (const double rate : {0.1, 1.0, 4.0}) {
        GuestSpec spec;
        spec.classes = {random_class(5000, rate)};
        double ours = 0;
        double brute = 0;
        for (std::uint64_t seed = 1; seed <= 100; ++seed) {
            ours += pages_after(spec, 0.7, 1, seed) / 100;
            brute += brute_force(5000, rate, 0.7, Rng(seed)) / 100;
        }
        EXPECT_NEAR(ours / brute, 1, 0.02) << rate;
    }
}

TEST(StudyGuest, the_noise_of_distinct_pages_is_binomial) {
    GuestSpec spec;
    spec.classes = {random_class(1000, 1)};
    const double p = 1 - std::exp(-0.5);
    double sum = 0;
    double squares = 0;
    constexpr int draws = 2000;
    for (int i = 0; i < draws; ++i) {
        const double pages = pages_after(spec, 0.5, 1, static_cast<std::uint64_t>(i));
        sum += pages;
        squares += pages * pages;
    }
    const double mean = sum / draws;
    EXPECT_NEAR(mean, 1000 * p, 2);
    EXPECT_NEAR(squares / draws - mean * mean, 1000 * p * (1 - p), 25);
}

TEST(StudyGuest, a_ramp_dirties_each_page_once_a_round) {
    GuestSpec spec;
    PageClass ramp = random_class(1000, 0);
    ramp.pattern = Pattern::walk;
    ramp.rate = {400};
    spec.classes = {ramp};
    EXPECT_DOUBLE_EQ(pages_after(spec, 1, 1), 400);
    EXPECT_DOUBLE_EQ(pages_after(spec, 10, 1), 1000);
}

TEST(StudyGuest, a_brake_stretches_time_and_no_more) {
    GuestSpec spec;
    PageClass ramp = random_class(1e6, 0);
    ramp.pattern = Pattern::walk;
    ramp.rate = {1000};
    spec.classes = {ramp};
    EXPECT_NEAR(pages_after(spec, 10, 0.2), pages_after(spec, 2, 1), 1e-6);
    spec.busy = {0.1};
    EXPECT_NEAR(pages_after(spec, 10, 0.2), pages_after(spec, 10, 1), 1e-6);
}

TEST(StudyGuest, what_the_network_writes_is_not_slowed_until_the_queue_is_full) {
    GuestSpec spec;
    PageClass received = random_class(1e9, 0);
    received.pattern = Pattern::walk;
    received.drive = Drive::network;
    received.rate = {1 / page_bytes};
    spec.classes = {received};
    spec.network = Network{page_bytes * 1000, page_bytes * 2000, page_bytes * 500};
    EXPECT_NEAR(pages_after(spec, 1, 0.25), 1000, 1);
    // From the first second on only what is served can come in.
    EXPECT_NEAR(pages_after(spec, 11, 0.25), 500 + 11 * 500, 130);
}

TEST(StudyGuest, lost_work_of_a_braked_network_guest_is_done_later) {
    GuestSpec spec;
    spec.classes = {random_class(100, 1)};
    spec.network = Network{1000, 2000, 1e9};
    GuestRun guest(spec, Rng(1));
    guest.advance(4, 0.1);
    EXPECT_NEAR(guest.wanted() - guest.worked(), 4 * 0.4, 1e-6);
    guest.advance(20, 1);
    EXPECT_NEAR(guest.wanted() - guest.worked(), 0, 1e-6);
}

TEST(StudyGuest, phases_switch_between_the_rates) {
    GuestSpec spec;
    PageClass ramp = random_class(1e9, 0);
    ramp.pattern = Pattern::walk;
    ramp.rate = {1000, 10};
    spec.classes = {ramp};
    spec.modes = {{1, 1}, {3, 1}};
    EXPECT_NEAR(pages_after(spec, 40, 1), 10 * (1000 + 30), 1);
}

TEST(StudyGuest, vcpus_that_are_busy_lose_more_by_a_brake) {
    GuestSpec spec;
    spec.busy = {1.0, 0.2};
    PageClass hot = random_class(1e9, 0);
    hot.pattern = Pattern::walk;
    hot.rate = {1000};
    PageClass cool = hot;
    cool.vcpu = 1;
    spec.classes = {hot, cool};
    GuestRun guest(spec, Rng(1));
    guest.advance(1, 0.25);
    const auto dirty = guest.take_dirty();
    EXPECT_NEAR(dirty[0], 250, 1e-6);
    EXPECT_NEAR(dirty[1], 200, 1e-6);
    EXPECT_NEAR(guest.worked(), 0.225, 1e-9);
}

TEST(StudyGuest, a_trace_plays_back_what_was_recorded) {
    WalkPlan plan;
    plan.pages = 5000;
    plan.writes_per_s = 20'000;
    plan.jump_chance = 0.01;
    plan.burst_s = 0.5;
    plan.length_s = 6;
    const Trace trace = record_walk(plan, Rng(3));
    const auto again = parse_trace(to_text(trace, "synthetic"));
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*again, trace);
    double recorded = 0;
    for (const auto& point : trace.points) recorded += point.distinct_bytes;
    const GuestSpec spec = guest_of(trace, trace.working_set_bytes * 2, 1);
    GuestRun guest(spec, Rng(4));
    double played = 0;
    for (std::size_t i = 0; i < trace.points.size(); ++i) {
        guest.advance(plan.stretch_s, 1);
        played += guest.take_dirty().front() * page_bytes;
    }
    EXPECT_NEAR(played / recorded, 1, 0.05);  // Its noise is about 0.013.
}

TEST(StudyGuest, a_trace_that_is_none_is_refused) {
    EXPECT_FALSE(parse_trace("").has_value());
    EXPECT_FALSE(parse_trace("0.1 x\n").has_value());
    EXPECT_FALSE(parse_trace("0 4096\n").has_value());
    EXPECT_FALSE(parse_trace("0.1 4096 7\n").has_value());
    EXPECT_TRUE(parse_trace("# a remark\n0.1 8192\n0.2 0").has_value());
}

TEST(StudyGuest, every_family_is_drawn_and_a_third_is_outside_of_the_model) {
    const std::vector<Trace> traces = {*parse_trace("0.1 8192\n")};
    std::set<std::string> families;
    int outside = 0;
    for (std::uint64_t seed = 0; seed < 600; ++seed) {
        const auto spec = draw_guest(Rng(seed).stream("guest"), 1e9, 1e8, traces);
        families.insert(spec.family);
        outside += spec.in_model ? 0 : 1;
    }
    EXPECT_EQ(families.size(), 12U);
    EXPECT_GE(outside, 200);
}

}  // namespace
}  // namespace segue::study

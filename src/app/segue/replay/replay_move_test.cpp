// A recorded move played again: near to what was under the same policy, otherwise under another.
#include "app/segue/replay/replay_move.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "app/sim/study/move.hpp"
#include "policy/converge/converge.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double mib = 1024.0 * 1024;

/// Steers like converge, and writes down what it was shown.
class Recording final : public Policy {
public:
    explicit Recording(RecordedMove& into) : into_(into), policy_(make_converge_policy()) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "converge"; }
    [[nodiscard]] Decision decide(const View& view) override {
        into_.decisions.push_back({view, policy_->decide(view)});
        return into_.decisions.back().decision;
    }

private:
    RecordedMove& into_;
    std::unique_ptr<Policy> policy_;
};

/// Hot pages at `rate` bytes a second beside cold ones; 100 MiB/s.
study::Case busy_guest(double hot_mib, double rate_mib, std::uint64_t seed) {
    study::Case one;
    one.seed = seed;
    one.guest.memory_bytes = 512 * mib;
    study::PageClass hot;
    hot.pages = hot_mib * mib / study::page_bytes;
    hot.rate = {rate_mib / hot_mib};
    one.guest.classes = {hot};
    one.wire.bytes_per_s = 100 * mib;
    one.costs = {milliseconds{4}, milliseconds{15}, milliseconds{6}};
    return one;
}

struct Flown {
    RecordedMove move;
    MoveEnding ending;
    study::MoveResult result;
};

Flown fly(const study::Case& one) {
    Flown out{{7, "web1", "converge", {}}, {}, {}};
    Recording policy(out.move);
    study::Pilot pilot;
    pilot.policy = &policy;
    pilot.beholder = [](const study::Setting& setting, const study::GuestRun&, const study::Case&) {
        return study::make_learning(setting);
    };
    out.result = study::run_move(one, one.bounds, pilot);
    out.ending.outcome = out.result.end == study::End::moved ? "moved" : "downtime-exceeded";
    out.ending.downtime = from_seconds(out.result.downtime_s);
    out.ending.total = from_seconds(out.result.total_s);
    out.ending.sent = {static_cast<std::int64_t>(out.result.sent_bytes)};
    return out;
}

TEST(RecordedGuest, dirties_by_the_curve_of_the_record) {
    std::array<double, Curve::points> mixed{};
    for (std::size_t i = 0; i < mixed.size(); ++i) {
        const double x = Curve::work_at(i);
        mixed[i] = mib * (40 * std::min(1.0, x / 0.2) - 150 * std::expm1(-x / 3) + 0.8 * std::min(x, 300.0));
    }
    for (const Curve& curve : {Curve{mixed}, Curve::saturating(mebibytes(200), mebibytes_per_second(400)),
                               Curve::saturating(mebibytes(4), mebibytes_per_second(2))}) {
        Outlook outlook;
        outlook.curve = curve;
        outlook.memory = mebibytes(1024);
        const study::GuestSpec spec = guest_of(outlook);
        for (const double work_s : {0.02, 0.1, 0.5, 2.0, 10.0, 60.0}) {
            study::GuestRun guest(spec, sim::Rng(1));
            guest.advance(work_s, 1);
            EXPECT_NEAR(guest.expected_bytes() / curve.bytes_in(work_s), 1, 0.06) << work_s;
        }
    }
}

TEST(RecordedGuest, that_dirties_nothing_is_one_too) {
    Outlook outlook;
    outlook.memory = mebibytes(64);
    const study::GuestSpec spec = guest_of(outlook);
    study::GuestRun guest(spec, sim::Rng(1));
    guest.advance(10, 1);
    EXPECT_EQ(guest.expected_bytes(), 0);
}

TEST(PlayAgain, by_the_same_policy_comes_out_near_what_was) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const Flown was = fly(busy_guest(seed % 2 == 0 ? 200 : 60, 400, seed));
        ASSERT_EQ(was.result.end, study::End::moved) << seed;
        const ReplayReport report = play_again(was.move, "converge", was.ending);
        ASSERT_TRUE(report.replayed && report.recorded && report.optimum) << report.trouble;
        EXPECT_EQ(report.replayed->outcome, "moved");
        // One pass more or less is luck.
        EXPECT_NEAR(report.replayed->total_s / was.result.total_s, 1, 0.25) << seed;
        EXPECT_NEAR(report.replayed->sent_bytes / was.result.sent_bytes, 1, 0.25) << seed;
        EXPECT_NEAR(report.replayed->lost_work_s, was.result.lost_s, 0.2 + 0.2 * was.result.lost_s) << seed;
        EXPECT_NEAR(*report.replayed->downtime_s, was.result.downtime_s, 0.1) << seed;
        // What the record itself says of it.
        EXPECT_NEAR(report.recorded->lost_work_s, was.result.lost_s, 0.1 + 0.1 * was.result.lost_s) << seed;
        EXPECT_NEAR(report.recorded->lowest_share, was.result.lowest_share, 0.01) << seed;
        // Nobody is better than the optimum by more than the courses' luck.
        EXPECT_GT(report.replayed->lost_work_s, report.optimum->lost_work_s - 0.1) << seed;
    }
}

TEST(PlayAgain, shows_what_another_policy_would_have_made_of_it) {
    study::Case one = busy_guest(200, 400, 3);
    one.bounds.timeout_s = 60;
    const Flown was = fly(one);
    const ReplayReport patient = play_again(was.move, "patient", was.ending);
    ASSERT_TRUE(patient.replayed);
    EXPECT_EQ(patient.replayed->outcome, "timeout");
    EXPECT_EQ(patient.replayed->lowest_share, 1);
    EXPECT_FALSE(regret_of(patient.replayed, patient.optimum));
    const ReplayReport qemu = play_again(was.move, "auto-converge", was.ending);
    ASSERT_TRUE(qemu.replayed);
    EXPECT_GT(qemu.replayed->lost_work_s, qemu.optimum->lost_work_s);
    EXPECT_GE(qemu.replayed->lowest_share, one.bounds.min_cpu - 0.011);
}

TEST(PlayAgain, follows_the_link_as_it_was) {
    study::Case one = busy_guest(20, 30, 5);
    one.wire.steps = {{2.0, 0.4}};
    const Flown was = fly(one);
    ASSERT_EQ(was.result.end, study::End::moved);
    const ReplayReport report = play_again(was.move, "converge", was.ending);
    ASSERT_TRUE(report.replayed);
    EXPECT_NEAR(report.replayed->total_s / was.result.total_s, 1, 0.2);
}

TEST(PlayAgain, says_why_it_cannot) {
    RecordedMove move{7, "web1", "converge", {}};
    EXPECT_FALSE(play_again(move, "converge", std::nullopt).trouble.empty());
    View view;
    view.passes = {{1, Duration{0}, mebibytes(512), {}, {}}};
    move.decisions.push_back({view, {CarryOn{}, "nothing is known"}});
    const ReplayReport report = play_again(move, "converge", std::nullopt);
    EXPECT_FALSE(report.replayed || report.recorded);
    EXPECT_NE(render_replayed(report).find("not played again: the move ended before"), std::string::npos);
}

TEST(PlayAgain, is_a_table_with_a_line_of_what_is_taken_for_granted) {
    study::Case one = busy_guest(60, 400, 1);
    one.bounds.timeout_s = 20;
    const Flown was = fly(one);
    const std::string text = render_replayed(play_again(was.move, "patient", was.ending));
    for (const char* words : {"virtual time; the guest dirties by the", "recorded", "patient", "optimum", "total s",
                              "stood ms", "sent MiB", "lost work s", "lowest CPU %", "regret (work, t)"}) {
        EXPECT_NE(text.find(words), std::string::npos) << words << " is not in: " << text;
    }
    EXPECT_EQ(text.find("  \n"), std::string::npos);
}

}  // namespace
}  // namespace segue

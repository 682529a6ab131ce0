#include "hypervisor/sim/brake.hpp"

#include <gtest/gtest.h>

#include "hypervisor/sim/world.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Bench {
    explicit Bench(Plan plan = {}) : world(plan, hooks()) {}

    Hooks hooks() {
        Hooks out;
        out.violation = [this](std::string what) { violations.push_back(std::move(what)); };
        return out;
    }
    void run(Duration time) {
        const Instant until = world.agenda().now() + time;
        bool there = false;
        world.agenda().at(until, [&there] { there = true; });
        while (!there) world.agenda().run_one();
    }
    Result<BrakeAnswer> ask(const BrakeCommand& command) {
        std::optional<Result<BrakeAnswer>> out;
        world.submit(command, [&out](Result<BrakeAnswer> answer) { out = std::move(answer); });
        EXPECT_FALSE(out.has_value()) << "answered from inside";
        run(milliseconds{100});
        return out.value_or(fail(ErrorKind::timed_out, "no answer"));
    }
    void start_guardian() {
        world.submit(GuardCommand{GuardStart{}}, [](const Result<GuardAnswer>&) {});
        run(milliseconds{50});
    }

    std::vector<std::string> violations;
    World world;
};

TEST(SimBrake, offers_shares_from_the_floor_to_all_of_it) {
    Bench bench;
    const auto answer = bench.ask(BrakeOpen{1, {2}, Share{0.1}});
    const auto& ready = std::get<BrakeReady>(*answer);
    ASSERT_GE(ready.steps.size(), 11U);
    EXPECT_EQ(ready.steps.front().share.ratio, 0.1);
    EXPECT_EQ(ready.steps.back().share, all_of_it);
    for (std::size_t i = 1; i < ready.steps.size(); ++i) {
        EXPECT_GT(ready.steps[i].share, ready.steps[i - 1].share);
        EXPECT_LE(ready.steps[i].stall_worst, ready.steps[i - 1].stall_worst);
    }
}

TEST(SimBrake, work_is_the_share_of_the_time) {
    Bench bench;
    static_cast<void>(bench.ask(BrakeOpen{1, {2}, Share{0.1}}));
    static_cast<void>(bench.ask(BrakeSet{Share{0.25}}));
    const auto before = std::get<BrakeSample>(*bench.ask(BrakeRead{}));
    bench.run(seconds{4});
    const auto after = std::get<BrakeSample>(*bench.ask(BrakeRead{}));
    EXPECT_NEAR(to_seconds(after.worked - before.worked), 0.25 * to_seconds(after.at - before.at), 1e-6);
    EXPECT_NEAR(to_seconds(after.throttled - before.throttled), 0.75 * to_seconds(after.at - before.at), 1e-6);
}

TEST(SimBrake, is_let_go_when_it_is_closed) {
    Bench bench;
    static_cast<void>(bench.ask(BrakeOpen{1, {2}, Share{0.1}}));
    static_cast<void>(bench.ask(BrakeSet{Share{0.1}}));
    EXPECT_EQ(bench.world.truth().src_share, 0.1);
    static_cast<void>(bench.ask(BrakeClose{}));
    EXPECT_EQ(bench.world.truth().src_share, 1);
    EXPECT_FALSE(bench.ask(BrakeSet{Share{0.5}}).has_value());
}

TEST(SimBrake, is_let_go_by_the_guardian_when_segue_dies) {
    Bench bench;
    bench.start_guardian();
    static_cast<void>(bench.ask(BrakeOpen{1, {2}, Share{0.1}}));
    static_cast<void>(bench.ask(BrakeSet{Share{0.1}}));
    bench.world.kill_segue();
    bench.run(milliseconds{20});
    EXPECT_EQ(bench.world.truth().src_share, 1);
    ASSERT_TRUE(bench.world.truth().brake_lifted_at.has_value());
    EXPECT_LE(*bench.world.truth().brake_lifted_at - *bench.world.truth().segue_died_at, milliseconds{5});
}

TEST(SimBrake, stays_when_guardian_and_segue_die) {
    Bench bench;
    bench.start_guardian();
    static_cast<void>(bench.ask(BrakeOpen{1, {2}, Share{0.1}}));
    static_cast<void>(bench.ask(BrakeSet{Share{0.1}}));
    bench.world.kill_guardian();
    bench.world.kill_segue();
    bench.run(seconds{1});
    EXPECT_EQ(bench.world.truth().src_share, 0.1);
}

TEST(SimBrake, below_the_floor_is_a_violation) {
    Bench bench;
    static_cast<void>(bench.ask(BrakeOpen{1, {2}, Share{0.2}}));
    static_cast<void>(bench.ask(BrakeSet{Share{0.1}}));
    EXPECT_EQ(bench.violations.size(), 1U);
    EXPECT_EQ(bench.world.truth().src_share, 0.2);
}

TEST(SimBrake, is_refused_where_there_is_no_controller) {
    Plan plan;
    plan.brake.available = false;
    Bench bench(plan);
    EXPECT_FALSE(bench.ask(BrakeOpen{1, {2}, Share{0.2}}).has_value());
}

}  // namespace
}  // namespace segue::sim

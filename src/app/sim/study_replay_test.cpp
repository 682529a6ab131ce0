#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/decision_codec.hpp"
#include "app/sim/study/move.hpp"
#include "policy/converge/converge.hpp"

namespace segue::study {
namespace {

struct Line {
    std::string view;
    std::string decision;
};

/// Writes down what another policy is shown and decides.
class Recording final : public Policy {
public:
    explicit Recording(Policy& policy) : policy_(policy) {}
    [[nodiscard]] std::string_view name() const noexcept override { return policy_.name(); }
    [[nodiscard]] Decision decide(const View& view) override {
        Decision decision = policy_.decide(view);
        lines.push_back({decision::encode(view), decision::encode(decision)});
        return decision;
    }

    std::vector<Line> lines;

private:
    Policy& policy_;
};

TEST(StudyReplay, recorded_views_shown_again_give_the_same_decisions_bit_for_bit) {
    const auto traces = synthetic_traces();
    std::size_t replayed = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const Case one = case_from(seed, traces);
        const auto policy = make_converge_policy();
        Recording recording(*policy);
        Pilot pilot;
        pilot.policy = &recording;
        pilot.beholder = [](const Setting& setting, const GuestRun&, const Case&) { return make_learning(setting); };
        pilot.endless_s = 200;
        static_cast<void>(run_move(one, one.bounds, pilot));
        const auto again = make_converge_policy();
        for (const Line& line : recording.lines) {
            const auto view = decision::parse_view(line.view);
            ASSERT_TRUE(view.has_value()) << view.error().message;
            ASSERT_EQ(decision::encode(again->decide(*view)), line.decision) << "seed " << seed;
            ++replayed;
        }
    }
    EXPECT_GT(replayed, 12U);
}

}  // namespace
}  // namespace segue::study

// What may be pending at the stop is told to the source after go, and told again when it has changed
// (migration/go.cpp, on_allowed).
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "app/sim/scripted_move_test.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ToldBudget : public BrakedMove {
protected:
    void goes(std::vector<Interference> script) {
        Scenario s = braked({{.from = seconds{1}, .go = true}}, std::move(script));
        // Never little enough, so that what is told is all that happens.
        s.plan.guest.working_set = mebibytes(80);
        s.request.bounds.max_downtime = milliseconds{400};
        s.fault = Fault::user_cancel;
        s.moment = Moment::copying;
        s.offset = seconds{6};
        run(s);
        EXPECT_EQ(outcome_word(result), "cancelled") << all_of(result);
    }
    [[nodiscard]] std::vector<Duration> told() const { return times_of("SrcAllowSwitchover"); }
};

TEST_F(ToldBudget, that_changes_while_the_source_takes_the_one_before_is_told_when_it_has_answered) {
    goes({});
    ASSERT_FALSE(told().empty());
    const Duration first = told().front();
    const Duration thawed = first + milliseconds{600};
    const auto freeze = [](bool frozen) { return [frozen](World& world) { world.freeze_src_loop(frozen); }; };
    goes({{first, freeze(true)}, link_at(first + milliseconds{20}, 0.5), {thawed, freeze(false)}});
    ASSERT_GE(told().size(), 2U) << all_of(result);
    EXPECT_EQ(told()[0], first) << "the same move until then";
    EXPECT_GE(told()[1], thawed) << "one at a time: the source has not answered yet";
    EXPECT_LT(told()[1], thawed + milliseconds{50});
}

}  // namespace
}  // namespace segue::sim

#include "guard/rules.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <random>
#include <vector>

namespace segue::guard {
namespace {

using std::chrono::milliseconds;

constexpr Instant at_ms(std::int64_t ms) { return {milliseconds{ms}}; }

/// At 1000 ms, the guest last seen running at 900, budget 250: the deadline is at 1150.
View view(Stage stage) {
    View view;
    view.now = at_ms(1000);
    view.stage = stage;
    view.ran_at = at_ms(900);
    view.budget = milliseconds{250};
    view.own_monitor = true;
    return view;
}

struct Row {
    const char* what;
    View view;
    Action action;
    RollbackReason reason = RollbackReason::none;
    std::optional<Instant> wake_at = std::nullopt;
};

View with(View view, auto change) {
    change(view);
    return view;
}

std::vector<Row> table() {
    const Instant never = at_ms(1000) + no_deadline;
    const auto none = RollbackReason::none;
    const View blind = with(view(Stage::copying), [](View& v) { v.own_monitor = false; });
    std::vector<Row> rows;
    auto add = [&rows](Row row) { rows.push_back(row); };
    add({"nothing sent yet", view(Stage::idle), Action::wait, none, never});
    add({"a running guest needs nobody", view(Stage::copying), Action::wait, none, never});
    add({"without eyes, Segue's proof counts", blind, Action::wait, none, at_ms(1150)});
    add({"and its silence", with(blind, [](View& v) { v.now = at_ms(1150); }),
         Action::roll_back, RollbackReason::segue_stalled});
    add({"QEMU stopped by itself", with(view(Stage::copying), [](View& v) { v.stop_seen_at = at_ms(990); }),
         Action::wait, none, at_ms(980 + 250)});
    add({"a STOP before the last proof is old",
         with(view(Stage::held), [](View& v) { v.stop_seen_at = at_ms(800); }), Action::wait, none, at_ms(1150)});
    add({"held without its STOP", view(Stage::held), Action::wait, none, at_ms(1150)});
    add({"at the deadline", with(view(Stage::continued), [](View& v) { v.now = at_ms(1150); }),
         Action::roll_back, RollbackReason::deadline});
    add({"Segue rolls back and is slow", with(view(Stage::undoing), [](View& v) {
             v.verdict = Verdict::rollback;
             v.now = at_ms(1151);
         }), Action::roll_back, RollbackReason::deadline});
    add({"Segue rolled back", with(view(Stage::undoing), [](View& v) {
             v.verdict = Verdict::rollback;
             v.source_runs = true;
             v.now = at_ms(5000);
         }), Action::wait, none, at_ms(5000) + no_deadline});
    add({"the guardian rolled back, Segue stalls on", with(view(Stage::loaded), [](View& v) {
             v.verdict = Verdict::rollback;
             v.source_runs = true;
             v.now = at_ms(5000);
         }), Action::wait, none, at_ms(5000) + no_deadline});
    add({"paused by somebody else: no blackout", with(view(Stage::held), [](View& v) {
             v.stood_before = true;
             v.now = at_ms(5000);
         }), Action::wait, none, at_ms(5000) + no_deadline});
    add({"word", with(view(Stage::loaded), [](View& v) {
             v.verdict = Verdict::word;
             v.segue_alive = false;
             v.now = at_ms(9000);
         }), Action::leave});
    add({"over", view(Stage::over), Action::leave});
    add({"dead before the start", with(view(Stage::idle), [](View& v) { v.segue_alive = false; }),
         Action::put_back, RollbackReason::segue_died});
    for (const Stage stage : {Stage::copying, Stage::switching, Stage::held, Stage::continued,
                              Stage::loaded, Stage::undoing}) {
        add({"dead", with(view(stage), [](View& v) { v.segue_alive = false; }), Action::roll_back,
             RollbackReason::segue_died});
    }
    return rows;
}

TEST(GuardRules, Table) {
    for (const Row& row : table()) {
        const Advice advice = advise(row.view);
        EXPECT_EQ(advice.action, row.action) << row.what;
        EXPECT_EQ(advice.reason, row.reason) << row.what;
        EXPECT_EQ(advice.wake_at, row.wake_at.value_or(advice.wake_at)) << row.what;
    }
}

View any_view(std::mt19937_64& random) {
    auto below = [&random](std::uint64_t n) { return random() % n; };
    View view;
    view.now = at_ms(static_cast<std::int64_t>(10'000 + below(10'000)));
    view.verdict = static_cast<Verdict>(below(3));
    view.stage = static_cast<Stage>(below(8));
    view.ran_at = view.now - milliseconds{below(3000)};
    view.budget = milliseconds{below(4) == 0 ? 0 : below(2000)};
    view.segue_alive = below(4) != 0;
    view.own_monitor = below(2) != 0;
    view.source_runs = below(4) == 0;
    view.stood_before = below(8) == 0;
    if (below(2) != 0) view.stop_seen_at = view.now - milliseconds{below(3000)};
    return view;
}

TEST(GuardRules, Properties) {
    std::mt19937_64 random(20261121);
    for (int n = 0; n < 200'000; ++n) {
        const View view = any_view(random);
        const Advice advice = advise(view);
        const bool acts = advice.action == Action::roll_back || advice.action == Action::put_back;
        ASSERT_FALSE(acts && view.verdict == Verdict::word) << "never after the word";
        ASSERT_FALSE(acts && view.stage == Stage::over);
        ASSERT_EQ(acts, advice.reason != RollbackReason::none);
        if (advice.action == Action::wait) {
            ASSERT_TRUE(view.segue_alive) << "nobody waits for the dead";
            ASSERT_GT(advice.wake_at, view.now) << "a wait that is over is no wait";
        }
        const bool undone = view.verdict == Verdict::rollback && view.source_runs;
        const bool guarded = view.verdict != Verdict::word && view.stage != Stage::over &&
                             view.stage != Stage::idle && view.budget.count() > 0 &&
                             !view.stood_before && !undone && view.segue_alive;
        const bool stands = view.stage >= Stage::held || view.stop_seen_at.has_value();
        if (guarded && (stands || !view.own_monitor)) {
            ASSERT_NE(advice.action, Action::leave);
            if (advice.action == Action::wait) {
                ASSERT_LE(advice.wake_at, view.now + view.budget) << "within the budget";
            }
        }
        // A dead Segue never leaves a standing guest behind.
        if (!view.segue_alive && view.verdict != Verdict::word && view.stage != Stage::over &&
            view.stage != Stage::idle) {
            ASSERT_EQ(advice.action, Action::roll_back);
        }
    }
}

// Going to sleep until `wake_at` and looking again must end in a rollback exactly at the deadline.
TEST(GuardRules, WakingUpOnTimeActs) {
    std::mt19937_64 random(7);
    for (int n = 0; n < 50'000; ++n) {
        View view = any_view(random);
        const Advice first = advise(view);
        if (first.action != Action::wait || first.wake_at == view.now + no_deadline) continue;
        view.now = first.wake_at;
        ASSERT_EQ(advise(view).action, Action::roll_back);
    }
}

TEST(BrakeRule, HoldsWhileSegueGivesSignsOfLife) {
    View view;
    view.now = Instant{std::chrono::seconds{100}};
    view.stage = Stage::copying;
    view.budget = std::chrono::milliseconds{275};
    view.ran_at = view.now - std::chrono::milliseconds{900};
    EXPECT_GT(brake_deadline(view), view.now);
    view.ran_at = view.now - brake_silence_max;
    EXPECT_LE(brake_deadline(view), view.now) << "a Segue that stands still";
    view.budget = std::chrono::seconds{30};
    EXPECT_GT(brake_deadline(view), view.now) << "a guest that may stand for longer";
    view.stage = Stage::idle;
    EXPECT_GT(brake_deadline(view), view.now) << "before the migration there are no signs of life";
}

TEST(BrakeRule, LetsGoAtOnceWhenTheMoveIsDecidedOrSegueIsDead) {
    View view;
    view.now = view.ran_at = Instant{std::chrono::seconds{100}};
    view.budget = std::chrono::milliseconds{275};
    for (const Stage stage : {Stage::idle, Stage::copying, Stage::switching, Stage::held}) {
        view.stage = stage;
        EXPECT_GT(brake_deadline(view), view.now);
        for (const Verdict verdict : {Verdict::word, Verdict::rollback}) {
            View decided = view;
            decided.verdict = verdict;
            EXPECT_EQ(brake_deadline(decided), view.now);
        }
        View dead = view;
        dead.segue_alive = false;
        EXPECT_EQ(brake_deadline(dead), view.now);
    }
    for (const Stage stage : {Stage::undoing, Stage::over}) {
        view.stage = stage;
        EXPECT_EQ(brake_deadline(view), view.now);
    }
}

}  // namespace
}  // namespace segue::guard

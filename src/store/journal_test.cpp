#include "store/journal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace segue {
namespace {

TEST(StepKind, has_numbers_and_words_that_never_change) {
    // They are on disks. This list may only grow.
    const std::vector<std::pair<int, std::string_view>> for_ever = {
        {1, "begun"}, {2, "guarding"}, {3, "preparing"}, {4, "migrate-may-be-sent"}, {5, "held"}, {6, "continued"},
        {7, "word-may-be-sent"}, {8, "word-answered-running"}, {9, "word-answered-refused"}, {10, "undoing"},
        {11, "rolled-back"}, {12, "moved"}, {13, "closed"}, {14, "destination-fenced"}, {15, "stop-may-be-sent"},
        {16, "on-success-ran"}, {33, "prepared"},
        {34, "listening"}, {35, "accepted"}, {36, "running"}, {37, "refused"}, {38, "tombstone"}};
    for (const auto& [number, word] : for_ever) {
        const auto step = step_of(number);
        ASSERT_TRUE(step) << number;
        EXPECT_EQ(static_cast<int>(*step), number);
        EXPECT_EQ(to_string(*step), word);
    }
    for (const int number : {-1, 0, 17, 32, 39}) EXPECT_FALSE(step_of(number)) << number;
    EXPECT_EQ(static_cast<int>(MoveRole::source), 1);
    EXPECT_EQ(static_cast<int>(MoveRole::destination), 2);
}

TEST(StepKind, is_of_one_role_but_closed_of_both) {
    EXPECT_TRUE(is_of(StepKind::closed, MoveRole::source) && is_of(StepKind::closed, MoveRole::destination));
    EXPECT_TRUE(is_of(StepKind::destination_fenced, MoveRole::source));
    EXPECT_FALSE(is_of(StepKind::destination_fenced, MoveRole::destination));
    EXPECT_TRUE(is_of(StepKind::dst_prepared, MoveRole::destination));
    EXPECT_FALSE(is_of(StepKind::dst_tombstone, MoveRole::source));
}

/// Every order of steps of a side that the net lets through, up to `depth` steps, told to `seen`.
template <class Seen>
void every_history(std::vector<StepKind>& history, const std::vector<StepKind>& kinds, int depth, const Seen& seen) {
    seen(history);
    if (depth == 0) return;
    for (const StepKind next : kinds) {
        if (obstacle(history, next)) continue;
        history.push_back(next);
        every_history(history, kinds, depth - 1, seen);
        history.pop_back();
    }
}

TEST(Obstacle, lets_no_history_of_the_source_through_that_could_run_two_copies) {
    using enum StepKind;
    std::vector<StepKind> history = {begun};
    int histories = 0;
    const std::vector<StepKind> kinds = {continued, word_may_be_sent, word_answered_running, word_answered_refused,
                                         destination_fenced, undoing, rolled_back, moved, closed};
    every_history(history, kinds, 6, [&](const std::vector<StepKind>& steps) {
        ++histories;
        const std::set<StepKind> was(steps.begin(), steps.end());
        const auto both = [&](StepKind a, StepKind b) { return was.contains(a) && was.contains(b); };
        ASSERT_FALSE(both(word_answered_running, undoing) || both(moved, rolled_back) ||
                     both(word_answered_running, word_answered_refused) || both(moved, destination_fenced));
        ASSERT_LE(std::ranges::count(steps, word_may_be_sent), 1);
        ASSERT_TRUE(!was.contains(rolled_back) || was.contains(undoing));
        ASSERT_TRUE(!was.contains(closed) || steps.back() == closed);
    });
    EXPECT_GT(histories, 1000);
}

TEST(Obstacle, lets_no_history_of_the_destination_through_that_runs_an_aborted_copy) {
    using enum StepKind;
    std::vector<StepKind> history = {dst_prepared};
    const std::vector<StepKind> kinds = {dst_listening, dst_accepted, dst_running, dst_refused, dst_tombstone, closed};
    int histories = 0;
    every_history(history, kinds, 7, [&](const std::vector<StepKind>& steps) {
        ++histories;
        const std::set<StepKind> was(steps.begin(), steps.end());
        ASSERT_FALSE(was.contains(dst_accepted) && was.contains(dst_tombstone));
        ASSERT_FALSE(was.contains(dst_running) && was.contains(dst_refused));
        ASSERT_TRUE(!was.contains(dst_running) || was.contains(dst_accepted));
    });
    EXPECT_GT(histories, 50);
}

TEST(MoveId, has_one_spelling) {
    const MoveId id{0x0123456789abcdefU, 0xfU};
    EXPECT_EQ(to_string(id), "0123456789abcdef000000000000000f");
    EXPECT_EQ(parse_move_id(to_string(id)), id);
    for (const char* text : {"", "0123456789abcdef000000000000000", "0123456789ABCDEF000000000000000f",
                             "0123456789abcdef000000000000000g", "0123456789abcdef000000000000000f0"}) {
        EXPECT_FALSE(parse_move_id(text)) << text;
    }
}

}  // namespace
}  // namespace segue

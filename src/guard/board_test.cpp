#include "guard/board.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace segue::guard {
namespace {

TEST(Board, OnlyTheFirstClaimCounts) {
    const auto board = std::make_unique<Board>();
    EXPECT_TRUE(claim_word(*board));
    EXPECT_FALSE(claim_word(*board)) << "the word is said once";
    EXPECT_FALSE(claim_rollback(*board));
    const auto other = std::make_unique<Board>();
    EXPECT_TRUE(claim_rollback(*other));
    EXPECT_TRUE(claim_rollback(*other)) << "both sides may roll back";
    EXPECT_FALSE(claim_word(*other));
}

// Both sides decide at the same moment, 100 000 times: exactly one wins each time.
TEST(Board, RaceOfWordAndRollback) {
    constexpr std::size_t rounds = 100'000;
    const auto board = std::make_unique<Board>();
    std::vector<unsigned char> words(rounds);
    std::vector<unsigned char> rollbacks(rounds);
    std::atomic<std::size_t> word_round{0};
    std::atomic<std::size_t> rollback_round{0};
    // Each side opens the next round only when both have ended the last one.
    auto meet = [](std::atomic<std::size_t>& mine, std::atomic<std::size_t>& other, std::size_t round) {
        mine.store(round);
        for (int spins = 0; other.load() < round; ++spins) {
            if (spins > 200) std::this_thread::yield();
        }
    };
    std::thread segue([&] {
        for (std::size_t round = 0; round < rounds; ++round) {
            board->verdict.store(static_cast<std::uint32_t>(Verdict::open));
            meet(word_round, rollback_round, 2 * round + 1);
            words[round] = claim_word(*board) ? 1 : 0;
            meet(word_round, rollback_round, 2 * round + 2);
        }
    });
    std::thread guardian([&] {
        for (std::size_t round = 0; round < rounds; ++round) {
            meet(rollback_round, word_round, 2 * round + 1);
            rollbacks[round] = claim_rollback(*board) ? 1 : 0;
            meet(rollback_round, word_round, 2 * round + 2);
        }
    });
    segue.join();
    guardian.join();
    for (std::size_t round = 0; round < rounds; ++round) {
        ASSERT_EQ(words[round] + rollbacks[round], 1) << round;
    }
}

// Both processes map it, and the real-environment test reads it from Python at these places.
TEST(Board, Layout) {
    static_assert(std::is_standard_layout_v<Board>);
    EXPECT_EQ(offsetof(Board, verdict), 8U);
    EXPECT_EQ(offsetof(Board, stage), 12U);
    EXPECT_EQ(offsetof(Board, pass), 16U);
    EXPECT_EQ(offsetof(Board, ran_at_ns), 24U);
    EXPECT_EQ(offsetof(Board, budget_ns), 32U);
    EXPECT_EQ(offsetof(Board, source_runs), 40U);
    EXPECT_EQ(offsetof(Board, stood_before), 44U);
    EXPECT_EQ(offsetof(Board, put_back_length), 48U);
    EXPECT_EQ(offsetof(Board, put_back), 52U);
    constexpr std::size_t guard_part = 52U + put_back_bytes_max;
    EXPECT_EQ(offsetof(Board, guard_state), guard_part);
    EXPECT_EQ(offsetof(Board, rollback_reason), guard_part + 4);
    EXPECT_EQ(offsetof(Board, own_monitor), guard_part + 8);
    EXPECT_EQ(offsetof(Board, lateness_worst_ns), guard_part + 12);
    EXPECT_EQ(offsetof(Board, round_trip_worst_ns), guard_part + 20);
    EXPECT_EQ(offsetof(Board, resumed_at_ns), guard_part + 28);
    EXPECT_EQ(offsetof(Board, undoing_at_ns), guard_part + 36);
    EXPECT_EQ(sizeof(Board), guard_part + 44);
}

TEST(Board, EveryNumberHasAWord) {
    for (std::uint32_t n = 0; n < 8; ++n) EXPECT_NE(to_string(static_cast<Stage>(n)), "unknown") << n;
    for (std::uint32_t n = 0; n < 6; ++n) EXPECT_NE(to_string(static_cast<GuardState>(n)), "unknown") << n;
    for (std::uint32_t n = 0; n < 4; ++n) EXPECT_NE(to_string(static_cast<RollbackReason>(n)), "unknown");
    EXPECT_EQ(to_string(static_cast<Stage>(99)), "unknown");
}

}  // namespace
}  // namespace segue::guard

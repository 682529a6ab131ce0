#include "receive/token_check.hpp"

#include <gtest/gtest.h>

namespace segue::receive {
namespace {

const Token token{"0123456789abcdef0123456789abcdef"};
const Instant start{std::chrono::seconds{1}};

TEST(ReceiveToken, TheRightTokenInAnyPiecesIsRight) {
    for (std::size_t cut = 0; cut <= 33; ++cut) {
        TokenCheck check(token, start);
        const std::string said = token.hex + "\n";
        EXPECT_EQ(check.wanted(), 33U);
        const auto first = check.feed(std::span(said).first(cut), start);
        EXPECT_EQ(first, cut == 33 ? TokenVerdict::right : TokenVerdict::waiting);
        if (cut == 33) continue;
        EXPECT_EQ(check.feed(std::span(said).subspan(cut), start), TokenVerdict::right);
    }
}

TEST(ReceiveToken, AnyOtherByteIsWrong) {
    for (std::size_t at = 0; at <= 32; ++at) {
        std::string said = token.hex + "\n";
        said[at] = 'x';
        EXPECT_EQ(TokenCheck(token, start).feed(said, start), TokenVerdict::wrong);
    }
    EXPECT_FALSE(equal_in_constant_time("", "a"));
    EXPECT_FALSE(equal_in_constant_time("ab", "a"));
    EXPECT_FALSE(equal_in_constant_time("a", "aa"));
}

TEST(ReceiveToken, TheRightTokenTooLateIsWrong) {
    TokenCheck check(token, start);
    EXPECT_EQ(check.feed(token.hex + "\n", start + token_wait), TokenVerdict::wrong);
}

TEST(ReceiveToken, OneConnectionIsTakenAndStrangersAreCounted) {
    TokenGate gate;
    ASSERT_TRUE(gate.enter() && gate.enter() && gate.enter());
    EXPECT_FALSE(gate.leave(TokenVerdict::wrong));
    EXPECT_TRUE(gate.leave(TokenVerdict::right));
    EXPECT_FALSE(gate.leave(TokenVerdict::right));  // It said the token as well, but second.
    EXPECT_TRUE(gate.closed());
    EXPECT_FALSE(gate.enter());
    EXPECT_EQ(gate.refused(), 3);
}

TEST(ReceiveToken, TooManyStrangersCloseTheListener) {
    TokenGate gate;
    for (int i = 0; i < strangers_at_once_max; ++i) EXPECT_TRUE(gate.enter());
    EXPECT_FALSE(gate.enter());
    for (int i = 0; i < strangers_at_once_max; ++i) EXPECT_FALSE(gate.leave(TokenVerdict::wrong));
    while (!gate.closed()) {
        ASSERT_TRUE(gate.enter());
        EXPECT_FALSE(gate.leave(TokenVerdict::wrong));
    }
    EXPECT_EQ(gate.refused(), strangers_max);
}

}  // namespace
}  // namespace segue::receive

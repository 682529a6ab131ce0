#include "app/segue/cli/cli_receive.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

TEST(ReceiveWords, are_stdio_alone) {
    EXPECT_TRUE(std::holds_alternative<Receive>(*parse_receive({"--stdio"})));
    EXPECT_TRUE(std::holds_alternative<Help>(*parse_receive({"--help"})));
    EXPECT_FALSE(parse_receive({}));
    EXPECT_FALSE(parse_receive({"--stdio", "--port"}));
}

}  // namespace
}  // namespace segue

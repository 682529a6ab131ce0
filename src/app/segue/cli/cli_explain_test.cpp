#include "app/segue/cli/cli_explain.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

using std::chrono::milliseconds;

TEST(ExplainWords, are_understood_or_refused_in_one_sentence) {
    const auto explain = parse_explain("explain", {"42", "--at", "12.4s"});
    ASSERT_TRUE(explain);
    EXPECT_EQ(std::get<ExplainJob>(*explain).job, 42);
    EXPECT_EQ(std::get<ExplainJob>(*explain).at, milliseconds{12400});
    const auto again = parse_explain("replay", {"--policy=patient", "3"});
    ASSERT_TRUE(again);
    EXPECT_EQ(std::get<ReplayJob>(*again).policy, "patient");
    EXPECT_FALSE(std::get<ReplayJob>(*again).json);
    const auto qemu = parse_explain("replay", {"3", "--json", "--policy", "auto-converge"});
    ASSERT_TRUE(qemu);
    EXPECT_TRUE(std::get<ReplayJob>(*qemu).json);
    const std::vector<std::vector<std::string>> wrong = {
        {}, {"x"}, {"0"}, {"1", "2"}, {"1", "--at"}, {"1", "--at", "soon"}, {"1", "--policy", "patient"}};
    for (const auto& words : wrong) {
        const auto parsed = parse_explain("explain", words);
        ASSERT_FALSE(parsed);
        EXPECT_EQ(parsed.error().kind, ErrorKind::invalid);
        EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos);
    }
    EXPECT_FALSE(parse_explain("replay", {"1", "--policy", "exec:x"}));
    EXPECT_FALSE(parse_explain("replay", {"1", "--at", "1s"}));
}

}  // namespace
}  // namespace segue

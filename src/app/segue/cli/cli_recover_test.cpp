#include "app/segue/cli/cli_recover.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

Recover parsed(const std::vector<std::string>& words) {
    const auto invocation = parse_recover(words);
    EXPECT_TRUE(invocation) << to_string(invocation.error());
    return invocation ? std::get<Recover>(*invocation) : Recover{};
}

std::string refused(const std::vector<std::string>& words) {
    const auto invocation = parse_recover(words);
    EXPECT_FALSE(invocation);
    return invocation ? "" : to_string(invocation.error());
}

TEST(RecoverWords, TakesNothingAtAll) {
    const Recover words = parsed({});
    EXPECT_FALSE(words.job || words.fenced || words.confirm || words.output.json);
}

TEST(RecoverWords, TakesTheJobAndTheOperatorsWordInAnyOrder) {
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"42", "--fenced", "host2", "--confirm", "qmp:/run/a.qmp", "--json", "-v"},
          std::vector<std::string>{"--json", "--confirm=qmp:/run/a.qmp", "--verbose", "--fenced=host2", "42"}}) {
        const Recover taken = parsed(words);
        EXPECT_EQ(taken.job, 42);
        EXPECT_EQ(taken.fenced, "host2");
        EXPECT_EQ(taken.confirm, "qmp:/run/a.qmp");
        EXPECT_TRUE(taken.output.json && taken.output.verbose);
    }
}

TEST(RecoverWords, RefusesWhatIsNotUnderstoodAndSaysWhatToWrite) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> table{
        {{"web-7"}, "for example segue recover 42"},
        {{"0"}, "is no number of a move"},
        {{"4x"}, "is no number of a move"},
        {{"1", "2"}, "one word too many"},
        {{"--fence", "host2"}, "did you mean --fenced?"},
        {{"--fenced"}, "--fenced has no value"},
        {{"--fenced="}, "--fenced has no value"},
        {{"--fenced", "--json"}, "--fenced has no value"},
        {{"--fenced", "host2"}, "--fenced needs --confirm VM"},
        {{"--confirm", "qmp:/run/a.qmp"}, "--confirm belongs to --fenced"},
        {{"--fenced", "a", "--fenced", "b"}, "is given twice"},
        {{"--timeout", "3"}, "see segue recover --help"},
    };
    for (const auto& [words, text] : table) EXPECT_NE(refused(words).find(text), std::string::npos) << refused(words);
}

TEST(RecoverWords, HelpFitsATerminal) {
    const auto help = parse_recover({"--help"});
    ASSERT_TRUE(help);
    std::string line;
    for (const char c : std::get<Help>(*help).text) {
        if (c != '\n') line += c;
        EXPECT_LE(line.size(), 80U) << line;
        if (c == '\n') line.clear();
    }
}

}  // namespace
}  // namespace segue

#pragma once
/// \file  For tests: what somebody types after `segue`, and what the command line makes of it.

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/segue/cli/cli.hpp"

namespace segue {

inline Result<Invocation> parse(const std::vector<std::string>& words) {
    std::vector<const char*> argv = {"segue"};
    for (const std::string& word : words) argv.push_back(word.c_str());
    return parse_command_line(static_cast<int>(argv.size()), argv.data());
}

/// Split at blanks; there are no quotes.
inline Result<Invocation> parse_text(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    return parse(words);
}

/// T{}, and a failed test, where it is refused or something else.
template <class T>
T understood_as(const std::string& text) {
    const auto parsed = parse_text(text);
    EXPECT_TRUE(parsed) << text << ": " << (parsed ? "" : parsed.error().message);
    const auto* found = parsed ? std::get_if<T>(&*parsed) : nullptr;
    EXPECT_NE(found, nullptr) << text;
    return found ? *found : T{};
}

/// In one sentence, which holds each of `says`.
inline void expect_refused(const std::string& text, const std::vector<std::string>& says) {
    const auto parsed = parse_text(text);
    ASSERT_FALSE(parsed) << text;
    const std::string& message = parsed.error().message;
    EXPECT_EQ(parsed.error().kind, ErrorKind::invalid) << text;
    for (const std::string& part : says) {
        EXPECT_NE(message.find(part), std::string::npos) << text << ": \"" << part << "\" is not in: " << message;
    }
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 300U) << message;
    EXPECT_FALSE(message.ends_with('.')) << message;
}

/// On a terminal of 80 columns.
inline void expect_fits(std::string_view help, int lines_max) {
    std::istringstream lines{std::string(help)};
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 80U) << line;
    EXPECT_LE(count, lines_max) << help;
}

}  // namespace segue

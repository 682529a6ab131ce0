#include "units/share_text.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

TEST(ShareText, PercentAreReadAndWritten) {
    const std::pair<const char*, double> good[] = {{"20%", 0.2},    {"12.5 %", 0.125}, {"100%", 1.0},
                                                   {"0%", 0.0},     {"1%", 0.01},      {"0.125%", 0.00125},
                                                   {"33.333%", 0.33333}};
    for (const auto& [text, ratio] : good) {
        const auto read = parse_share(text);
        ASSERT_TRUE(read) << text << ": " << read.error().message;
        EXPECT_DOUBLE_EQ(read->ratio, ratio) << text;
        EXPECT_EQ(parse_share(to_text(*read)), *read) << text;
    }
    EXPECT_EQ(to_text(Share{0.125}), "12.5%");
    EXPECT_EQ(to_text(Share{1.0}), "100%");
}

TEST(ShareText, WhatIsNoShareIsRefusedWithWhatToWrite) {
    const std::pair<const char*, const char*> wrong[] = {
        {"", "is no share: write it in percent"}, {"0.2", "is no share: write it in percent"},
        {"20", "is no share: write it in percent"}, {"%", "write a number from 0 to 100 and %"},
        {"-5%", "write a number from 0 to 100 and %"}, {"1e1%", "write a number from 0 to 100 and %"},
        {"100.001%", "100% is the most"}, {"1000%", "write a number"}, {".5%", "write a number"}};
    for (const auto& [text, said] : wrong) {
        const auto read = parse_share(text);
        ASSERT_FALSE(read) << text;
        EXPECT_NE(read.error().message.find(said), std::string::npos) << read.error().message;
    }
}

}  // namespace
}  // namespace segue

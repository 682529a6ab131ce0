#include "vm/command_line.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "vm/placeholders.hpp"

namespace segue::vm {
namespace {

using Words = std::vector<std::string>;

Description described(std::string_view text) {
    auto read = parse_description(text);
    EXPECT_TRUE(read.has_value()) << render(read.error(), "f");
    return read ? *read : Description{};
}

const Place place{"host1", "/s/vms/web1", "6f9619ff-8b86-d011-b42d-00c04fc964ff", false};

TEST(VmCommandLine, GetsItsNameItsUuidAndThreeMonitors) {
    const auto built = command_line(described("name = 'web1'\ncommand = ['q', '-m', '4G']"), place);
    ASSERT_TRUE(built.has_value());
    EXPECT_EQ(built->words, (Words{"q", "-m", "4G", "-name", "web1", "-uuid", place.uuid,
                                   "-qmp", "unix:/s/vms/web1/control.qmp,server=on,wait=off",
                                   "-qmp", "unix:/s/vms/web1/guard.qmp,server=on,wait=off",
                                   "-qmp", "unix:/s/vms/web1/spare.qmp,server=on,wait=off"}));
    EXPECT_TRUE(built->environment.empty());
}

TEST(VmCommandLine, OfADestinationWaitsPausedForTheMove) {
    Place there = place;
    there.incoming = true;
    const auto built = command_line(described("name = 'web1'\ncommand = ['q']"), there);
    ASSERT_TRUE(built.has_value());
    EXPECT_EQ(Words(built->words.end() - 3, built->words.end()), (Words{"-S", "-incoming", "defer"}));
}

constexpr std::string_view two_hosts = R"(name = 'web1'
command = ['q', '{tap},x={x}', '{{tap}}', '{"a":{"b":1}}', '{}', '{ tap}', '{tap']
env = { A = '{x}{x}' }
[host.host1]
tap = 'one'
[host.default]
tap = 'any'
x = 'X'
)";

TEST(VmCommandLine, TakesAHostsOwnValuesAndElseTheDefault) {
    const Description description = described(two_hosts);
    const auto first = command_line(description, place);
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(first->words[1], "one,x=X");
    EXPECT_EQ(first->environment, (Words{"A=XX"}));
    Place other = place;
    other.host = "host2";
    EXPECT_EQ(command_line(description, other)->words[1], "any,x=X");
    other.host = "host1.example.com";
    EXPECT_EQ(command_line(description, other)->words[1], "one,x=X");
}

TEST(VmCommandLine, LeavesOtherBracesAsTheyAre) {
    const auto built = command_line(described(two_hosts), place);
    ASSERT_TRUE(built.has_value());
    EXPECT_EQ(Words(built->words.begin() + 2, built->words.begin() + 7),
              (Words{"{tap}", "{\"a\":{\"b\":1}}", "{}", "{ tap}", "{tap"}));
}

TEST(VmCommandLine, AHostWithoutAValueIsNamedWithTheLine) {
    const Description description = described("name = 'web1'\ncommand = ['q',\n'{tap}']\n[host.host1]\ntap = 'x'");
    Place other = place;
    other.host = "host2";
    const auto built = command_line(description, other);
    ASSERT_FALSE(built.has_value());
    EXPECT_EQ(render(built.error(), "f"), "f:3: {tap} has no value for host \"host2\": give it one in [host.\"host2\"] "
                                          "or in [host.default]");
}

TEST(VmCommandLine, APlaceholderCannotBringInWhatIsSeguesToSay) {
    const Description description = described("name = 'a'\ncommand = ['q', '{x}']\n[host.default]\nx = '-daemonize'");
    const auto built = command_line(description, place);
    ASSERT_FALSE(built.has_value());
    EXPECT_TRUE(render(built.error(), "f").starts_with("f:2: -daemonize cannot stand in command"));
    const Description program = described("name = 'a'\ncommand = ['{x}']\n[host.default]\nx = '-m'");
    EXPECT_FALSE(command_line(program, place).has_value());
}

TEST(VmCommandLine, AFolderWhoseSocketsDoNotFitIsRefusedWithTheirLength) {
    EXPECT_TRUE(check_folder("/s/" + std::string(91, 'a')).has_value());
    const auto long_one = check_folder("/s/" + std::string(93, 'a'));
    ASSERT_FALSE(long_one.has_value());
    EXPECT_NE(long_one.error().message.find("108 bytes, and a unix socket's has at most 107"), std::string::npos)
        << long_one.error().message;
    EXPECT_FALSE(check_folder("s/web1").has_value());
    EXPECT_FALSE(check_folder("/s,t/web1").has_value());
}

/// A text of pieces in which braces abound.
std::string drawn(std::mt19937_64& random) {
    static constexpr std::string_view pieces[] = {"{", "}", "a", "key", "{key}", "{{", "}}", "-", "\"", "é", ":", 
                                                  "{b}"};
    std::string text;
    for (auto count = random() % 8; count > 0; --count) text += pieces[random() % std::size(pieces)];
    return text;
}

TEST(VmCommandLine, WithoutKeysEveryTextStaysAsItIs) {
    std::mt19937_64 random(1);
    for (int run = 0; run < 20'000; ++run) {
        const std::string text = drawn(random);
        if (!placeholders_in(text).empty() || text.find("{{") != std::string::npos) continue;
        EXPECT_EQ(fill(text, [](std::string_view) { return std::string("?"); }), text);
    }
}

TEST(VmCommandLine, EveryKeyIsAskedForOnceAndItsValueIsNotLookedIntoAgain) {
    std::mt19937_64 random(2);
    for (int run = 0; run < 20'000; ++run) {
        const std::string text = drawn(random);
        std::size_t asked = 0;
        const std::string filled = fill(text, [&](std::string_view key) {
            EXPECT_TRUE(is_key(key)) << key;
            ++asked;
            return std::string("{key}!");
        });
        EXPECT_EQ(asked, placeholders_in(text).size()) << text;
        std::size_t there = 0;
        for (auto at = filled.find("{key}!"); at != std::string::npos; at = filled.find("{key}!", at + 1)) ++there;
        EXPECT_GE(there, asked) << text;
    }
}

std::string in_quotes(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
    }
    return result + "\"";
}

/// A description that is written as TOML, read and built gives the words that it was drawn from.
TEST(VmCommandLine, WhatWasWrittenComesOutWithItsValuesFilledIn) {
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        std::mt19937_64 random(seed);
        std::string command;
        std::string lines;
        Words expected{"qemu"};
        for (auto count = random() % 6; count > 0; --count) {
            std::string text = drawn(random);
            std::string value = fmt::format("v{}", random() % 1000);
            const std::string key = fmt::format("k{}", expected.size());
            for (auto at = text.find("{"); at != std::string::npos; at = text.find("{")) text.erase(at, 1);
            command += ",\n" + in_quotes(text + "{" + key + "}");
            lines += key + " = " + in_quotes(value) + "\n";
            expected.push_back(text + value);
        }
        const std::string file = "name = \"w\"\ncommand = [\"qemu\"" + command + "]\n[host.default]\n" + lines;
        const auto read = parse_description(file);
        ASSERT_TRUE(read.has_value()) << file << render(read.error(), "f");
        const auto built = command_line(*read, place);
        ASSERT_TRUE(built.has_value()) << file << render(built.error(), "f");
        ASSERT_GE(built->words.size(), expected.size());
        EXPECT_EQ(Words(built->words.begin(), built->words.begin() + static_cast<std::ptrdiff_t>(expected.size())),
                  expected);
        for (std::size_t i = 0; i < read->command.size(); ++i) {
            EXPECT_EQ(read->command[i].line, static_cast<int>(i) + 2);
        }
    }
}

}  // namespace
}  // namespace segue::vm

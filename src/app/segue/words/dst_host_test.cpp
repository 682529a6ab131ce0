#include "app/segue/words/dst_host.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace segue {
namespace {

using Words = std::vector<std::string>;

Words words_of(const std::string& text) {
    const auto words = split_words("--to", text);
    EXPECT_TRUE(words) << text << ": " << words.error().message;
    return words.value_or(Words{});
}

TEST(DstHost, splits_words_as_a_shell_does) {
    EXPECT_EQ(words_of("lab/in b segue receive --stdio"), (Words{"lab/in", "b", "segue", "receive", "--stdio"}));
    EXPECT_EQ(words_of("  a\t b\n c  "), (Words{"a", "b", "c"}));
    EXPECT_EQ(words_of("'a b' \"c d\" e\\ f"), (Words{"a b", "c d", "e f"}));
    EXPECT_EQ(words_of("a'b'\"c\"d"), (Words{"abcd"}));
    EXPECT_EQ(words_of("'' \"\" x"), (Words{"", "", "x"}));
    EXPECT_EQ(words_of(R"('$HOME|\' "\$x \"q\" \\ \n")"), (Words{"$HOME|\\", R"($x "q" \ \n)"}));
    EXPECT_EQ(words_of(R"(\;\|\$ a=b,c=[d])"), (Words{";|$", "a=b,c=[d]"}));
    EXPECT_EQ(words_of(""), Words{});
}

TEST(DstHost, refuses_what_only_a_shell_could_do) {
    for (const char* text : {"a | b", "a; b", "a && b", "a > f", "a $HOME", "a `b`", "a \"$HOME\"", "(a)"}) {
        const auto words = split_words("--to", text);
        ASSERT_FALSE(words) << text;
        EXPECT_NE(words.error().message.find("no shell is there"), std::string::npos) << words.error().message;
    }
    EXPECT_FALSE(split_words("--to", "'a"));
    EXPECT_FALSE(split_words("--to", "\"a"));
    EXPECT_FALSE(split_words("--to", "a\\"));
}

DstHost host_of(const std::string& text) {
    const auto host = parse_dst_host(text);
    EXPECT_TRUE(host) << text << ": " << host.error().message;
    return host.value_or(DstHost{});
}

TEST(DstHost, takes_a_command) {
    const DstHost host = host_of("cmd:lab/in b segue receive --stdio");
    EXPECT_EQ(host.command, (Words{"lab/in", "b", "segue", "receive", "--stdio"}));
    EXPECT_EQ(host.as_written, "cmd:lab/in b segue receive --stdio");
    EXPECT_EQ(host.name, "destination");
    EXPECT_FALSE(host.ssh);
}

TEST(DstHost, takes_ssh_and_keeps_the_host_from_being_an_option) {
    const DstHost host = host_of("ssh://root@host2:2222");
    EXPECT_TRUE(host.ssh);
    EXPECT_EQ(host.name, "host2");
    ASSERT_GE(host.command.size(), 9U);
    const Words tail(host.command.end() - 9, host.command.end());
    EXPECT_EQ(tail, (Words{"-l", "root", "-p", "2222", "--", "host2", "segue", "receive", "--stdio"}));
    EXPECT_EQ(host.command.front(), "ssh");
    EXPECT_NE(std::ranges::find(host.command, "BatchMode=yes"), host.command.end());
    const DstHost v6 = host_of("ssh://[fd00::2]/");
    EXPECT_EQ(v6.name, "fd00::2");
    EXPECT_EQ(std::ranges::find(v6.command, "-l"), v6.command.end());
    EXPECT_EQ(host_of("ssh://user@corp@host2").command[17], "user@corp");
}

TEST(DstHost, starts_the_ssh_that_the_environment_names_with_its_options_first) {
    ::setenv("SEGUE_SSH", "/opt/ssh -F '/etc/my ssh'", 1);
    const DstHost named = host_of("ssh://host2");
    const DstHost other = host_of("cmd:ssh host2 segue receive --stdio");
    ::setenv("SEGUE_SSH", "-F /etc/config", 1);
    const auto option = parse_dst_host("ssh://host2");
    ::setenv("SEGUE_SSH", "ssh -i $KEY", 1);
    const auto variable = parse_dst_host("ssh://host2");
    ::setenv("SEGUE_SSH", "", 1);
    const DstHost empty = host_of("ssh://host2");
    ::unsetenv("SEGUE_SSH");
    EXPECT_EQ(Words(named.command.begin(), named.command.begin() + 4), (Words{"/opt/ssh", "-F", "/etc/my ssh", "-T"}));
    EXPECT_TRUE(named.ssh);
    EXPECT_EQ(other.command.front(), "ssh") << "what is written out is left as it is";
    ASSERT_FALSE(option);
    EXPECT_NE(option.error().message.find("SEGUE_SSH names no program"), std::string::npos);
    ASSERT_FALSE(variable);
    EXPECT_NE(variable.error().message.find("SEGUE_SSH holds $"), std::string::npos);
    EXPECT_EQ(empty.command.front(), "ssh");
}

TEST(DstHost, refuses_other_hosts_with_the_remedy) {
    const std::vector<std::pair<std::string, std::string>> table = {
        {"", "is empty"},
        {"host2", "did you mean ssh://host2?"},
        {"root@host2", "did you mean ssh://root@host2?"},
        {"ssh:host2", "did you mean ssh://host2?"},
        {"cmd:", "names no command"},
        {"cmd:  ", "names no command"},
        {"cmd:-x", "begins with a dash"},
        {"cmd:a | b", "no shell is there"},
        {"ssh://", "no valid host name"},
        {"ssh://-oProxyCommand=x", "no valid host name"},
        {"ssh://a b", "no valid host name"},
        {"ssh://host/path", "no valid host name"},
        {"ssh://-l@host", "no valid user name"},
        {"ssh://a;b@host", "no valid user name"},
        {"ssh://root:secret@host", "holds a password"},
        {"ssh://host:0", "no valid port"},
        {"ssh://host:70000", "no valid port"},
        {"ssh://[fd00::2", "no closing bracket"},
        {"ssh://[-x]", "no IPv6 address"},
        {"ssh://[fd00::2]x", "other than :PORT"},
        {"qemu+ssh://host/system", "libvirt"},
        {"http://host", "is not understood"}};
    for (const auto& [text, says] : table) {
        const auto host = parse_dst_host(text);
        ASSERT_FALSE(host) << text;
        EXPECT_EQ(host.error().kind, ErrorKind::invalid);
        EXPECT_NE(host.error().message.find(says), std::string::npos) << host.error().message;
        EXPECT_NE(host.error().message.find("--to"), std::string::npos) << host.error().message;
    }
}

TEST(DstHost, takes_the_destinations_command_as_words_or_as_json) {
    const Words expected = {"qemu-system-x86_64", "-name", "a b", "-S"};
    EXPECT_EQ(parse_dst_command("qemu-system-x86_64 -name 'a b' -S").value_or(Words{}), expected);
    EXPECT_EQ(parse_dst_command(R"(["qemu-system-x86_64", "-name", "a b", "-S"])").value_or(Words{}), expected);
    for (const std::string& text : {std::string(), std::string("  "), std::string("[]"), std::string("[1]"),
                                    std::string("[\"a\""), std::string("''"), std::string("a | b"),
                                    std::string("[\"a\\n\"]"), "a " + std::string(5000, 'x'), std::string(40'000, 'x'),
                                    "a" + [] {
                                        std::string many;
                                        for (int i = 0; i < 1100; ++i) many += " b";
                                        return many;
                                    }()}) {
        const auto command = parse_dst_command(text);
        ASSERT_FALSE(command) << text;
        EXPECT_NE(command.error().message.find("--dst-command"), std::string::npos) << command.error().message;
    }
}

}  // namespace
}  // namespace segue

#include "vm/description.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace segue::vm {
namespace {

constexpr std::string_view whole = R"(name = "web1"
uuid = "6F9619FF-8B86-D011-B42D-00C04FC964FF"
command = [
  "qemu-system-x86_64", "-m", "4G",
  "-netdev", "tap,id=n,ifname={tap}",
  "-blockdev", '{"driver":"file","node-name":"d","filename":"/srv/web1.raw"}',
]
shared_storage = true

[env]
LANG = "C"
MODULES = "{modules}"

[limits]
max_downtime = "200ms"
timeout = "10min"
max_bandwidth = "100MiB/s"
switchover_bandwidth = "1Gbit/s"

[host."host1"]
tap = "tap3"

[host.default]
tap = "tap0"
modules = "/usr/lib/qemu"
)";

TEST(VmDescription, AWholeFileIsUnderstood) {
    const auto read = parse_description(whole);
    ASSERT_TRUE(read.has_value()) << render(read.error(), "f");
    EXPECT_EQ(read->name, "web1");
    EXPECT_EQ(read->uuid, "6f9619ff-8b86-d011-b42d-00c04fc964ff");
    ASSERT_EQ(read->command.size(), 7U);
    EXPECT_EQ(read->command[4].text, "tap,id=n,ifname={tap}");
    EXPECT_EQ(read->command[4].line, 5);
    EXPECT_TRUE(read->shared_storage);
    EXPECT_EQ(read->env.at("MODULES").text, "{modules}");
    EXPECT_EQ(read->env.at("MODULES").line, 12);
    EXPECT_EQ(read->limits.max_downtime, std::chrono::milliseconds{200});
    EXPECT_EQ(read->limits.timeout, std::chrono::minutes{10});
    EXPECT_EQ(read->limits.max_bandwidth, mebibytes_per_second(100));
    EXPECT_EQ(read->limits.switchover_bandwidth, ByteRate{125'000'000});
    EXPECT_EQ(read->hosts.at("host1").at("tap"), "tap3");
}

TEST(VmDescription, WhatIsLeftOutHasItsDefault) {
    const auto read = parse_description("name = 'a'\ncommand = ['q']\n");
    ASSERT_TRUE(read.has_value());
    EXPECT_TRUE(read->uuid.empty());
    EXPECT_FALSE(read->shared_storage);
    EXPECT_EQ(read->limits, Limits{});
    EXPECT_TRUE(read->hosts.empty());
}

struct Wrong {
    std::string_view text;  ///< "N" stands for a valid name line, "C" for a valid command line.
    std::string_view said;  ///< With the file's name and line.
};

/// Each answers with one sentence that names file, line, what is wrong and what to write.
constexpr Wrong wrong_files[] = {
    {"C", "f: name is missing: give the VM a name, for example name = \"web1\""},
    {"N", "f: command is missing: give the command that starts its QEMU, as an array of strings"},
    {"N\nC\nname = 'b'", "f:3: it is no TOML: "},
    {"N\nC\nuuid 5", "f:3: it is no TOML: "},
    {"N\nC\nuuid = \"abc", "f:3: it is no TOML: "},
    {"N\nC\n[=]", "f:3: it is no TOML: between the brackets of a table stands no name"},
    {"C\nname = 5", "f:2: name is a number, not a string: write name = \"web1\""},
    {"C\nname = ''", "f:2: name \"\" cannot be used: take letters, digits, - _ and ., a letter or digit first, at most "
                     "64 of them"},
    {"C\nname = 'web 1'", "f:2: name \"web 1\" cannot be used"},
    {"C\nname = '../web'", "f:2: name \"../web\" cannot be used"},
    {"C\nname = '-web'", "f:2: name \"-web\" cannot be used"},
    {"C\nname = \"a\\u0007b\"", "f:2: name holds a control character: take it away"},
    {"N\nC\nuuid = 'abc'", "f:3: uuid \"abc\" is none: write 8-4-4-4-12 hex digits, or leave it out and one is drawn"},
    {"N\nC\nuuid = '00000000-0000-0000-0000-000000000000'",
     "f:3: uuid is all zeros, which means none: leave it out and one is drawn"},
    {"N\nC\nuuid = true", "f:3: uuid is a boolean, not a string: write uuid = "},
    {"N\ncommand = 'qemu -m 4G'", "f:2: command is a string, not an array: write command = [\"qemu-system-x86_64\", "
                                  "\"-m\", \"4G\"]"},
    {"N\ncommand = []", "f:2: command is empty: its first word names the program"},
    {"N\ncommand = ['q', '-m', 4]", "f:2: a word of command is a number, not a string: write each word as a string, "
                                    "in quotes"},
    {"N\ncommand = ['-m', '4G']", "f:2: command begins with \"-m\": its first word names the program"},
    {"N\ncommand = ['qemu -m 4G']",
     "f:2: the first word of command is \"qemu -m 4G\": write each word as a string of its own"},
    {"N\ncommand = [\n'q',\n'-incoming',\n'defer']",
     "f:4: -incoming cannot stand in command: Segue adds it where the VM arrives: leave it out"},
    {"N\ncommand = ['q', '-S']", "f:2: -S cannot stand in command: Segue starts the guest, and adds it where the VM "
                                 "arrives: leave it out"},
    {"N\ncommand = ['q', '--S']", "f:2: -S cannot stand in command"},
    {"N\ncommand = ['q', '-daemonize']", "f:2: -daemonize cannot stand in command: QEMU gets a session of its own, and "
                                         "must stay the process that was started: leave it out"},
    {"N\ncommand = ['q', '-qmp', 'unix:/run/q']", "f:2: -qmp cannot stand in command: Segue gives QEMU its three "
                                                  "monitors, in the VM's folder: leave it out"},
    {"N\ncommand = ['q', '-mon', 'chardev=c']", "f:2: -mon cannot stand in command"},
    {"N\ncommand = ['q', '-monitor', 'stdio']", "f:2: -monitor cannot stand in command: Segue gives QEMU its three "
                                                "monitors: leave it out, or write none"},
    {"N\ncommand = ['q', '-name', 'x']",
     "f:2: -name cannot stand in command: the VM's name is the field name: leave it out"},
    {"N\ncommand = ['q', '-uuid', 'x']",
     "f:2: -uuid cannot stand in command: the VM's uuid is the field uuid: leave it out"},
    {"N\ncommand = ['q', '-pidfile', 'x']",
     "f:2: -pidfile cannot stand in command: Segue remembers the process itself: leave it out"},
    {"N\ncommand = ['q', '-loadvm', 'x']",
     "f:2: -loadvm cannot stand in command: where the VM arrives, its state comes from the move: leave it out"},
    {"N\nC\nenv = 'A=1'", "f:3: env is a string, not a table: write [env] and below it NAME = \"value\""},
    {"N\nC\n[env]\n'A B' = 'x'", "f:4: \"A B\" in [env] is no name of a variable: take letters, digits and _"},
    {"N\nC\n[env]\nA = 1", "f:4: A in [env] is a number, not a string: write A = \"value\""},
    {"N\nC\nshared_storage = 'yes'", "f:3: shared_storage is a string: write true or false, without quotes"},
    {"N\nC\ncomand = 'x'", "f:3: \"comand\" is not known: did you mean command?"},
    {"N\nC\nshared-storage = true", "f:3: \"shared-storage\" is not known: did you mean shared_storage?"},
    {"N\nC\nmemory = 'x'", "f:3: \"memory\" is not known: what is known there is name, uuid, command, env, "
                           "shared_storage, limits, host"},
    {"N\nC\n[limits]\nmax_downtimes = '1s'", "f:4: \"max_downtimes\" is not known in [limits]: did you mean "
                                             "max_downtime?"},
    {"N\nC\n[limits]\nshared_storage = true",
     "f:4: shared_storage belongs to the whole file: write it above the first [table]"},
    {"N\nC\n[limits]\nmax_downtime = 300", "f:4: max_downtime is a number: give 10 ms to 2000 s, for example "
                                           "max_downtime = \"300ms\""},
    {"N\nC\n[limits]\nmax_downtime = '300'", "f:4: max_downtime: "},
    {"N\nC\n[limits]\nmax_downtime = '1ms'", "f:4: max_downtime 1 ms is out of range: give 10 ms to 2000 s"},
    {"N\nC\n[limits]\ntimeout = '40d'", "f:4: timeout 40 d is out of range: give 1 s to 30 d"},
    {"N\nC\n[limits]\nmax_bandwidth = '1kB/s'", "f:4: max_bandwidth 1000 B/s is out of range: give 1 MiB/s to 1 TB/s"},
    {"N\nC\n[limits]\nswitchover_bandwidth = '1Gb/s'", "f:4: switchover_bandwidth: "},
    {"N\nC\n[limits]\nmax_downtime = '5s'\ntimeout = '5s'",
     "f:3: timeout 5 s is not longer than max_downtime 5 s: give a longer timeout"},
    {"N\nC\nlimits = 5", "f:3: limits is a number, not a table: write [limits] and below it max_downtime = \"300ms\""},
    {"N\nC\nhost = 'b'", "f:3: host is a string, not a table: write [host.\"NAME\"] and below it key = \"value\""},
    {"N\nC\n[host]\nb = 'x'", "f:4: host.\"b\" is a string, not a table: write [host.\"b\"] and below it key = "
                              "\"value\""},
    {"N\nC\n[host.b]\n'a b' = 'x'", "f:4: \"a b\" in [host.\"b\"] cannot stand between braces: take a letter, then "
                                    "letters, digits, - and _"},
    {"N\nC\n[host.b]\ntap = 3", "f:4: tap in [host.\"b\"] is a number, not a string: write tap = \"value\""},
    {"N\ncommand = [\n'q',\n'{tap}']", "f:4: no host has a value for {tap}: give it one in [host.default] or "
                                       "[host.\"NAME\"], or write {{tap}} if the braces are meant"},
    {"N\ncommand = ['q', '{tapp}']\n[host.b]\ntap = 'x'",
     "f:2: no host has a value for {tapp}: did you mean {tap}?"},
    {"N\ncommand = ['q', '{tap}']\n[host.b]\ntap = 'x'\n[host.c]\nnic = 'y'",
     "f:2: {tap} has no value for host \"c\": give it one in [host.\"c\"] or in [host.default]"},
    {"N\nC\n[env]\nX = '{mods}'", "f:4: no host has a value for {mods}"},
};

std::string written_out(std::string_view text) {
    std::string result;
    std::size_t begin = 0;
    while (begin <= text.size()) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view line = text.substr(begin, end - begin);
        result += line == "N" ? "name = 'web1'" : line == "C" ? "command = ['q', '-m', '4G']" : std::string(line);
        result += '\n';
        begin = end + 1;
    }
    return result;
}

TEST(VmDescription, EveryWrongFileAnswersWithOneSentenceThatNamesTheLine) {
    for (const Wrong& wrong : wrong_files) {
        const auto read = parse_description(written_out(wrong.text));
        ASSERT_FALSE(read.has_value()) << wrong.text;
        EXPECT_EQ(read.error().size(), 1U) << wrong.text << "\n" << render(read.error(), "f");
        EXPECT_TRUE(render(read.error(), "f").starts_with(wrong.said))
            << wrong.text << "\n" << render(read.error(), "f") << "\n" << wrong.said;
    }
    EXPECT_GE(std::size(wrong_files), 40U);
}

TEST(VmDescription, EverythingThatIsWrongIsToldAtOnceInTheOrderOfTheLines) {
    const auto read =
        parse_description("uid = 'x'\nname = 'a b'\ncommand = ['q', '-S', '{x}']\n[limits]\ntimeout = 1\n");
    ASSERT_FALSE(read.has_value());
    std::vector<int> lines;
    for (const Problem& problem : read.error()) lines.push_back(problem.line);
    EXPECT_EQ(lines, (std::vector<int>{1, 2, 3, 3, 5}));
}

TEST(VmDescription, ATextThatIsTooLongForTheProtocolIsRefused) {
    const auto read = parse_description("name = 'a'\ncommand = ['q']\n" + std::string(description_bytes_max, '#'));
    ASSERT_FALSE(read.has_value());
    EXPECT_TRUE(render(read.error(), "f").starts_with("f: it has ")) << render(read.error(), "f");
}

TEST(VmDescription, AMonitorForNobodyIsAllowed) {
    EXPECT_TRUE(parse_description("name = 'a'\ncommand = ['q', '-monitor', 'none']\n").has_value());
}

TEST(VmDescription, ANameIsAFolderAndNothingElse) {
    for (const char* good : {"a", "web-1", "web_1.example.com", "7"}) EXPECT_TRUE(is_vm_name(good)) << good;
    for (const char* bad : {"", ".", "..", ".a", "-a", "_a", "a/b", "a b", "qmp:a", "a\n", "\xc3\xa4"}) {
        EXPECT_FALSE(is_vm_name(bad)) << bad;
    }
    EXPECT_TRUE(is_vm_name(std::string(64, 'a')));
    EXPECT_FALSE(is_vm_name(std::string(65, 'a')));
}

}  // namespace
}  // namespace segue::vm

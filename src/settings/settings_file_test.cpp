#include <gtest/gtest.h>

#include "settings/settings.hpp"

namespace segue::settings {
namespace {

struct Wrong {
    std::string_view text;
    std::string_view said;  ///< Its beginning, with file, line and column.
};

/// Each answers with one sentence that names the place, what is wrong and what to write.
constexpr Wrong wrong_sites[] = {
    {"max_downtim = '1s'", "f:1:1: \"max_downtim\" is not known: did you mean max_downtime?"},
    {"colour = 'red'", "f:1:1: \"colour\" is not known: what is known is max_downtime, timeout, max_bandwidth, "},
    {"max_downtime = 300", "f:1:16: max_downtime is a number: give 10 ms to 2000 s, for example max_downtime = "
                           "\"300ms\""},
    {"max_downtime = '300'", "f:1:16: max_downtime: "},
    {"max_downtime = '1ms'", "f:1:16: max_downtime 1 ms is out of range: give 10 ms to 2000 s"},
    {"\ntimeout = true", "f:2:11: timeout is a boolean: give 1 s to 30 d"},
    {"timeout = '31d'", "f:1:11: timeout 31 d is out of range"},
    {"max_bandwidth = 100", "f:1:17: max_bandwidth is a number: give 1 MiB/s to 1 TB/s"},
    {"max_bandwidth = '100Mb/s'", "f:1:17: max_bandwidth: "},
    {"switchover_bandwidth = '2TB/s'", "f:1:24: switchover_bandwidth 1.8"},
    {"min_cpu = 0.2", "f:1:11: min_cpu is a number: give 1% to 100%, for example min_cpu = \"20%\""},
    {"min_cpu = '0.5%'", "f:1:11: min_cpu 0.5% is out of range: give 1% to 100%"},
    {"min_cpu = '120%'", "f:1:11: min_cpu: \"120%\" is more than all of it"},
    {"max_stall = '10ms'", "f:1:13: max_stall 10 ms is out of range: give 20 ms to 10 s"},
    {"max_stall = '11s'", "f:1:13: max_stall 11 s is out of range"},
    {"aggression = '0.5'", "f:1:14: aggression is a string, not a number: give a number from 0 to 1"},
    {"aggression = 1.5", "f:1:14: aggression 1.5 is out of range: give a number from 0 to 1"},
    {"aggression = nan", "f:1:14: aggression nan is out of range"},
    {"data_address = '10.0.0.1'", "f:1:1: data_address belongs to hosts/NAME.toml of the host that it is of"},
    {"data_ports = 4444", "f:1:14: data_ports is a number, not a string: give FIRST-LAST from 1 to 65535"},
    {"data_ports = '5-4'", "f:1:14: data_ports \"5-4\" is no range of ports"},
    {"data_ports = '1-65536'", "f:1:14: data_ports \"1-65536\" is no range of ports"},
    {"preset = 'ganety'", "f:1:10: preset \"ganety\" is not known: did you mean ganeti?"},
    {"preset = 'fast'", "f:1:10: preset \"fast\" is not known: the presets are ganeti, gentle, maintenance"},
    {"preset = 5", "f:1:10: preset is a number, not a string: the presets are"},
    {"preset = 'ganeti'\nmigration_bandwidth = '32'", "f:2:23: migration_bandwidth is a string, not a whole number, as "
                                                      "Ganeti has it: give a whole number of MiB/s"},
    {"preset = 'ganeti'\nmigration_downtime = 30.5", "f:2:22: migration_downtime is a number, not a whole number"},
    {"preset = 'ganeti'\nmigration_downtime = 0", "f:2:22: migration_downtime 0 is out of range: give a whole number "
                                                  "of ms from 10 to 2000000, for example migration_downtime = 30"},
    {"preset = 'ganeti'\nmigration_bandwidth = 0", "f:2:23: migration_bandwidth 0 is out of range"},
    {"preset = 'ganeti'\nmax_downtime = '1s'\nmigration_downtime = 30",
     "f:3:1: max_downtime and migration_downtime are the same limit: write one of them"},
    {"max_downtime = '5s'\ntimeout = '5s'", "f:1:1: timeout 5 s is not longer than max_downtime 5 s"},
    {"lock = 'max_bandwidth'", "f:1:8: lock is a string, not an array: write lock = [\"max_bandwidth\"]"},
    {"lock = [1]", "f:1:9: an entry of lock is a number, not a string: write the key in quotes"},
    {"lock = ['max_bandwith']", "f:1:9: lock names \"max_bandwith\", which is no key that can be locked: did you mean "
                                "max_bandwidth?"},
    {"lock = ['name']", "f:1:9: lock names \"name\", which is no key that can be locked: these are max_downtime"},
    {"[limits]\nmax_downtime = '1s'", "f:1:2: [limits] belongs to a VM's file: here write its keys without a table"},
    {"max_downtime '1s'", "f:1:14: it is no TOML: "},
    {"timeout = '1h'\ntimeout = '2h'", "f:2:"},
};

constexpr Wrong wrong_hosts[] = {
    {"lock = ['timeout']", "f:1:1: lock belongs to site.toml: only a site locks keys"},
    {"migration_bandwidth = 32", "f:1:1: migration_bandwidth belongs to site.toml: as in Ganeti it is one for the "
                                 "site"},
    {"data_address = '10.0.0.1:4444'", "f:1:16: data_address \"10.0.0.1:4444\" is no address of a host"},
    {"data_address = ''", "f:1:16: data_address \"\" is no address of a host"},
};

void expect_one(std::string_view text, vm::Level level, std::string_view said) {
    const auto read = parse_settings(text, level);
    ASSERT_FALSE(read.has_value()) << text;
    EXPECT_EQ(read.error().size(), 1U) << text << "\n" << vm::render(read.error(), "f");
    EXPECT_TRUE(vm::render(read.error(), "f").starts_with(said)) << text << "\n" << vm::render(read.error(), "f");
}

TEST(SettingsFile, EveryWrongOneAnswersWithOneSentenceThatNamesThePlace) {
    for (const Wrong& wrong : wrong_sites) expect_one(wrong.text, vm::Level::site, wrong.said);
    for (const Wrong& wrong : wrong_hosts) expect_one(wrong.text, vm::Level::host, wrong.said);
}

TEST(SettingsFile, EverythingThatIsWrongIsToldAtOnceInTheOrderOfTheLines) {
    const auto read = parse_settings("timeot = '1h'\nmin_cpu = 1\nlock = ['x', 'y']\n", vm::Level::site);
    ASSERT_FALSE(read.has_value());
    std::vector<int> lines;
    for (const vm::Problem& problem : read.error()) lines.push_back(problem.line);
    EXPECT_EQ(lines, (std::vector<int>{1, 2, 3, 3}));
}

TEST(SettingsFile, AWholeSiteIsUnderstood) {
    const auto read = parse_settings(
        "preset = 'gentle'\nmax_downtime = '300 ms'\ntimeout = '1h'\nmax_bandwidth = '1GiB/s'\n"
        "switchover_bandwidth = '10Gbit/s'\nmin_cpu = '20%'\nmax_stall = '150ms'\naggression = 1\n"
        "data_ports = '49152-49215'\nlock = ['max_bandwidth', 'preset']\n", vm::Level::site);
    ASSERT_TRUE(read.has_value()) << vm::render(read.error(), "f");
    EXPECT_EQ(read->limits.aggression, 1.0);
    EXPECT_EQ(read->limits.min_cpu, Share{0.2});
    EXPECT_EQ(read->limits.max_stall, std::chrono::milliseconds{150});
    EXPECT_EQ(read->locks.size(), 2U);
    EXPECT_EQ(read->limits.at.at("timeout"), (vm::At{3, 1}));
}

TEST(SettingsFile, AnEmptyOneSetsNothing) {
    const auto read = parse_settings("# nothing yet\n", vm::Level::host);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->limits, vm::Limits{});
}

}  // namespace
}  // namespace segue::settings

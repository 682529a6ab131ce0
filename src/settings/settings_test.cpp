#include "settings/settings.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace segue::settings {
namespace {

Level level(std::string_view text, vm::Level which, std::string file) {
    auto read = parse_settings(text, which);
    EXPECT_TRUE(read.has_value()) << vm::render(read.has_value() ? vm::Problems{} : read.error(), file);
    return {std::move(file), read.has_value() ? *read : File{}};
}
Level site(std::string_view text) { return level(text, vm::Level::site, "site.toml"); }
Level host(std::string_view text) { return level(text, vm::Level::host, "hosts/h.toml"); }
Level vm_level(std::string_view limits) {
    const auto read = vm::parse_description("name = 'a'\ncommand = ['q']\n[limits]\n" + std::string(limits));
    EXPECT_TRUE(read.has_value()) << vm::render(read.has_value() ? vm::Problems{} : read.error(), "vm.toml");
    return {"vm.toml", {read.has_value() ? read->limits : vm::Limits{}, {}}};
}

Outcome outcome(const Levels& levels, std::string_view key) {
    const auto resolved = resolve(levels);
    EXPECT_TRUE(resolved.has_value()) << (resolved.has_value() ? "" : resolved.error().front());
    if (!resolved.has_value()) return {};
    return *std::ranges::find(resolved->outcomes, key, &Outcome::key);
}

std::string only_problem(const Levels& levels) {
    const auto resolved = resolve(levels);
    EXPECT_FALSE(resolved.has_value());
    if (resolved.has_value()) return {};
    EXPECT_EQ(resolved.error().size(), 1U);
    return resolved.error().front();
}

TEST(Settings, WithoutAnyLevelTheDefaultsHold) {
    const auto resolved = resolve({});
    ASSERT_TRUE(resolved.has_value());
    EXPECT_EQ(resolved->values.max_downtime, std::chrono::milliseconds{300});
    EXPECT_EQ(resolved->values.timeout, std::nullopt);
    EXPECT_EQ(resolved->values.max_bandwidth, std::nullopt);
    EXPECT_EQ(resolved->values.min_cpu, Share{0.1});
    EXPECT_EQ(resolved->values.max_stall, std::chrono::milliseconds{150});
    EXPECT_EQ(resolved->values.aggression, 0.5);
    EXPECT_EQ(resolved->outcomes.size(), 9U);
    for (const Outcome& each : resolved->outcomes) EXPECT_EQ(text_of(each.origin), "default") << each.key;
}

TEST(Settings, TheNearestLevelThatSaysSomethingWinsKeyByKey) {
    Levels levels;
    levels.site = site("max_downtime = '1s'\ntimeout = '1h'\nmax_bandwidth = '1GiB/s'\nmin_cpu = '30%'\n");
    levels.host = host("timeout = '30min'\nmax_bandwidth = '500MiB/s'\n");
    levels.vm = vm_level("max_bandwidth = '100MiB/s'\n");
    levels.options.max_downtime = std::chrono::milliseconds{200};
    EXPECT_EQ(text_of(outcome(levels, "max_downtime").origin), "--max-downtime");
    EXPECT_EQ(text_of(outcome(levels, "max_bandwidth").origin), "vm.toml:4");
    EXPECT_EQ(text_of(outcome(levels, "timeout").origin), "hosts/h.toml:1");
    EXPECT_EQ(text_of(outcome(levels, "min_cpu").origin), "site.toml:4");
    EXPECT_EQ(outcome(levels, "min_cpu").value, "30%");
    EXPECT_EQ(resolve(levels)->values.max_bandwidth, mebibytes_per_second(100));
    // Half of the max_downtime that holds.
    EXPECT_EQ(resolve(levels)->values.max_stall, std::chrono::milliseconds{100});
}

TEST(Settings, AKeyThatIsWrittenWinsOverThePresetOfItsLevelAndAPresetOverWhatIsAbove) {
    Levels levels;
    levels.site = site("preset = 'maintenance'\nmax_downtime = '2s'\n");
    EXPECT_EQ(text_of(outcome(levels, "max_downtime").origin), "site.toml:2");
    EXPECT_EQ(text_of(outcome(levels, "aggression").origin), "preset maintenance, site.toml:1");
    levels.vm = vm_level("preset = 'gentle'\n");
    EXPECT_EQ(text_of(outcome(levels, "aggression").origin), "preset gentle, vm.toml:4");
    EXPECT_EQ(outcome(levels, "aggression").value, "0");
    EXPECT_EQ(text_of(outcome(levels, "max_downtime").origin), "site.toml:2");
}

TEST(Settings, ThePresetGanetiHasItsTwoParametersWithTheirUnitsAndDefaults) {
    Levels levels;
    levels.site = site("preset = 'ganeti'\n");
    EXPECT_EQ(resolve(levels)->values.max_bandwidth, mebibytes_per_second(32));
    EXPECT_EQ(resolve(levels)->values.max_downtime, std::chrono::milliseconds{30});
    levels.site = site("preset = 'ganeti'\nmigration_bandwidth = 100\nmigration_downtime = 250\n");
    EXPECT_EQ(resolve(levels)->values.max_bandwidth, mebibytes_per_second(100));
    EXPECT_EQ(resolve(levels)->values.max_downtime, std::chrono::milliseconds{250});
    EXPECT_EQ(text_of(outcome(levels, "max_bandwidth").origin), "site.toml:2");
    // Per instance, as there.
    levels.vm = vm_level("migration_downtime = 500\n");
    EXPECT_EQ(resolve(levels)->values.max_downtime, std::chrono::milliseconds{500});
    EXPECT_EQ(text_of(outcome(levels, "max_downtime").origin), "vm.toml:4");
}

TEST(Settings, GanetisNamesMeanNothingWithoutItsPreset) {
    Levels levels;
    levels.vm = vm_level("migration_downtime = 500\n");
    EXPECT_EQ(only_problem(levels), "vm.toml:4:1: migration_downtime belongs to preset = \"ganeti\", which is not "
                                    "chosen: write max_downtime = \"0.5 s\"");
    levels.vm.reset();
    levels.site = site("migration_bandwidth = 32\n");
    EXPECT_EQ(only_problem(levels), "site.toml:1:1: migration_bandwidth belongs to preset = \"ganeti\", which is not "
                                    "chosen: write max_bandwidth = \"32 MiB/s\"");
}

TEST(Settings, WhatTheSiteLocksNoLowerLevelSets) {
    Levels levels;
    levels.site = site("max_bandwidth = '100MiB/s'\nlock = ['max_bandwidth']\n");
    EXPECT_EQ(outcome(levels, "max_bandwidth").locked_by, "site.toml:2");
    EXPECT_EQ(outcome(levels, "max_downtime").locked_by, "");
    levels.options.max_bandwidth = mebibytes_per_second(200);
    EXPECT_EQ(only_problem(levels), "--max-bandwidth cannot be given, because site.toml:2 locks max_bandwidth "
                                    "(100 MiB/s there): leave it out");
    levels.options = {};
    levels.vm = vm_level("max_bandwidth = '1GiB/s'\n");
    EXPECT_EQ(only_problem(levels), "vm.toml:4:1: max_bandwidth cannot be set here, because site.toml:2 locks it "
                                    "(100 MiB/s there): take it away");
    levels.host = host("max_bandwidth = '1GiB/s'\n");
    ASSERT_FALSE(resolve(levels).has_value());
    EXPECT_EQ(resolve(levels).error().size(), 2U);
}

TEST(Settings, APresetBelowDoesNotMoveALockedKey) {
    Levels levels;
    levels.site = site("lock = ['max_downtime']\nmax_downtime = '100ms'\n");
    levels.vm = vm_level("preset = 'maintenance'\n");
    EXPECT_EQ(resolve(levels)->values.max_downtime, std::chrono::milliseconds{100});
    EXPECT_EQ(resolve(levels)->values.aggression, 1.0);
    levels.site = site("lock = ['preset']\n");
    EXPECT_EQ(only_problem(levels), "vm.toml:4:1: preset cannot be chosen here, because site.toml:1 locks it: take it "
                                    "away");
}

TEST(Settings, AKeyThatIsLockedAndNotSetKeepsItsDefault) {
    Levels levels;
    levels.site = site("lock = ['min_cpu', 'timeout']\n");
    EXPECT_EQ(resolve(levels)->values.min_cpu, Share{0.1});
    levels.vm = vm_level("min_cpu = '5%'\n");
    EXPECT_EQ(only_problem(levels), "vm.toml:4:1: min_cpu cannot be set here, because site.toml:1 locks it: take it "
                                    "away");
}

TEST(Settings, MemoryGoesWhereTheHostThatTakesItSays) {
    Levels levels;
    levels.site = site("data_ports = '49152-49215'\n");
    levels.host = host("data_address = '10.0.0.1'\n");
    levels.dst_host = Level{"hosts/b.toml", host("data_address = '[fd00::2]'\nmax_downtime = '5s'\n").content};
    EXPECT_EQ(resolve(levels)->values.data_address, "[fd00::2]");
    EXPECT_EQ(resolve(levels)->values.data_ports, (vm::Ports{49152, 49215}));
    EXPECT_EQ(resolve(levels)->values.max_downtime, std::chrono::milliseconds{300});
    EXPECT_EQ(text_of(outcome(levels, "data_address").origin), "hosts/b.toml:1");
}

TEST(Settings, ATimeoutThatIsNoLongerThanTheDowntimeNamesWhereBothAreFrom) {
    Levels levels;
    levels.site = site("timeout = '2s'\n");
    levels.options.max_downtime = std::chrono::seconds{3};
    EXPECT_EQ(only_problem(levels), "timeout 2 s (site.toml:1) is not longer than max_downtime 3 s (--max-downtime): "
                                    "give a longer --timeout, or a shorter --max-downtime");
}

TEST(Settings, EveryPresetThatCanBeNamedIsWithinTheRanges) {
    for (const std::string_view name : vm::preset_names) {
        Levels levels;
        levels.site = site("preset = '" + std::string(name) + "'\n");
        const auto resolved = resolve(levels);
        ASSERT_TRUE(resolved.has_value()) << name;
        EXPECT_NE(preset_limits(name), vm::Limits{}) << name;
        // What it sets can be written out by hand, and means the same.
        std::string text;
        for (const Outcome& each : resolved->outcomes) {
            if (each.value.empty()) continue;
            const std::string quote = each.key == "aggression" ? "" : "'";
            text += each.key + " = " + quote + each.value + quote + "\n";
        }
        Levels written;
        written.site = site(text);
        EXPECT_EQ(resolve(written)->values, resolved->values) << text;
    }
}

}  // namespace
}  // namespace segue::settings

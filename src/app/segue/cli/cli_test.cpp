#include "app/segue/cli/cli.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "app/segue/cli/cli_bounds.hpp"
#include "app/segue/cli/help_text.hpp"
#include "app/segue/cli/typed_test.hpp"
#include "app/segue/words/plain_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Words = std::vector<std::string>;

const std::string base = "migrate qmp:/run/a.qmp --dst-qmp /run/b.qmp --data-address 10.77.0.2 ";

Migrate migrate_of(const std::string& text) { return understood_as<Migrate>(text); }

TEST(CommandLine, takes_the_words_of_the_manual) {
    const Migrate m = migrate_of(
        "migrate qmp:/run/a.qmp --dst-qmp /run/b.qmp --data-address 10.77.0.2:4444 --max-downtime 300ms "
        "--timeout 2min --max-bandwidth 100MiB/s --switchover-bandwidth 1Gbit/s --dry-run --json --verbose "
        "--src-guard-qmp /run/a2.qmp --no-forecast");
    EXPECT_EQ(m.request.vm, "qmp:/run/a.qmp");
    EXPECT_EQ(m.src_qmp, "/run/a.qmp");
    EXPECT_EQ(m.src_guard_qmp, "/run/a2.qmp");
    EXPECT_EQ(m.dst_qmp, "/run/b.qmp");
    EXPECT_EQ(m.request.data_address.host, "10.77.0.2");
    EXPECT_EQ(m.request.data_address.port, 4444);
    EXPECT_EQ(m.request.bounds.max_downtime, milliseconds{300});
    EXPECT_EQ(m.request.bounds.timeout, minutes{2});
    EXPECT_EQ(m.request.bounds.max_bandwidth, mebibytes_per_second(100));
    EXPECT_EQ(m.request.bounds.switchover_bandwidth, ByteRate{125'000'000});
    EXPECT_TRUE(m.request.dry_run);
    EXPECT_FALSE(m.request.forecast);
    EXPECT_TRUE(m.output.json);
    EXPECT_TRUE(m.output.verbose);
    EXPECT_TRUE(m.notes.empty());
}

TEST(CommandLine, has_the_defaults_of_the_design) {
    const Migrate m = migrate_of(base);
    EXPECT_EQ(m.request.bounds.max_downtime, milliseconds{300});
    EXPECT_EQ(m.request.bounds.timeout, std::nullopt);
    EXPECT_EQ(m.request.bounds.max_bandwidth, std::nullopt);
    EXPECT_EQ(m.request.bounds.switchover_bandwidth, std::nullopt);
    EXPECT_EQ(m.request.data_address.port, 0);
    EXPECT_EQ(m.src_guard_qmp, std::nullopt);
    EXPECT_FALSE(m.request.dry_run);
    EXPECT_TRUE(m.request.forecast);
    EXPECT_FALSE(m.output.json);
}

TEST(CommandLine, takes_options_in_any_order_and_with_an_equals_sign) {
    const Migrate m = migrate_of(
        "migrate --max-downtime=0.5s --data-address=[fd00::2]:4444 --dst-qmp=qmp:/run/b.qmp -v --src-qmp /run/a.qmp");
    EXPECT_EQ(m.request.vm, "qmp:/run/a.qmp");
    EXPECT_EQ(m.dst_qmp, "/run/b.qmp");
    EXPECT_EQ(m.request.bounds.max_downtime, milliseconds{500});
    EXPECT_EQ(m.request.data_address.host, "fd00::2");
    EXPECT_EQ(m.request.data_address.port, 4444);
    EXPECT_TRUE(m.output.verbose);
    EXPECT_EQ(migrate_of("migrate --json --dst-qmp /b --data-address h qmp:/a").src_qmp, "/a");
    EXPECT_EQ(migrate_of("migrate --dst-qmp /b --data-address h -- qmp:/a").src_qmp, "/a");
}

const std::string there = "migrate qmp:/run/a.qmp --to ssh://root@host2 --data-address 10.77.0.2 ";

TEST(CommandLine, takes_another_host_with_a_qemu_that_waits_there) {
    const Migrate m = migrate_of(there + "--dst-qmp /run/a.qmp --src-guard-qmp /run/b.qmp");
    ASSERT_TRUE(m.to);
    EXPECT_EQ(m.to->as_written, "ssh://root@host2");
    EXPECT_EQ(m.to->command.front(), "ssh");
    EXPECT_EQ(m.dst_qmp, "/run/a.qmp") << "the same path there is another monitor";
    EXPECT_TRUE(m.dst_command.empty());
    EXPECT_TRUE(m.request.remote);
    EXPECT_FALSE(migrate_of(base).request.remote);
    EXPECT_FALSE(migrate_of(base).to);
}

TEST(CommandLine, takes_another_host_and_how_to_start_the_qemu_there) {
    const auto parsed = parse({"migrate", "qmp:/run/a.qmp", "--to", "cmd:lab/in b segue receive --stdio",
                               "--dst-command", "qemu -name 'a b' -S", "--data-address", "10.77.0.2:4000-4010"});
    ASSERT_TRUE(parsed) << parsed.error().message;
    const Migrate& m = std::get<Migrate>(*parsed);
    EXPECT_EQ(m.to->command, (Words{"lab/in", "b", "segue", "receive", "--stdio"}));
    EXPECT_EQ(m.dst_command, (Words{"qemu", "-name", "a b", "-S"}));
    EXPECT_TRUE(m.dst_qmp.empty());
    EXPECT_EQ(m.request.data_address.port, 0);
    EXPECT_EQ(m.port_first, 4000);
    EXPECT_EQ(m.port_last, 4010);
    const auto json = parse({"migrate", "qmp:/a", "--to", "cmd:x", "--data-address", "h", "--dst-command",
                             R"(["qemu", "-name", "a,b c", "[x, y]"])"});
    ASSERT_TRUE(json) << json.error().message;
    EXPECT_EQ(std::get<Migrate>(*json).dst_command, (Words{"qemu", "-name", "a,b c", "[x, y]"}));
}

TEST(CommandLine, echoes_bare_numbers_with_their_unit) {
    const Migrate m = migrate_of(base + "--max-suspend-time 2 --timeout 120 --max-bandwidth 32");
    EXPECT_EQ(m.request.bounds.max_downtime, seconds{2});
    EXPECT_EQ(m.request.bounds.timeout, seconds{120});
    EXPECT_EQ(m.request.bounds.max_bandwidth, mebibytes_per_second(32));
    EXPECT_EQ(m.notes, (Words{"--max-suspend-time 2 means 2 s", "--timeout 120 means 120 s",
                              "--max-bandwidth 32 means 32 MiB/s"}));
}

TEST(CommandLine, includes_the_ends_of_its_ranges) {
    EXPECT_EQ(migrate_of(base + "--max-downtime 10ms").request.bounds.max_downtime, milliseconds{10});
    EXPECT_EQ(migrate_of(base + "--max-downtime 2000s").request.bounds.max_downtime, seconds{2000});
    EXPECT_EQ(migrate_of(base + "--timeout 1s").request.bounds.timeout, seconds{1});
    EXPECT_EQ(migrate_of(base + "--timeout 30d").request.bounds.timeout, std::chrono::hours{720});
    EXPECT_EQ(migrate_of(base + "--max-bandwidth 1MiB/s").request.bounds.max_bandwidth, mebibytes_per_second(1));
    EXPECT_EQ(migrate_of(base + "--max-bandwidth 1TB/s").request.bounds.max_bandwidth, cli_range::rate_max);
}

TEST(CommandLine, builds_the_destination_after_the_source_where_nothing_else_is_said) {
    const Migrate migrate = migrate_of(
        "migrate qmp:/run/a.qmp --to cmd:x --data-address h --map-path /srv/a/=/srv/b,/c=/d --unsafe "
        "--storage-is-shared");
    EXPECT_TRUE(migrate.foreign);
    EXPECT_TRUE(migrate.request.unsafe);
    EXPECT_TRUE(migrate.request.storage_is_shared);
    EXPECT_EQ(migrate.path_map, (std::vector<vm::PathChange>{{"/srv/a", "/srv/b"}, {"/c", "/d"}}));
    EXPECT_FALSE(migrate_of("migrate qmp:/run/a.qmp --to cmd:x --data-address h --dst-qmp /b").foreign);
}

TEST(CommandLine, helps_and_says_its_version) {
    for (const char* words : {"--help", "-h", "help"}) {
        const auto parsed = parse_text(words);
        ASSERT_TRUE(parsed && std::holds_alternative<Help>(*parsed)) << words;
        EXPECT_EQ(std::get<Help>(*parsed).text, help_text);
    }
    for (const char* words :
         {"help migrate", "migrate --help", "migrate -h", "migrate qmp:/a --help", "migrate --json -h"}) {
        const auto parsed = parse_text(words);
        ASSERT_TRUE(parsed && std::holds_alternative<Help>(*parsed)) << words;
        EXPECT_EQ(std::get<Help>(*parsed).text, migrate_help_text);
    }
    for (const char* words : {"--version", "-V", "version"}) {
        const auto parsed = parse_text(words);
        ASSERT_TRUE(parsed && std::holds_alternative<Version>(*parsed)) << words;
    }
}

TEST(CommandLine, of_each_command_helps_with_that_command) {
    for (const std::string& command : command_words()) {
        if (command == "help" || command == "version") continue;
        for (const std::string& words : {command + " --help", command + " -h", "help " + command}) {
            const auto parsed = parse_text(words);
            ASSERT_TRUE(parsed && std::holds_alternative<Help>(*parsed)) << words;
            EXPECT_EQ(std::get<Help>(*parsed).text, help_about(command)) << words;
            EXPECT_TRUE(std::get<Help>(*parsed).text.starts_with("segue " + command)) << words;
        }
    }
}

TEST(CommandLine, help_fits_a_screen_and_names_every_option) {
    std::istringstream stream{std::string(migrate_help_text)};
    int lines = 0;
    for (std::string line; std::getline(stream, line); ++lines) {
        EXPECT_LE(line.size(), 80U) << line;
        EXPECT_EQ(plain_text(line), line);
    }
    EXPECT_LE(lines, 60);
    for (const char* name : {"--src-qmp", "--src-guard-qmp", "--to", "--dst-qmp", "--dst-command",
                             "--data-address", "--max-downtime",
                             "--max-suspend-time", "--timeout", "--min-cpu", "--max-stall", "--max-bandwidth",
                             "--switchover-bandwidth", "--aggression", "--brake", "--policy",
                             "--map-path", "--dry-run", "--storage-is-shared", "--unsafe", "--no-forecast", "--json",
                             "--verbose"}) {
        EXPECT_NE(migrate_help_text.find(name), std::string_view::npos) << name;
    }
}

/// What is typed, and what its one sentence must say.
struct Wrong {
    std::string words;
    Words says;
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.words; }

class WrongInput : public testing::TestWithParam<Wrong> {};

TEST_P(WrongInput, is_refused_in_one_sentence_with_its_remedy) {
    expect_refused(GetParam().words, GetParam().says);
}

INSTANTIATE_TEST_SUITE_P(Commands, WrongInput, testing::Values(
    Wrong{"", {"no command is given", "segue migrate", "segue --help"}},
    Wrong{"migrte", {"\"migrte\" is not a command", "did you mean segue migrate?"}},
    Wrong{"evacuate host1", {"\"evacuate\" is not a command", "status, cancel, history, explain, replay, vm, config"}},
    Wrong{"--json migrate", {"--json stands before the command"}},
    Wrong{"qmp:/run/a.qmp --dst-qmp /b", {"is not a command", "did you mean segue migrate qmp:/run/a.qmp?"}}));

INSTANTIATE_TEST_SUITE_P(Options, WrongInput, testing::Values(
    Wrong{base + "--max-downtme 300ms", {"--max-downtme is not an option", "did you mean --max-downtime?"}},
    Wrong{base + "--max-downtime-ms 300", {"--max-downtime-ms is not an option", "did you mean --max-downtime?"}},
    Wrong{base + "--downtime 300ms", {"--downtime is not an option", "did you mean --max-downtime?"}},
    Wrong{base + "--maxdowntime=1s", {"--maxdowntime is not an option", "did you mean --max-downtime?"}},
    Wrong{base + "--bandwith 1Gbit/s", {"--bandwith is not an option", "segue migrate --help"}},
    Wrong{base + "--max-bandwith 1Gbit/s", {"did you mean --max-bandwidth?"}},
    Wrong{base + "--timeuot 3s", {"did you mean --timeout?"}},
    Wrong{base + "--dryrun", {"did you mean --dry-run?"}},
    Wrong{base + "--swichover-bandwidth 1Gbit/s", {"did you mean --switchover-bandwidth?"}},
    Wrong{base + "-json", {"-json is not an option", "did you mean --json?"}},
    Wrong{base + "-x", {"-x is not an option", "segue migrate --help"}},
    Wrong{base + "--frobnicate", {"--frobnicate is not an option of segue migrate"}},
    Wrong{base + "--max", {"--max is not an option"}},
    Wrong{base + "--VM x", {"--VM is not an option"}},
    Wrong{base + "--max-downtime", {"--max-downtime has no value", "10 ms to 2000 s"}},
    Wrong{base + "--max-downtime --json", {"--max-downtime has no value before \"--json\"", "10 ms to 2000 s"}},
    Wrong{base + "--max-downtime -5ms", {"--max-downtime has no value before \"-5ms\"", "10 ms to 2000 s"}},
    Wrong{base + "--timeout= --json", {"--timeout has no value after the \"=\"", "1 s to 30 d"}},
    Wrong{base + "--json=yes", {"--json takes no value", "leave out \"=yes\""}},
    Wrong{base + "--timeout 5s --timeout 6s", {"--timeout is given twice"}},
    Wrong{base + "--dst-qmp /run/c.qmp", {"--dst-qmp is given twice"}},
    Wrong{base + "--max-downtime 1s --max-suspend-time 1s", {"--max-downtime and --max-suspend-time", "one of them"}},
    Wrong{base + "extra", {"\"extra\" is one word too many"}}));

INSTANTIATE_TEST_SUITE_P(Quantities, WrongInput, testing::Values(
    Wrong{base + "--max-downtime 300", {"--max-downtime", "no unit", "10 ms to 2000 s", "--max-downtime 300ms"}},
    Wrong{base + "--max-downtime 5ms", {"--max-downtime 5 ms is out of range", "10 ms to 2000 s"}},
    Wrong{base + "--max-downtime 0s", {"--max-downtime", "out of range", "10 ms to 2000 s"}},
    Wrong{base + "--max-downtime 2001s", {"--max-downtime", "out of range", "10 ms to 2000 s"}},
    Wrong{base + "--max-downtime 300msec", {"--max-downtime", "did you mean ms?"}},
    Wrong{base + "--max-downtime 100MiB/s", {"--max-downtime", "is not a duration"}},
    Wrong{base + "--max-downtime fast", {"--max-downtime", "10 ms to 2000 s"}},
    Wrong{base + "--max-downtime=-5ms", {"--max-downtime", "cannot be negative"}},
    Wrong{base + "--max-downtime 1e3ms", {"--max-downtime", "exponents"}},
    Wrong{base + "--max-suspend-time 0", {"--max-suspend-time", "out of range", "10 ms to 2000 s"}},
    Wrong{base + "--timeout 5m", {"--timeout", "did you mean min or ms?", "1 s to 30 d"}},
    Wrong{base + "--timeout 0", {"--timeout cannot be 0", "leave it out for no timeout"}},
    Wrong{base + "--timeout 500ms", {"--timeout", "out of range", "1 s to 30 d"}},
    Wrong{base + "--timeout 31d", {"--timeout 31 d is out of range", "1 s to 30 d"}},
    Wrong{base + "--timeout 2s --max-downtime 2s", {"--timeout 2 s is not longer than --max-downtime 2 s"}},
    Wrong{base + "--max-bandwidth 100Mb/s", {"--max-bandwidth", "did you mean Mbit/s or MB/s?"}},
    Wrong{base + "--max-bandwidth 100MiB", {"--max-bandwidth", "did you mean MiB/s?"}},
    Wrong{base + "--max-bandwidth 1kB/s", {"--max-bandwidth", "out of range", "1 MiB/s to 1 TB/s"}},
    Wrong{base + "--max-bandwidth 2TB/s", {"--max-bandwidth", "out of range", "1 MiB/s to 1 TB/s"}},
    Wrong{base + "--max-bandwidth 0", {"--max-bandwidth cannot be 0", "leave it out for no cap"}},
    Wrong{base + "--switchover-bandwidth 10", {"--switchover-bandwidth", "no unit", "1 MiB/s to 1 TB/s"}},
    Wrong{base + "--switchover-bandwidth 300ms", {"--switchover-bandwidth", "is not a rate"}},
    Wrong{base + "--switchover-bandwidth 0B/s", {"--switchover-bandwidth cannot be 0", "it is measured"}}));

INSTANTIATE_TEST_SUITE_P(Steering, WrongInput, testing::Values(
    Wrong{base + "--min-cpu 20", {"--min-cpu", "write it in percent", "1 % to 100 %", "--min-cpu 20%"}},
    Wrong{base + "--min-cpu 0%", {"--min-cpu 0% is out of range", "1 % to 100 %"}},
    Wrong{base + "--min-cpu 101%", {"--min-cpu", "100% is the most"}},
    Wrong{base + "--min-cpu 20percent", {"--min-cpu", "write it in percent"}},
    Wrong{base + "--min-cpu", {"--min-cpu has no value", "1 % to 100 %"}},
    Wrong{base + "--max-stall 5ms", {"--max-stall 5 ms is out of range", "20 ms to 10 s"}},
    Wrong{base + "--max-stall 150", {"--max-stall", "no unit"}},
    Wrong{base + "--max-stal 1s", {"did you mean --max-stall?"}},
    Wrong{base + "--aggression 1.5", {"--aggression \"1.5\" is not a level", "from 0", "to 1"}},
    Wrong{base + "--aggression high", {"--aggression \"high\" is not a level"}},
    Wrong{base + "--aggression nan", {"--aggression \"nan\" is not a level"}},
    Wrong{base + "--aggression", {"--aggression has no value", "from 0 to 1"}},
    Wrong{base + "--brake hard", {"--brake \"hard\" is not known", "cgroup, auto-converge or none"}},
    Wrong{base + "--brake cgroup --auto-converge", {"name two brakes", "one of them"}},
    Wrong{base + "--auto-converge --policy converge", {"--policy and auto-converge", "leave one of them out"}},
    Wrong{base + "--policy best", {"--policy \"best\" is not known", "converge, patient or exec:COMMAND"}},
    Wrong{base + "--policy exec:", {"--policy exec: names no program"}},
    Wrong{"plan qmp:/run/a.qmp --dst-qmp /run/b.qmp --data-address h --no-forecast", {"segue plan without", "leave"}},
    Wrong{"migrate web1 ssh://root@host2", {"one word too many", "did you mean --to ssh://root@host2?"}},
    Wrong{"start web1", {"\"start\" is not a command", "did you mean segue vm start?"}},
    Wrong{"help migrat", {"\"migrat\" is not a command", "did you mean segue migrate?"}}));

TEST(CommandLine, steers_as_told_and_by_the_defaults_otherwise) {
    const auto plain = parse_text(base);
    ASSERT_TRUE(plain);
    const Request& usual = std::get<Migrate>(*plain).request;
    EXPECT_EQ(usual.bounds.min_cpu, Share{0.1});
    EXPECT_EQ(usual.bounds.longest_stall(), usual.bounds.max_downtime / 2);
    EXPECT_EQ(usual.brake, BrakeKind::cgroup);
    EXPECT_FALSE(usual.brake_required);
    EXPECT_EQ(usual.aggression, 0.5);
    const auto told = parse_text(base + "--min-cpu 12.5% --max-stall 150ms --aggression 0.25 --auto-converge "
                                        "--policy patient");
    ASSERT_TRUE(told);
    const auto& migrate = std::get<Migrate>(*told);
    EXPECT_EQ(migrate.request.bounds.min_cpu, Share{0.125});
    EXPECT_EQ(migrate.request.bounds.longest_stall(), std::chrono::milliseconds{150});
    EXPECT_EQ(migrate.request.brake, BrakeKind::auto_converge);
    EXPECT_TRUE(migrate.request.brake_required);
    EXPECT_EQ(migrate.request.aggression, 0.25);
    EXPECT_EQ(migrate.policy, "patient");
    const auto plan = parse_text("plan qmp:/run/a.qmp --dst-qmp /run/b.qmp --data-address 10.77.0.2");
    ASSERT_TRUE(plan);
    EXPECT_TRUE(std::get<Migrate>(*plan).plan);
    EXPECT_TRUE(std::get<Migrate>(*plan).request.dry_run);
}

const std::string far = " --dst-qmp /run/b.qmp --data-address 10.77.0.2";
const std::string near_only = "migrate qmp:/run/a.qmp --dst-qmp /run/b.qmp --data-address ";

INSTANTIATE_TEST_SUITE_P(Sides, WrongInput, testing::Values(
    Wrong{"migrate", {"no VM is given", "qmp:/run/a.qmp"}},
    Wrong{"migrate" + far, {"no VM is given"}},
    Wrong{"migrate web-7" + far, {"web-7 is a VM's name", "--to ssh://USER@HOST"}},
    Wrong{"migrate web_7!" + far, {"VM \"web_7!\" is no name", "at most 64", "qmp:PATH"}},
    Wrong{"migrate web-7 --to ssh://h" + far, {"web-7 is a VM's name", "leave --dst-qmp out"}},
    Wrong{"migrate web-7 --to ssh://h --dst-command qemu", {"from its description", "leave --dst-command out"}},
    Wrong{"migrate web-7 --to cmd:x", {"--data-address is missing"}},
    Wrong{"migrate libvirt:qemu:///system#web-7" + far, {"libvirt", "not supported yet", "qmp:PATH"}},
    Wrong{"migrate qemu+ssh://h/system" + far, {"libvirt", "not supported yet"}},
    Wrong{"migrate xen:web-7" + far, {"Xen", "not supported yet"}},
    Wrong{"migrate /run/a.qmp" + far, {"is a path", "did you mean qmp:/run/a.qmp?"}},
    Wrong{"migrate unix:/run/a.qmp" + far, {"write qmp:PATH"}},
    Wrong{"migrate qmp:" + far, {"VM names no socket", "qmp:/run/a.qmp"}},
    Wrong{"migrate qmp:tcp:10.0.0.1:4444" + far, {"VM", "is no path", "unix socket"}},
    Wrong{"migrate qmp:/" + std::string(200, 'x') + far, {"VM", "path of 201 bytes", "at most 107"}},
    Wrong{"migrate qmp:/run/a.qmp --src-qmp /run/a.qmp" + far, {"given twice", "--src-qmp"}},
    Wrong{"migrate qmp:/run/a.qmp --data-address 10.77.0.2", {"--dst-qmp is missing", "/run/b.qmp"}},
    Wrong{"migrate qmp:/run/a.qmp --dst-qmp /run/b.qmp", {"--data-address is missing", "10.77.0.2"}},
    Wrong{"migrate qmp:/run/a.qmp --dst-qmp qmp: --data-address h", {"--dst-qmp names no socket"}},
    Wrong{"migrate qmp:/run/a.qmp --dst-qmp /run/a.qmp --data-address h", {"--dst-qmp", "source's own monitor"}},
    Wrong{base + "--src-guard-qmp /run/a.qmp", {"--src-guard-qmp", "used already", "second QMP socket"}},
    Wrong{base + "--src-guard-qmp /run/b.qmp", {"--src-guard-qmp", "used already"}}));

INSTANTIATE_TEST_SUITE_P(OtherHosts, WrongInput, testing::Values(
    Wrong{"migrate qmp:a.qmp --to cmd:x --data-address h", {"VM qmp:a.qmp is relative", "the whole path"}},
    Wrong{there + " --map-path /a", {"--map-path \"/a\" is not understood", "/srv/a=/srv/b"}},
    Wrong{there + " --map-path a=/b", {"--map-path", "two absolute folders"}},
    Wrong{there + " --map-path /a=/", {"--map-path", "two absolute folders"}},
    Wrong{base + "--map-path /a=/b", {"--map-path is for a destination that is built", "leave it out"}},
    Wrong{there + "--dst-qmp /b --dst-command qemu", {"--dst-qmp and --dst-command exclude each other"}},
    Wrong{there + "--dst-qmp b.qmp", {"--dst-qmp \"b.qmp\" is relative", "/run/b.qmp"}},
    Wrong{there + "--dst-qmp tcp:b:1", {"--dst-qmp", "is no path"}},
    Wrong{there + "--dst-qmp /b --to ssh://c", {"--to is given twice"}},
    Wrong{there + "--dst-command a|b", {"--dst-command holds |", "no shell is there"}},
    Wrong{there + "--dst-command [1]", {"--dst-command", "array of strings"}},
    Wrong{there + "--dst-command", {"--dst-command has no value", "in quotes"}},
    Wrong{there + "--dst-qmp /b --src-guard-qmp /run/a.qmp", {"--src-guard-qmp", "used already"}},
    Wrong{base + "--dst-command qemu", {"--dst-command needs --to", "-incoming defer", "--dst-qmp"}},
    Wrong{base + "--to", {"--to has no value", "ssh://USER@HOST"}},
    Wrong{base + "--to -x", {"--to has no value before \"-x\""}},
    Wrong{base + "--to host2", {"--to \"host2\" is a bare name", "did you mean ssh://host2?"}},
    Wrong{base + "--to ssh://-oProxyCommand=x", {"--to", "no valid host name", "ssh://root@host2"}},
    Wrong{base + "--to cmd:", {"--to cmd: names no command"}},
    Wrong{base + "--to qemu+ssh://h/system", {"libvirt", "not supported yet"}}));

INSTANTIATE_TEST_SUITE_P(DataAddresses, WrongInput, testing::Values(
    Wrong{near_only + "10.77.0.2:0", {"--data-address", "no valid port", "1 to 65535"}},
    Wrong{near_only + "10.77.0.2:65536", {"--data-address", "no valid port", "1 to 65535"}},
    Wrong{near_only + "10.77.0.2:http", {"--data-address", "no valid port"}},
    Wrong{near_only + "10.77.0.2:", {"--data-address", "no valid port"}},
    Wrong{near_only + "10.77.0.2:4000-4010", {"--data-address", "range of ports, which needs --to"}},
    Wrong{near_only + "10.77.0.2:4010-4000", {"--data-address", "ends before it begins", "FIRST-LAST"}},
    Wrong{near_only + "10.77.0.2:4000-", {"--data-address", "no valid port"}},
    Wrong{near_only + "10.77.0.2:-5", {"--data-address", "no valid port"}},
    Wrong{near_only + "10.77.0.256", {"--data-address", "no IPv4 address", "0 to 255"}},
    Wrong{near_only + "10.77.2", {"--data-address", "no IPv4 address"}},
    Wrong{near_only + ":4444", {"--data-address", "no valid host name"}},
    Wrong{near_only + "fd00::2", {"--data-address", "brackets", "[IPV6]:PORT"}},
    Wrong{near_only + "[fd00::2", {"--data-address", "no closing bracket"}},
    Wrong{near_only + "[fd00::zz]:4444", {"--data-address", "no IPv6 address"}},
    Wrong{near_only + "[fd00::2]4444", {"--data-address", "after the bracket"}},
    Wrong{near_only + "[fd00::2]:99999", {"--data-address", "no valid port"}},
    Wrong{near_only + "0.0.0.0:4444", {"--data-address", "every address", "destination's own"}},
    Wrong{near_only + "[::]:4444", {"--data-address", "every address"}},
    Wrong{near_only + "tcp:10.77.0.2:4444", {"--data-address", "starts with tcp:", "leave that word out"}},
    Wrong{near_only + "http://host:80", {"--data-address", "is a URL"}},
    Wrong{near_only + "-host", {"--data-address has no value before"}},
    Wrong{near_only + "a/b", {"--data-address", "no valid host name"}}));

INSTANTIATE_TEST_SUITE_P(NotLive, WrongInput, testing::Values(
    Wrong{base + "--non-live --max-downtime 1s", {"--max-downtime has no meaning with --non-live", "--timeout"}},
    Wrong{base + "--non-live --max-suspend-time 1", {"--max-suspend-time has no meaning with --non-live"}},
    Wrong{base + "--non-live --min-cpu 20%", {"--min-cpu has no meaning with --non-live"}},
    Wrong{base + "--non-live --max-stall 100ms", {"--max-stall has no meaning with --non-live"}},
    Wrong{base + "--non-live --switchover-bandwidth 1Gbit/s", {"--switchover-bandwidth has no meaning with"}},
    Wrong{base + "--non-live --aggression 1", {"--aggression has no meaning with --non-live"}},
    Wrong{base + "--non-live --brake none", {"--brake has no meaning with --non-live"}},
    Wrong{base + "--non-live --auto-converge", {"--auto-converge has no meaning with --non-live"}},
    Wrong{base + "--non-live --policy patient", {"--policy has no meaning with --non-live"}},
    Wrong{base + "--non-live --no-forecast", {"--no-forecast has no meaning with --non-live"}},
    Wrong{base + "--non-live=yes", {"--non-live takes no value"}},
    Wrong{base + "--on-success", {"--on-success has no value", "sv down web1"}}));

TEST(CommandLine, knows_a_move_that_is_not_live_and_what_to_run_after_it) {
    const auto parsed = parse({"migrate", "qmp:/a", "--dst-qmp", "/b", "--data-address", "h", "--non-live", "--timeout",
                               "2min", "--max-bandwidth", "100MiB/s", "--on-success", "sv down $SEGUE_VM"});
    ASSERT_TRUE(parsed) << parsed.error().message;
    const Request& request = std::get<Migrate>(*parsed).request;
    EXPECT_TRUE(request.non_live);
    EXPECT_EQ(request.on_success, "sv down $SEGUE_VM");
    const std::string long_command(2049, 'x');
    const auto too_long = parse({"migrate", "qmp:/a", "--dst-qmp", "/b", "--data-address", "h", "--on-success",
                                 long_command.c_str()});
    ASSERT_FALSE(too_long);
    EXPECT_NE(too_long.error().message.find("2049 bytes"), std::string::npos);
    EXPECT_FALSE(parse({"plan", "qmp:/a", "--dst-qmp", "/b", "--data-address", "h", "--non-live"}));
}

TEST(CommandLine, takes_empty_words_for_what_they_are) {
    EXPECT_FALSE(parse({"migrate", "", "--dst-qmp", "/b", "--data-address", "h"}));
    EXPECT_FALSE(parse({"migrate", "qmp:/a", "--dst-qmp", "", "--data-address", "h"}));
    EXPECT_FALSE(parse({"migrate", "qmp:/a", "--dst-qmp", "/b", "--data-address", ""}));
    EXPECT_FALSE(parse({"migrate", "qmp:/a", "--dst-qmp", "/b", "--data-address", "h", "--timeout", ""}));
    EXPECT_FALSE(parse({""}));
}

TEST(CommandLine, shows_no_control_characters_back) {
    for (const Words& words : {Words{"migrate", "a\x1b[31m"}, Words{"mi\x1b]0;x"}, Words{"migrate", "--\x1b[2J"}}) {
        const auto parsed = parse(words);
        ASSERT_FALSE(parsed);
        EXPECT_EQ(parsed.error().message.find('\x1b'), std::string::npos);
    }
}

TEST(CommandLine, takes_paths_with_blanks_and_brackets) {
    const auto parsed =
        parse({"migrate", "qmp:[a, b].qmp", "--dst-qmp", "[/run/my b,c]", "--data-address", "[fd00::2]"});
    ASSERT_TRUE(parsed) << parsed.error().message;
    const Migrate& m = std::get<Migrate>(*parsed);
    EXPECT_EQ(m.src_qmp, "[a, b].qmp");
    EXPECT_EQ(m.dst_qmp, "[/run/my b,c]");
    EXPECT_EQ(m.request.data_address.host, "fd00::2");
    EXPECT_EQ(m.request.data_address.port, 0);
}

TEST(CommandLine, knows_that_json_is_wanted_even_when_the_rest_is_wrong) {
    const std::vector<const char*> with = {"segue", "migrate", "--nonsense", "--json"};
    EXPECT_TRUE(asks_for_json(4, with.data()));
    EXPECT_FALSE(asks_for_json(3, with.data()));
}

TEST(PlainText, keeps_utf8_and_drops_what_a_terminal_obeys) {
    EXPECT_EQ(plain_text("Gr\xc3\xb6\xc3\x9f" "e\t\x1b[0m\x7f\xc2\x9b" "x"), "Gr\xc3\xb6\xc3\x9f" "e??[0m??x");
}

}  // namespace
}  // namespace segue

#include "app/segue/cli/cli_vm.hpp"

#include <gtest/gtest.h>

#include "app/segue/cli/typed_test.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

TEST(VmCommandLineWords, AreUnderstood) {
    const VmWords start = understood_as<VmWords>("vm start web1 --forget-move");
    EXPECT_EQ(start.verb, VmWords::Verb::start);
    EXPECT_EQ(start.what, Words{"web1"});
    EXPECT_TRUE(start.forget_move);
    EXPECT_EQ(understood_as<VmWords>("vm stop web1 --wait 2min").wait, std::chrono::minutes{2});
    EXPECT_EQ(understood_as<VmWords>("vm stop --wait=5s web1").wait, std::chrono::seconds{5});
    EXPECT_TRUE(understood_as<VmWords>("vm stop web1 --now").now);
    EXPECT_TRUE(understood_as<VmWords>("vm list --json").json);
    EXPECT_EQ(understood_as<VmWords>("vm show ./web1.toml").what, Words{"./web1.toml"});
    EXPECT_EQ(understood_as<VmWords>("vm check a.toml b.toml").what, (Words{"a.toml", "b.toml"}));
}

TEST(VmCommandLineWords, HelpIsAskedForAnywhere) {
    for (const char* text : {"vm --help", "vm start -h", "help vm"}) {
        EXPECT_EQ(understood_as<Help>(text).text, vm_help_text) << text;
    }
    expect_fits(vm_help_text, 24);
}

TEST(VmCommandLineWords, WrongOnesAnswerWithOneSentence) {
    const std::pair<const char*, const char*> wrong[] = {
        {"vm", "segue vm needs a word: start, stop, list, show, check"},
        {"vm strat web1", "segue vm does not know \"strat\": did you mean segue vm start?"},
        {"vm destroy web1", "segue vm does not know \"destroy\": it knows start, stop, list, show, check"},
        {"vm start", "no VM is given: write segue vm start NAME, or FILE.toml"},
        {"vm stop", "no VM is given: write segue vm stop NAME"},
        {"vm check", "no VM is given: write segue vm check FILE.toml"},
        {"vm start web1 web2", "\"web2\" is one word too many"},
        {"vm list web1", "segue vm list takes no name: segue vm show web1 shows one"},
        {"vm stop web1.toml", "segue vm stop takes the VM's name, not its file"},
        {"vm start qmp:", "\"qmp:\" is no name of a VM"},
        {"vm start web1 --json", "--json is not an option of segue vm start"},
        {"vm start web1 --forget-moves", "--forget-moves is not an option: did you mean --forget-move?"},
        {"vm stop web1 --now=1", "--now takes no value: leave it out"},
        {"vm stop web1 --wait", "--wait: "},
        {"vm stop web1 --wait 5", "--wait: "},
        {"vm stop web1 --wait 2h", "--wait 2 h is out of range: give 1 s to 1 h"},
        {"vmm", "\"vmm\" is not a command: did you mean segue vm?"},
    };
    for (const auto& [text, says] : wrong) expect_refused(text, {says});
}

TEST(MigrateByName, NeedsOnlyAHost) {
    const auto migrate = understood_as<Migrate>("migrate web-7 --to ssh://root@host2");
    EXPECT_EQ(migrate.vm_name, "web-7");
    EXPECT_EQ(migrate.request.vm, "web-7");
    EXPECT_TRUE(migrate.src_qmp.empty());
    EXPECT_EQ(migrate.request.data_address.host, "host2");
    EXPECT_EQ(migrate.given, vm::Limits{});
}

TEST(MigrateByName, GuestsWithAMonitorHaveNoName) {
    const auto migrate = understood_as<Migrate>(
        "migrate qmp:/run/a.qmp --to ssh://[fd00::2] --dst-qmp /run/b.qmp --max-downtime 1s");
    EXPECT_TRUE(migrate.vm_name.empty());
    EXPECT_EQ(migrate.request.data_address.host, "fd00::2");
    EXPECT_EQ(migrate.given.max_downtime, std::chrono::seconds{1});
    EXPECT_FALSE(migrate.given.data_address.has_value());
}

}  // namespace
}  // namespace segue

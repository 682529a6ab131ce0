#include "app/segue/cli/cli_config.hpp"

#include <gtest/gtest.h>

#include "app/segue/cli/typed_test.hpp"

namespace segue {
namespace {

TEST(ConfigWordsTest, AreUnderstood) {
    const auto explain = understood_as<ConfigWords>("config explain web1 --to ssh://root@host2 --json");
    EXPECT_EQ(explain.verb, ConfigWords::Verb::explain);
    EXPECT_EQ(explain.vm, "web1");
    ASSERT_TRUE(explain.to.has_value());
    EXPECT_EQ(explain.to->name, "host2");
    EXPECT_TRUE(explain.json);
    EXPECT_EQ(understood_as<ConfigWords>("config explain qmp:/run/a.qmp").vm, "qmp:/run/a.qmp");
    EXPECT_EQ(understood_as<ConfigWords>("config explain ./web1.toml").vm, "./web1.toml");
    EXPECT_EQ(understood_as<ConfigWords>("config check").verb, ConfigWords::Verb::check);
    EXPECT_EQ(understood_as<DoctorWords>("doctor --host=ssh://host2 --json").host->name, "host2");
    EXPECT_FALSE(understood_as<DoctorWords>("doctor").host.has_value());
}

TEST(ConfigWordsTest, HelpFitsAScreen) {
    for (const auto& [command, text] : {std::pair<const char*, std::string_view>{"config", config_help_text},
                                        {"doctor", doctor_help_text}}) {
        for (const std::string& asked : {std::string(command) + " --help", "help " + std::string(command)}) {
            EXPECT_EQ(understood_as<Help>(asked).text, text) << asked;
        }
        expect_fits(text, 24);
    }
}

TEST(ConfigWordsTest, WrongOnesAnswerWithOneSentence) {
    const std::pair<const char*, const char*> wrong[] = {
        {"config", "segue config needs a word: explain or check"},
        {"config explian web1", "segue config does not know \"explian\": did you mean segue config explain?"},
        {"config show", "segue config does not know \"show\": it knows explain and check"},
        {"config explain", "no VM is given: write segue config explain NAME"},
        {"config explain web1 web2", "\"web2\" is one word too many"},
        {"config explain -- ", "-- is not an option of segue config explain"},
        {"config explain we:b", "\"we:b\" is no VM: give its NAME, its FILE.toml, or qmp:PATH"},
        {"config explain web1 --jso", "--jso is not an option: did you mean --json?"},
        {"config explain web1 --json=1", "--json takes no value"},
        {"config explain web1 --to", "--to has no value: give ssh://USER@HOST"},
        {"config explain web1 --to host2", "--to \"host2\""},
        {"config check site.toml", "segue config check takes no word, and \"site.toml\" is one"},
        {"config check --json", "--json is not an option of segue config check"},
        {"doctor host2", "segue doctor takes no word, and \"host2\" is one: write --host ssh://USER@HOST"},
        {"doctor --hots ssh://host2", "--hots is not an option: did you mean --host?"},
        {"doctor --host", "--host has no value"},
        {"doctor --host ssh://a --host ssh://b", "--host is given twice"},
        {"doctro", "\"doctro\" is not a command: did you mean segue doctor?"},
    };
    for (const auto& [text, says] : wrong) expect_refused(text, {says});
}

TEST(MigrateOptions, AreKeptApartFromWhatIsFilledIn) {
    const auto migrate = understood_as<Migrate>(
        "migrate qmp:/a --to ssh://host2 --dst-qmp /b --data-address 10.0.0.2:5000-5005 --timeout 1h");
    EXPECT_EQ(migrate.given.timeout, std::chrono::hours{1});
    EXPECT_EQ(migrate.given.max_downtime, std::nullopt);
    EXPECT_EQ(migrate.given.data_address, "10.0.0.2");
    EXPECT_EQ(migrate.given.data_ports, (vm::Ports{5000, 5005}));
}

}  // namespace
}  // namespace segue

#include "app/segue/cli/completion.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

using Words = std::vector<std::string>;

const CompletionSources sources{{"web1", "web2", "db"}, {"host2", "host3"}, {"42"}};

TEST(Completion, CommandsStandFirst) {
    EXPECT_EQ(complete({"mi"}, sources), Words{"migrate"});
    EXPECT_EQ(complete({"c"}, sources), (Words{"cancel", "config"}));
    EXPECT_EQ(complete({"--v"}, sources), Words{"--version"});
    EXPECT_EQ(complete({"nothing"}, sources), Words{});
    EXPECT_EQ(complete({}, sources), Words{});
}

TEST(Completion, VmsAreKnownByName) {
    EXPECT_EQ(complete({"migrate", "w"}, sources), (Words{"web1", "web2"}));
    EXPECT_EQ(complete({"migrate", ""}, sources), (Words{"db", "qmp:", "web1", "web2"}));
    EXPECT_EQ(complete({"vm", "start", "d"}, sources), Words{"db"});
    EXPECT_EQ(complete({"vm", "list", ""}, sources), Words{});
    EXPECT_EQ(complete({"vm", "st"}, sources), (Words{"start", "stop"}));
    EXPECT_EQ(complete({"config", "explain", "web"}, sources), (Words{"web1", "web2"}));
}

TEST(Completion, OptionsAreThoseOfTheCommandAndItsVerb) {
    EXPECT_EQ(complete({"migrate", "web1", "--max-d"}, sources), Words{"--max-downtime"});
    EXPECT_EQ(complete({"vm", "stop", "--"}, sources), (Words{"--help", "--now", "--wait"}));
    EXPECT_EQ(complete({"status", "--f"}, sources), Words{"--follow"});
    EXPECT_EQ(complete({"doctor", "--ho"}, sources), Words{"--host"});
}

TEST(Completion, ValuesAreHostsJobsOrAnExample) {
    EXPECT_EQ(complete({"migrate", "web1", "--to", "ssh://h"}, sources), (Words{"ssh://host2", "ssh://host3"}));
    EXPECT_EQ(complete({"doctor", "--host", ""}, sources), (Words{"cmd:", "ssh://", "ssh://host2", "ssh://host3"}));
    EXPECT_EQ(complete({"cancel", ""}, sources), Words{"42"});
    EXPECT_EQ(complete({"migrate", "web1", "--max-downtime", ""}, sources), Words{"300ms"});
    EXPECT_EQ(complete({"migrate", "qmp:/a", "--dst-qmp", "/r"}, sources), Words{});
    // What takes no value is followed by any word.
    EXPECT_EQ(complete({"migrate", "--dry-run", "d"}, sources), Words{"db"});
}

}  // namespace
}  // namespace segue

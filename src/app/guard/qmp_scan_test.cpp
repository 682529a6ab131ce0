#include "app/guard/qmp_scan.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace segue::guard {
namespace {

/// Every message in `text`; whatever the split, the same must come out, so there is none to choose.
std::vector<QmpMessage> scan(std::string_view text, bool* broken = nullptr) {
    QmpScanner scanner;
    std::vector<QmpMessage> messages;
    for (const char c : text) {
        if (scanner.push(c)) messages.push_back(scanner.message());
    }
    if (broken != nullptr) *broken = scanner.broken();
    return messages;
}

TEST(QmpScan, GreetingWithAndWithoutOob) {
    const auto with = scan(R"({"QMP": {"version": {"qemu": {"micro": 13, "minor": 0, "major": 10},
                               "package": ""}, "capabilities": ["oob"]}}
)");
    ASSERT_EQ(with.size(), 1U);
    EXPECT_EQ(with[0].kind, QmpKind::greeting);
    EXPECT_TRUE(with[0].oob);
    const auto without = scan(R"({"QMP":{"version":{"package":"oob"},"capabilities":[]}})");
    ASSERT_EQ(without.size(), 1U);
    EXPECT_FALSE(without[0].oob);
}

TEST(QmpScan, EventsAndAnswersInOneRead) {
    const auto messages = scan(
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n"
        "{\"return\": {\"status\": \"running\", \"running\": true}, \"id\": 17}\r\n"
        "{\"id\":18,\"error\":{\"class\":\"GenericError\",\"desc\":\"no \\\"lock\\\"\"}}"
        "{\"event\":\"MIGRATION\",\"data\":{\"status\":\"pre-switchover\"}}");
    ASSERT_EQ(messages.size(), 4U);
    EXPECT_TRUE(messages[0].event.is("STOP"));
    EXPECT_EQ(messages[0].id, 0U);
    EXPECT_EQ(messages[1].kind, QmpKind::answer);
    EXPECT_EQ(messages[1].id, 17U);
    EXPECT_TRUE(messages[1].status.is("running"));
    EXPECT_EQ(messages[2].kind, QmpKind::error);
    EXPECT_EQ(messages[2].id, 18U);
    EXPECT_EQ(messages[2].description.view(), "no \"lock\"");
    EXPECT_EQ(messages[3].kind, QmpKind::event);
    EXPECT_TRUE(messages[3].status.is("pre-switchover"));
}

TEST(QmpScan, PrettyPrinted) {
    const auto messages = scan("{\r\n    \"return\": {\r\n        \"status\": \"postmigrate\",\r\n"
                               "        \"running\": false\r\n    },\r\n    \"id\": 3\r\n}\r\n");
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_TRUE(messages[0].status.is("postmigrate"));
    EXPECT_EQ(messages[0].id, 3U);
}

TEST(QmpScan, YankInstances) {
    const auto with =
        scan(R"({"return":[{"type":"block-node","node-name":"migration"},{"type":"migration"}],"id":4})");
    ASSERT_EQ(with.size(), 1U);
    EXPECT_TRUE(with[0].migration_yank);
    const auto without = scan(R"({"return":[{"type":"block-node","node-name":"migration"}],"id":4})");
    EXPECT_FALSE(without[0].migration_yank);
    EXPECT_FALSE(scan(R"({"return":[],"id":4})")[0].migration_yank);
}

// A guest agent or a device can put any text into an event; it must stay text.
TEST(QmpScan, IsNotFooledByStringsOrNesting) {
    const auto messages = scan(
        R"({"event":"X","data":{"text":"}{\"event\":\"RESUME\"}","event":"RESUME","id":9,"return":{}}})");
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_EQ(messages[0].kind, QmpKind::event);
    EXPECT_TRUE(messages[0].event.is("X"));
    EXPECT_EQ(messages[0].id, 0U);
    const auto nested = scan(R"({"return":{"a":{"status":"running"},"b":[{"status":"running"}]},"id":1})");
    EXPECT_TRUE(nested[0].status.is(""));
    const auto value = scan(R"({"x":"event","y":"RESUME"})");
    EXPECT_EQ(value[0].kind, QmpKind::other);
}

TEST(QmpScan, LongNamesAreCutAndEqualNothing) {
    const std::string name(100, 'R');
    const auto messages = scan("{\"event\":\"" + name + "\"}");
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_TRUE(messages[0].event.cut());
    EXPECT_FALSE(messages[0].event.is(name));
    EXPECT_FALSE(messages[0].event.is(name.substr(0, 40)));
}

TEST(QmpScan, EscapesDoNotForgeKeys) {
    EXPECT_EQ(scan(R"({"ev\u0065nt":"RESUME"})")[0].kind, QmpKind::other);
    EXPECT_EQ(scan(R"({"a\\":"b","return":{}})")[0].kind, QmpKind::answer);
}

TEST(QmpScan, BrokenStreams) {
    for (const std::string_view text : {"x", "}", "{]", "{\"a\":[}", "{\"a\nb\":1}"}) {
        bool broken = false;
        EXPECT_TRUE(scan(text, &broken).empty()) << text;
        EXPECT_TRUE(broken) << text;
    }
    bool broken = false;
    EXPECT_TRUE(scan(std::string(100, '{'), &broken).empty());
    EXPECT_TRUE(broken) << "nesting is bounded";
    EXPECT_TRUE(scan("{\"a\":\"" + std::string(QmpScanner::bytes_max, 'a') + "\"}", &broken).empty());
    EXPECT_TRUE(broken) << "length is bounded";
}

TEST(QmpScan, TruncatedIsNotAMessage) {
    const std::string whole = R"({"event":"RESUME","data":{"a":[1,2,{"b":"c\"d"}]}})";
    for (std::size_t n = 0; n < whole.size(); ++n) {
        EXPECT_TRUE(scan(std::string_view(whole).substr(0, n)).empty()) << n;
    }
    EXPECT_EQ(scan(whole).size(), 1U);
}

}  // namespace
}  // namespace segue::guard

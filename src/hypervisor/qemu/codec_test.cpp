#include "hypervisor/qemu/codec.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/limits.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;

// Captured from Debian's QEMU 7.2.22; the newer greeting is written after its form.
constexpr std::string_view greeting_7_2 =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, )"
    R"("package": "Debian 1:7.2+dfsg-7+deb12u18+b3"}, "capabilities": ["oob"]}})"
    "\r\n";
constexpr std::string_view greeting_10 =
    R"({"QMP": {"version": {"qemu": {"micro": 13, "minor": 0, "major": 10}, )"
    R"("package": "Debian 1:10.0.13+ds-0+deb13u1"}, "capabilities": ["oob"]}})"
    "\r\n";
constexpr std::string_view replies_7_2 =
    "{\"return\": {}, \"id\": 1}\r\n"
    "{\"return\": {\"status\": \"prelaunch\", \"singlestep\": false, \"running\": false}, \"id\": 2}\r\n"
    "{\"id\": 3, \"error\": {\"class\": \"CommandNotFound\", "
    "\"desc\": \"The command nonsense has not been found\"}}\r\n"
    "{\"return\": [{\"type\": \"chardev\", \"id\": \"compat_monitor0\"}], \"id\": 8}\r\n"
    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error, expecting value\"}}\r\n"
    "{\"timestamp\": {\"seconds\": 1795275423, \"microseconds\": 702982}, \"event\": \"RESUME\"}\r\n"
    "{\"return\": {}, \"id\": 9}\r\n"
    "{\"id\": 7, \"error\": {\"class\": \"GenericError\", "
    "\"desc\": \"No file descriptor supplied via SCM_RIGHTS\"}}\r\n"
    "{\"timestamp\": {\"seconds\": 1795275424, \"microseconds\": 304678}, \"event\": \"SHUTDOWN\", "
    "\"data\": {\"guest\": false, \"reason\": \"host-qmp-quit\"}}\r\n";

/// One line a message, for comparing.
std::string describe(const Message& message) {
    struct Describe {
        std::string operator()(const Greeting& g) const { return "greeting " + g.version + (g.oob ? " oob" : ""); }
        std::string operator()(const Reply& r) const {
            return "reply " + std::to_string(r.id) + " " +
                   (r.result ? json::serialize(*r.result)
                             : std::string(to_string(r.result.error().kind)) + " " + r.result.error().source);
        }
        std::string operator()(const QmpEvent& e) const {
            return "event " + e.name + " " + json::serialize(e.data) + " " + std::to_string(e.stamp_us);
        }
        std::string operator()(const Complaint& c) const { return "complaint " + c.description; }
    };
    return std::visit(Describe{}, message);
}

std::string describe(const std::vector<Message>& messages) {
    std::string text;
    for (const Message& message : messages) text += describe(message) + "\n";
    return text;
}

/// What a fresh reader makes of `bytes` in one piece; an error is told by its kind.
std::string read_all(std::string_view bytes) {
    MessageReader reader;
    const auto messages = reader.feed(bytes);
    return messages ? describe(*messages) : std::string(to_string(messages.error().kind));
}

TEST(MessageReader, understands_the_greetings_of_both_versions) {
    EXPECT_EQ(read_all(greeting_7_2), "greeting 7.2.22 oob\n");
    EXPECT_EQ(read_all(greeting_10), "greeting 10.0.13 oob\n");
    EXPECT_EQ(read_all(R"({"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7}},"capabilities":[]}})"),
              "greeting 7.2.0\n");
}

TEST(MessageReader, understands_replies_errors_events_and_complaints) {
    EXPECT_EQ(read_all(replies_7_2),
              "reply 1 {}\n"
              "reply 2 {\"status\":\"prelaunch\",\"singlestep\":false,\"running\":false}\n"
              "reply 3 unsupported The command nonsense has not been found\n"
              "reply 8 [{\"type\":\"chardev\",\"id\":\"compat_monitor0\"}]\n"
              "complaint JSON parse error, expecting value\n"
              "event RESUME {} 1795275423702982\n"
              "reply 9 {}\n"
              "reply 7 refused No file descriptor supplied via SCM_RIGHTS\n"
              "event SHUTDOWN {\"guest\":false,\"reason\":\"host-qmp-quit\"} 1795275424304678\n");
}

TEST(MessageReader, hands_out_a_message_split_over_three_reads) {
    MessageReader reader;
    EXPECT_EQ(describe(*reader.feed(std::string_view("{\"return\": {\"sta"))), "");
    EXPECT_EQ(describe(*reader.feed(std::string_view("tus\": \"a}b\\\"{\"}"))), "");
    EXPECT_EQ(describe(*reader.feed(std::string_view(", \"id\": 5}\r"))), "reply 5 {\"status\":\"a}b\\\"{\"}\n");
    EXPECT_EQ(describe(*reader.feed(std::string_view("\n"))), "");
    EXPECT_EQ(describe(*reader.feed(std::string_view())), "");
}

TEST(MessageReader, understands_a_pretty_printing_monitor) {
    EXPECT_EQ(read_all("{\r\n    \"return\": {\r\n        \"running\": true\r\n    },\r\n    \"id\": 4\r\n}\r\n"),
              "reply 4 {\"running\":true}\n");
}

TEST(MessageReader, understands_messages_without_anything_between_them) {
    EXPECT_EQ(read_all(R"({"return":{},"id":1}{"return":{},"id":2})"), "reply 1 {}\nreply 2 {}\n");
}

TEST(MessageReader, keeps_large_numbers_whole) {
    EXPECT_EQ(read_all(R"({"return":{"max-bandwidth":9223372036854775807,"x":18446744073709551615},)"
                       R"("id":18446744073709551615})"),
              "reply 18446744073709551615 {\"max-bandwidth\":9223372036854775807,\"x\":18446744073709551615}\n");
}

TEST(MessageReader, takes_an_answer_without_a_number_of_ours_as_a_complaint) {
    EXPECT_EQ(read_all(R"({"return":{}})"), "complaint QEMU sent an answer without a number\n");
    EXPECT_EQ(read_all(R"({"return":{},"id":"libvirt-7"})"), "complaint QEMU sent an answer without a number\n");
    EXPECT_EQ(read_all(R"({"return":{},"id":-1})"), "complaint QEMU sent an answer without a number\n");
    EXPECT_EQ(read_all(R"({"error":{"desc":5},"id":1.5})"), "complaint \n");
}

TEST(MessageReader, gives_a_stamp_of_zero_where_there_is_none_to_use) {
    for (const char* stamp : {R"({"seconds":-1,"microseconds":-1})",
                              R"({"seconds":9223372036854775807,"microseconds":1})",
                              R"({"seconds":1,"microseconds":1000000})", R"({"seconds":"1","microseconds":0})", "7"}) {
        EXPECT_EQ(read_all(std::string(R"({"event":"STOP","timestamp":)") + stamp + "}"), "event STOP {} 0\n");
    }
    EXPECT_EQ(read_all(R"({"event":"STOP"})"), "event STOP {} 0\n");
}

TEST(MessageReader, is_corrupt_for_good_after_what_is_not_qmp) {
    for (const char* garbage :
         {"SSH-2.0-OpenSSH_9.2\r\n", "[]", "7", "\"text\"", "null", "{]", "{\"a\":nul}", "{\"a\":1,}", "{}",
          "{\"hello\":\"world\"}", "{\"QMP\":{}}", "{\"QMP\":7}", "{\"event\":7}", "{\"error\":\"x\",\"id\":1}",
          "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,\"minor\":\"2\",\"micro\":0}}}}", "\xff", "{\"a\":\"\xff\"}"}) {
        EXPECT_EQ(read_all(garbage), "corrupt") << garbage;
    }
    EXPECT_EQ(read_all(std::string_view("\0", 1)), "corrupt");
    MessageReader reader;
    EXPECT_FALSE(reader.feed(std::string_view("HTTP/1.1 400\r\n")));
    EXPECT_FALSE(reader.feed(replies_7_2));
}

TEST(MessageReader, hands_out_what_was_whole_before_the_fault_and_then_tells_it) {
    MessageReader reader;
    const auto first = reader.feed(std::string_view(
        "{\"return\":{},\"id\":1}{\"return\":{},\"id\":2}oops{\"return\":{},\"id\":3}"));
    ASSERT_TRUE(first);
    EXPECT_EQ(describe(*first), "reply 1 {}\nreply 2 {}\n");
    const auto second = reader.feed(std::string_view());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::corrupt);
}

std::string message_of_size(std::size_t size) {
    const std::string head = R"({"return":")", tail = R"(","id":1})";
    return head + std::string(size - head.size() - tail.size(), 'x') + tail;
}

TEST(MessageReader, takes_a_message_of_the_greatest_size_and_no_greater) {
    for (const std::size_t piece : {std::size_t{4096}, std::size_t{3 * 1024 * 1024}}) {
        for (const std::size_t size : {limits::qmp_message_bytes_max, limits::qmp_message_bytes_max + 1}) {
            MessageReader reader;
            const std::string text = message_of_size(size);
            std::size_t messages = 0;
            bool corrupt = false;
            for (std::size_t at = 0; at < text.size() && !corrupt; at += piece) {
                const auto fed = reader.feed(std::string_view(text).substr(at, piece));
                if (fed) messages += fed->size();
                corrupt = !fed;
            }
            EXPECT_EQ(corrupt, size > limits::qmp_message_bytes_max);
            EXPECT_EQ(messages, corrupt ? 0U : 1U);
        }
    }
}

TEST(MessageReader, does_not_count_blanks_between_messages_and_starts_each_count_anew) {
    MessageReader reader;
    EXPECT_TRUE(reader.feed(std::string(limits::qmp_message_bytes_max + 1, '\n')));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(reader.feed(message_of_size(limits::qmp_message_bytes_max)).value().size(), 1U);
    }
}

TEST(MessageReader, takes_the_greatest_depth_and_no_deeper) {
    const auto nested = [](std::size_t depth) {
        // The message itself is one level.
        return R"({"id":1,"return":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
    };
    EXPECT_NE(read_all(nested(limits::qmp_depth_max)), "corrupt");
    EXPECT_EQ(read_all(nested(limits::qmp_depth_max + 1)), "corrupt");
    EXPECT_EQ(read_all(std::string(100'000, '[')), "corrupt");
    EXPECT_EQ(read_all(R"({"return":)" + std::string(100'000, '[')), "corrupt");
}

TEST(MessageReader, can_be_moved_in_the_middle_of_a_message) {
    MessageReader reader;
    ASSERT_TRUE(reader.feed(std::string_view("{\"return\":")));
    MessageReader other = std::move(reader);
    EXPECT_EQ(describe(*other.feed(std::string_view("7,\"id\":1}"))), "reply 1 7\n");
}

RC_GTEST_PROP(MessageReader, gives_the_same_messages_for_every_split, ()) {
    const std::string stream = std::string(greeting_7_2) + std::string(replies_7_2) +
                               "{\r\n    \"return\": \"\\u00e9 \xc3\xa9 \\\\\",\r\n    \"id\": 4\r\n}\r\n";
    const std::string whole = read_all(stream);
    MessageReader reader;
    std::string split;
    const auto length_max = *rc::gen::element<std::size_t>(1, 2, 7, 60, 400);
    for (std::size_t at = 0; at < stream.size();) {
        const auto length = length_max == 1 ? 1 : *rc::gen::inRange<std::size_t>(1, length_max + 1);
        const auto fed = reader.feed(std::string_view(stream).substr(at, length));
        RC_ASSERT(fed.has_value());
        split += describe(*fed);
        at += length;
    }
    RC_ASSERT(split == whole);
}

TEST(EncodeCommand, writes_one_line_with_its_number) {
    EXPECT_EQ(encode_command("query-status", {}, 7, false), "{\"execute\":\"query-status\",\"id\":7}\n");
    EXPECT_EQ(encode_command("yank", {{"instances", json::array{json::object{{"type", "migration"}}}}}, 8, true),
              "{\"exec-oob\":\"yank\",\"arguments\":{\"instances\":[{\"type\":\"migration\"}]},\"id\":8}\n");
}

RC_GTEST_PROP(EncodeCommand, stays_one_line_of_json_for_any_text, (const std::string& drawn)) {
    std::string text;
    for (const char c : drawn) text += static_cast<char>(c & 0x7f);
    const std::string line = encode_command("getfd", {{"fdname", text}}, 1, false);
    RC_ASSERT(line.find('\n') == line.size() - 1);
    json::error_code error;
    const json::value parsed = json::parse(line, error);
    RC_ASSERT(!error);
    RC_ASSERT(parsed.at("arguments").at("fdname").as_string() == text);
}

}  // namespace
}  // namespace segue::qemu

#include "api/job_codec.hpp"

#include <gtest/gtest.h>

namespace segue::job {
namespace {

using std::chrono::milliseconds;

std::string without_newline(std::string line) {
    EXPECT_TRUE(line.ends_with('\n'));
    line.pop_back();
    EXPECT_EQ(line.find('\n'), std::string::npos);
    return line;
}

Status full() {
    Status status;
    status.job = 42;
    status.vm = "qmp:/run/a.qmp";
    status.src = "host1 qmp:/run/a.qmp";
    status.dst = "host2";
    status.stage = "copying";
    status.guest_on = "source";
    status.elapsed = milliseconds{4212};
    status.pass = 3;
    status.left = Bytes{1 << 20};
    status.sent = Bytes{5LL << 40};
    status.out = ByteRate{104857600};
    status.dirtying = ByteRate{7};
    status.blackout_now = milliseconds{212};
    status.max_downtime = milliseconds{300};
    status.timeout = std::chrono::minutes{2};
    return status;
}

TEST(JobCodec, writes_requests_and_answers_as_documented) {
    EXPECT_EQ(encode(Request{StatusRequest{}}), "{\"type\":\"status\",\"version\":1}\n");
    EXPECT_EQ(encode(Request{CancelRequest{}}), "{\"type\":\"cancel\",\"version\":1}\n");
    EXPECT_EQ(encode(Reply{Cancelling{}}), "{\"type\":\"cancelling\",\"version\":1}\n");
    EXPECT_EQ(encode(Reply{Refused{"too late"}}), "{\"type\":\"refused\",\"version\":1,\"reason\":\"too late\"}\n");
    EXPECT_EQ(encode(Reply{full()}),
              R"({"type":"status","version":1,"job":42,"vm":"qmp:/run/a.qmp","src":"host1 qmp:/run/a.qmp",)"
              R"("dst":"host2","stage":"copying","guest_on":"source","elapsed_seconds":4.212,"pass":3,)"
              R"("left_bytes":1048576,"sent_bytes":5497558138880,"out_bytes_per_second":104857600,)"
              R"("dirtying_bytes_per_second":7,"blackout_now_seconds":0.212,"max_downtime_seconds":0.3,)"
              R"("timeout_seconds":120.0})" "\n");
}

TEST(JobCodec, reads_what_it_writes) {
    for (const Request& request : {Request{StatusRequest{}}, Request{CancelRequest{}}}) {
        const auto read = parse_request(without_newline(encode(request)));
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(*read, request);
    }
    Status bare;
    bare.vm = "a\nb\"\x1b";
    for (const Reply& reply :
         {Reply{full()}, Reply{bare}, Reply{Cancelling{}}, Reply{Refused{"no"}}, Reply{Failed{"?"}}}) {
        const auto read = parse_reply(without_newline(encode(reply)));
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(*read, reply);
    }
}

TEST(JobCodec, cuts_long_texts_between_characters_and_repairs_them) {
    Status status = full();
    status.vm = std::string(text_bytes_max - 1, 'x') + "\xc3\xbc";
    status.src = "\xff";
    const auto read = parse_reply(without_newline(encode(Reply{status})));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(std::get<Status>(*read).vm, std::string(text_bytes_max - 1, 'x'));
    EXPECT_EQ(std::get<Status>(*read).src, "\xef\xbf\xbd");
}

TEST(JobCodec, ignores_fields_that_it_does_not_know) {
    EXPECT_TRUE(parse_request(R"({"version":1,"colour":{"a":[1]},"type":"cancel"})"));
}

TEST(JobCodec, refuses_what_is_no_request_without_repeating_it) {
    const std::string deep = R"({"type":"status","version":1,"x":[[[[[[]]]]]]})";
    for (const std::string& line :
         {std::string("SECRET"), std::string("[]"), std::string("{}"), std::string(R"({"type":"status"})"),
          std::string(R"({"type":7,"version":1})"), std::string(R"({"type":"status","version":"SECRET"})"),
          std::string(R"({"type":"status","version":1.5})"), std::string(R"({"type":"status","version":1} SECRET)"),
          std::string("{\"type\":\"status\",\"version\":1,\"x\":\"\xff\"}"), deep,
          std::string(line_bytes_max + 1, ' ')}) {
        const auto read = parse_request(line);
        ASSERT_FALSE(read) << line;
        EXPECT_EQ(read.error().kind, ErrorKind::corrupt);
        EXPECT_EQ(to_string(read.error()).find("SECRET"), std::string::npos);
    }
    EXPECT_EQ(parse_request(R"({"type":"status","version":2})").error().kind, ErrorKind::unsupported);
    EXPECT_EQ(parse_request(R"({"type":"SECRET","version":1})").error().kind, ErrorKind::unsupported);
}

TEST(JobCodec, refuses_an_answer_that_lacks_a_field_or_has_an_impossible_one) {
    const std::string good = without_newline(encode(Reply{full()}));
    ASSERT_TRUE(parse_reply(good));
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string line = good;
        line.replace(line.find(from), from.size(), to);
        return parse_reply(line);
    };
    EXPECT_FALSE(with("\"job\"", "\"jobs\""));
    EXPECT_FALSE(with("\"pass\":3", "\"pass\":3.5"));
    EXPECT_FALSE(with("\"pass\":3,", ""));
    EXPECT_FALSE(with("4.212", "1e300"));
    EXPECT_FALSE(with("4.212", "null"));
    EXPECT_FALSE(with("5497558138880", "9223372036854775807"));
    EXPECT_TRUE(with("\"pass\":3", "\"pass\":null"));
    EXPECT_FALSE(parse_reply(R"({"type":"moved","version":1})"));
}

TEST(JobLineReader, finds_the_same_lines_however_the_bytes_were_cut) {
    const std::string text = "one\n\ntwo\nthree";
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        LineReader reader;
        std::vector<std::string> lines;
        for (std::size_t at = 0; at < text.size(); at += piece) {
            const auto part = text.substr(at, piece);
            for (auto& line : reader.feed(part).whole) lines.push_back(line);
        }
        EXPECT_EQ(lines, (std::vector<std::string>{"one", "two"})) << piece;
    }
}

TEST(JobLineReader, takes_a_line_of_64_KiB_and_nothing_after_a_longer_one) {
    LineReader reader;
    const std::string fits(line_bytes_max, 'x');
    EXPECT_FALSE(reader.feed(fits).too_long);
    EXPECT_EQ(reader.feed(std::string_view("\n")).whole.size(), 1U);
    EXPECT_TRUE(reader.feed(fits + "y").too_long);
    const auto after = reader.feed(std::string_view("\none\n"));
    EXPECT_TRUE(after.too_long);
    EXPECT_TRUE(after.whole.empty());
}

}  // namespace
}  // namespace segue::job

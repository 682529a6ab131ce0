#include "policy/external/codec.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstring>
#include <limits>

namespace segue::external {
namespace {

namespace json = boost::json;

std::string why(std::string_view line) {
    const auto answer = parse(line);
    if (answer) return "(no error)";
    EXPECT_EQ(answer.error().kind, ErrorKind::corrupt);
    return answer.error().message;
}

json::object parsed(const std::string& line) {
    EXPECT_EQ(line.back(), '\n');
    EXPECT_EQ(std::ranges::count(line, '\n'), 1);
    EXPECT_LE(line.size(), line_bytes_max / 2);
    return json::parse(line).as_object();
}

View usual_view() {
    View view;
    view.elapsed = std::chrono::milliseconds{5300};
    view.timeout = std::chrono::minutes{5};
    view.memory = mebibytes(512);
    view.bandwidth = mebibytes_per_second(100);
    view.budget = mebibytes(20);
    view.max_downtime = std::chrono::milliseconds{300};
    view.aggression = 0.4;
    view.brake = {{0.05, 0.1, 1.0}, {0.112, 0.04, 0.0}};
    view.passes = {{1, Duration{0}, mebibytes(512)},
                   {2, std::chrono::milliseconds{5250}, mebibytes(200), std::chrono::milliseconds{5190}, Share{0.5}}};
    view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(500));
    return view;
}

TEST(PolicyLine, tells_a_view_with_units_in_its_names) {
    const auto view = parsed(encode(7, usual_view()));
    EXPECT_EQ(view.at("segue_policy").as_int64(), 1);
    EXPECT_EQ(view.at("view").as_int64(), 7);
    EXPECT_DOUBLE_EQ(view.at("elapsed_seconds").to_number<double>(), 5.3);
    EXPECT_EQ(view.at("timeout_seconds").to_number<int>(), 300);
    EXPECT_EQ(view.at("bandwidth_bytes_per_second").as_int64(), 104'857'600);
    EXPECT_EQ(view.at("budget_bytes").as_int64(), 20 << 20);
    EXPECT_FALSE(view.at("switchover_allowed").as_bool());
    EXPECT_FALSE(view.at("brake_cut_by_stall").as_bool());
    EXPECT_DOUBLE_EQ(view.at("brake").at(0).at("stall_seconds").as_double(), 0.112);
    EXPECT_TRUE(view.at("passes").at(0).at("worked_seconds").is_null()) << "not measured";
    EXPECT_DOUBLE_EQ(view.at("passes").at(1).at("worked_seconds").as_double(), 5.19);
    EXPECT_DOUBLE_EQ(view.at("passes").at(1).at("share_ratio").as_double(), 0.5);
}

TEST(PolicyLine, tells_what_is_not_known_as_null) {
    View view;
    view.outlook.level_sigma = std::numeric_limits<double>::quiet_NaN();
    view.brake.stall_s = {std::numeric_limits<double>::infinity()};
    const auto line = parsed(encode(1, view));
    EXPECT_TRUE(line.at("timeout_seconds").is_null());
    EXPECT_TRUE(line.at("bandwidth_bytes_per_second").is_null());
    EXPECT_TRUE(line.at("outlook").at("bandwidth_bytes_per_second").is_null());
    EXPECT_TRUE(line.at("outlook").at("level_sigma").is_null());
    EXPECT_TRUE(line.at("brake").at(0).at("stall_seconds").is_null());
}

/// Linear between the pairs, as a policy would read them.
double read_off(const json::array& pairs, double work) {
    double x0 = 0, y0 = 0;
    for (const auto& pair : pairs) {
        const double x = pair.at(0).to_number<double>(), y = pair.at(1).to_number<double>();
        if (work <= x) return y0 + (y - y0) * (work - x0) / (x - x0);
        x0 = x, y0 = y;
    }
    return y0;
}

TEST(PolicyLine, keeps_the_curve_within_five_per_cent) {
    for (const int rate : {20, 200, 500, 2000}) {
        View view = usual_view();
        view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(rate));
        const auto pairs = parsed(encode(1, view)).at("outlook").at("curve").as_array();
        EXPECT_EQ(pairs.size(), curve_points);
        for (double work = 0.002; work < 100; work *= 1.1) {
            const double truth = view.outlook.curve.bytes_in(work);
            EXPECT_NEAR(read_off(pairs, work), truth, 0.05 * truth) << work << " s at " << rate << " MiB/s";
        }
    }
}

TEST(PolicyLine, keeps_the_newest_passes_and_both_ends_of_the_brake) {
    View view = usual_view();
    view.passes.clear();
    view.brake = {};
    view.brake.shares.clear();
    view.brake.stall_s.clear();
    for (int i = 1; i <= 5000; ++i) {
        view.passes.push_back({i, std::chrono::seconds{i}, Bytes{1'000'000'000'000 + i}, std::chrono::seconds{1}});
        view.brake.shares.push_back(i / 5000.0);
        view.brake.stall_s.push_back(1.0 / i);
    }
    const auto line = parsed(encode(std::numeric_limits<std::uint64_t>::max(), view));
    const auto& passes = line.at("passes").as_array();
    EXPECT_EQ(passes.size(), passes_max);
    EXPECT_EQ(passes.front().at("number").as_int64(), 5001 - static_cast<std::int64_t>(passes_max));
    EXPECT_EQ(passes.back().at("number").as_int64(), 5000);
    const auto& steps = line.at("brake").as_array();
    EXPECT_EQ(steps.size(), brake_steps_max);
    EXPECT_DOUBLE_EQ(steps.front().at("share_ratio").to_number<double>(), 0.0002);
    EXPECT_DOUBLE_EQ(steps.back().at("share_ratio").to_number<double>(), 1.0);
}

RC_GTEST_PROP(PolicyLineProperty, is_json_of_bounded_size_whatever_the_view_holds, ()) {
    const auto real = rc::gen::map(rc::gen::arbitrary<std::int64_t>(), [](std::int64_t bits) {
        double value = 0;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    });
    View view;
    view.elapsed = Duration{*rc::gen::arbitrary<std::int64_t>()};
    view.aggression = *real;
    view.budget = Bytes{*rc::gen::arbitrary<std::int64_t>()};
    view.outlook.unbraked_ratio = *real;
    view.outlook.bandwidth_known = true;
    view.outlook.bandwidth_bytes_per_second = {*real, *real, *real};
    view.brake.shares = *rc::gen::container<std::vector<double>>(real);
    view.brake.stall_s = *rc::gen::container<std::vector<double>>(real);
    const auto line = encode(*rc::gen::arbitrary<std::uint64_t>(), view);
    json::error_code error;
    const auto value = json::parse(line, error);
    RC_ASSERT(!error && value.is_object());
    RC_ASSERT(line.size() <= line_bytes_max);
}

TEST(PolicyAnswer, is_read_with_everything_it_may_say) {
    const auto answer = parse(R"({"segue_policy":1,"view":3,"action":"allow-switchover","because":"20 MiB left",
        "share_ratio":0.05,"total_seconds":{"p10":7,"p50":8.5,"p90":9},
        "downtime_seconds":{"p10":0.1,"p50":0.2,"p90":0.3}})");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->view, 3U);
    EXPECT_TRUE(std::holds_alternative<AllowSwitchover>(answer->decision.action));
    EXPECT_EQ(answer->decision.because, "20 MiB left");
    EXPECT_EQ(answer->decision.share, Share{0.05});
    EXPECT_EQ(answer->decision.total_s, (Band{7, 8.5, 9}));
    EXPECT_EQ(answer->decision.downtime_s, (Band{0.1, 0.2, 0.3}));
}

TEST(PolicyAnswer, needs_a_version_a_view_and_an_action_only) {
    const auto answer = parse(R"({"segue_policy":1,"view":0,"action":"give-up","share_ratio":null})");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_TRUE(std::holds_alternative<GiveUp>(answer->decision.action));
    EXPECT_FALSE(answer->decision.share || answer->decision.total_s || answer->decision.downtime_s);
    EXPECT_EQ(why(R"({"view":0,"action":"give-up"})"), "no field \"segue_policy\"");
    EXPECT_EQ(why(R"({"segue_policy":1,"action":"give-up"})"), "no field \"view\"");
    EXPECT_EQ(why(R"({"segue_policy":1,"view":0})"), "no field \"action\"");
}

TEST(PolicyAnswer, of_another_version_is_refused_before_its_fields_are_looked_at) {
    EXPECT_EQ(why(R"({"segue_policy":2,"what":"ever"})"), "an answer of a version that is not 1");
}

TEST(PolicyAnswer, with_a_word_that_is_no_action_is_refused) {
    EXPECT_EQ(why(R"({"segue_policy":1,"view":1,"action":"brake"})"),
              "an action that is none of carry-on, allow-switchover and give-up");
    EXPECT_EQ(why(R"({"segue_policy":1,"view":1,"action":1})"), "field \"action\" has a value that it cannot have");
}

TEST(PolicyAnswer, with_a_number_that_is_none_or_out_of_range_is_refused) {
    const auto with_share = [](std::string_view value) {
        return why(R"({"segue_policy":1,"view":1,"action":"carry-on","share_ratio":)" + std::string(value) + "}");
    };
    const std::string wrong = "field \"share_ratio\" has a value that it cannot have";
    for (const char* value : {"1e999", "-1e999", "1.0001", "-0.1", "\"0.5\"", "true", "[0.5]"}) {
        EXPECT_EQ(with_share(value), wrong) << value;
    }
    for (const char* value : {"NaN", "nan", "Infinity", "0x1", ".5"}) {
        EXPECT_TRUE(with_share(value).starts_with("a line that is no JSON")) << value;
    }
    EXPECT_EQ(why(R"({"segue_policy":1,"view":1.5,"action":"carry-on"})"),
              "field \"view\" has a value that it cannot have");
}

TEST(PolicyAnswer, with_a_band_that_is_incomplete_or_falls_is_refused) {
    const auto with_band = [](std::string_view value) {
        return why(R"({"segue_policy":1,"view":1,"action":"carry-on","total_seconds":)" + std::string(value) + "}");
    };
    EXPECT_EQ(with_band(R"({"p10":1,"p50":2})"), "no field \"p90\" in \"total_seconds\"");
    EXPECT_EQ(with_band(R"({"p10":1,"p50":3,"p90":2})"), "\"total_seconds\" does not rise from p10 to p90");
    EXPECT_EQ(with_band(R"({"p10":1,"p50":3,"p90":1e10})"),
              "field \"p90\" has a value that it cannot have in \"total_seconds\"");
    EXPECT_EQ(with_band(R"({"p10":1,"p50":3,"p90":4,"p99":5})"),
              "a field that version 1 does not have in \"total_seconds\"");
    EXPECT_EQ(with_band("[1,2,3]"), "field \"total_seconds\" has a value that it cannot have");
}

TEST(PolicyAnswer, with_a_misspelt_field_is_refused) {
    EXPECT_EQ(why(R"({"segue_policy":1,"view":1,"action":"carry-on","share":0.5})"),
              "a field that version 1 does not have");
}

TEST(PolicyAnswer, cannot_move_the_cursor_of_who_reads_its_reason) {
    const auto answer = parse("{\"segue_policy\":1,\"view\":1,\"action\":\"carry-on\",\"because\":"
                              "\"\\u001b[2Jcaf\u00e9\\n\\u009b1m\\u007f\"}");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->decision.because, " [2Jcaf\u00e9  1m ");
    EXPECT_FALSE(parse(R"({"segue_policy":1,"view":1,"action":"carry-on","because":")" + std::string(1025, 'x') +
                       "\"}"));
}

TEST(PolicyAnswer, that_is_no_object_or_too_deep_is_refused) {
    EXPECT_EQ(why("[]"), "a line that is no JSON object");
    EXPECT_TRUE(why("").starts_with("a line that is no JSON"));
    EXPECT_TRUE(why(R"({"a":[[[[[[[[]]]]]]]]})").starts_with("a line that is no JSON"));
    EXPECT_TRUE(why("{\"a\":\"\xff\"}").starts_with("a line that is no JSON"));
}

std::vector<Result<Answer>> feed(LineReader& reader, const std::string& bytes) { return reader.feed(bytes); }

TEST(PolicyLineReader, drops_a_line_that_is_too_long_and_reads_the_next) {
    LineReader reader;
    for (int i = 0; i < 100; ++i) {
        const auto got = feed(reader, std::string(1000, 'x'));
        EXPECT_EQ(got.size(), i == 65 ? 1U : 0U) << "complained of once, at the byte that is too many: " << i;
    }
    const auto next = feed(reader, "x\n\n{\"segue_policy\":1,\"view\":9,\"action\":\"carry-on\"}\n");
    ASSERT_EQ(next.size(), 1U);
    ASSERT_TRUE(next[0]);
    EXPECT_EQ(next[0]->view, 9U);
}

RC_GTEST_PROP(PolicyLineReaderProperty, reads_the_same_however_the_bytes_were_cut, ()) {
    std::string text;
    const auto lines = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4));
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (lines[i] == 0) text += "\n";
        else if (lines[i] == 1) text += "nonsense\n";
        else text += fmt::format("{{\"segue_policy\":1,\"view\":{},\"action\":\"carry-on\"}}\n", i);
    }
    LineReader whole;
    LineReader cut;
    const auto expected = whole.feed(text);
    std::vector<Result<Answer>> got;
    const auto piece = *rc::gen::inRange<std::size_t>(1, 20);
    for (std::size_t at = 0; at < text.size(); at += piece) {
        for (auto& answer : feed(cut, text.substr(at, piece))) got.push_back(std::move(answer));
    }
    RC_ASSERT(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        RC_ASSERT(got[i].has_value() == expected[i].has_value());
        if (got[i]) RC_ASSERT(got[i]->view == expected[i]->view);
    }
}

}  // namespace
}  // namespace segue::external

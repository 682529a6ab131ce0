#include "api/report_json.hpp"

#include <gtest/gtest.h>

#include <set>

#include "api/schema_test.hpp"

namespace segue {
namespace {

using namespace json_test;
using std::chrono::milliseconds;
using std::chrono::seconds;

// ---- lines -----------------------------------------------------------------------------------------

JsonContext context() {
    JsonContext c;
    c.vm = "qmp:/run/a.qmp";
    c.bounds.max_downtime = milliseconds{500};
    c.bounds.timeout = seconds{120};
    c.bounds.max_bandwidth = mebibytes_per_second(100);
    return c;
}

Summary moved() {
    Summary s;
    s.outcome = Outcome::moved;
    s.guest_on = GuestOn::destination;
    s.guest_stopped = true;
    s.downtime = milliseconds{212};
    s.parts = {milliseconds{4}, milliseconds{180}, milliseconds{21}, milliseconds{7}};
    s.total = milliseconds{9310};
    s.sent = mebibytes(812);
    s.bandwidth = ByteRate{100'123'456};
    s.passes = 5;
    s.budget = mebibytes(40);
    s.pending_at_stop = mebibytes(17);
    s.reserve = milliseconds{42};
    return s;
}

Summary with(Outcome outcome, GuestOn where, bool stopped) {
    Summary s;
    s.outcome = outcome;
    s.guest_on = where;
    s.guest_stopped = stopped;
    s.downtime = stopped ? milliseconds{498} : Duration{0};
    s.error = "the link fell to 1 MiB/s; the guest runs on the source";
    s.rollback = stopped ? milliseconds{13} : Duration{0};
    return s;
}

ForecastReport forecast(bool known, bool converges) {
    ForecastReport f;
    f.samples = {{seconds{1}, mebibytes(52)}, {seconds{3}, mebibytes(118)}};
    f.curve = {mebibytes(160), mebibytes_per_second(60)};
    f.bandwidth = mebibytes_per_second(98);
    f.bandwidth_known = known;
    f.budget = mebibytes(30);
    f.rounds = {converges, seconds{12}, milliseconds{210}, mebibytes(900), 6, mebibytes(96)};
    return f;
}

ProgressReport progress() {
    return {milliseconds{4200}, 3, mebibytes(48), mebibytes(500), std::nullopt, std::nullopt, std::nullopt,
            milliseconds{500}, "copying"};
}

TEST(ResultJson, says_all_about_a_move) {
    EXPECT_EQ(result_json(moved(), context()),
              R"({"type":"result","schema":1,"job":null,"vm":"qmp:/run/a.qmp","outcome":"moved","exit_status":0,)"
              R"("dry_run":false,"guest_on":"destination","error":null,"findings":[],"downtime_seconds":0.212,)"
              R"("downtime_parts":{"stop":0.004,"transfer":0.18,"load":0.021,"handover":0.007},)"
              R"("max_downtime_kept":true,"total_seconds":9.31,"sent_bytes":851443712,)"
              R"("bandwidth_bytes_per_second":100123456,"passes":5,"lowest_share_ratio":1.0,)"
              R"("bounds":{"max_downtime_seconds":0.5,"timeout_seconds":120.0,"min_cpu_ratio":0.1,)"
              R"("max_stall_seconds":0.25,"max_bandwidth_bytes_per_second":104857600,)"
              R"("switchover_bandwidth_bytes_per_second":null},"budget_bytes":41943040,)"
              R"("pending_at_stop_bytes":17825792,"reserve_seconds":0.042,"rollback_seconds":null})");
}

TEST(ResultJson, keeps_every_nanosecond) {
    Summary s = moved();
    s.downtime = Duration{212'345'678};
    s.total = Duration{86'400'000'000'001};
    const auto line = json::parse(result_json(s, context()));
    EXPECT_EQ(from_seconds(line.at("downtime_seconds").as_double()), s.downtime);
    EXPECT_EQ(from_seconds(line.at("total_seconds").as_double()), s.total);
}

TEST(ResultJson, says_when_the_bound_was_not_kept_though_the_guest_moved) {
    Summary s = moved();
    s.downtime = milliseconds{501};
    s.error = "the guest moved, but it stood for 0.501 s";
    const auto line = json::parse(result_json(s, context()));
    EXPECT_EQ(line.at("max_downtime_kept"), json::value(false));
    EXPECT_EQ(line.at("outcome"), json::value("moved"));
    EXPECT_TRUE(line.at("error").is_string());
    s.downtime = milliseconds{500};
    EXPECT_EQ(json::parse(result_json(s, context())).at("max_downtime_kept"), json::value(true));
}

TEST(ResultJson, claims_nothing_about_a_guest_that_may_still_stand) {
    const auto line = json::parse(result_json(with(Outcome::unknown, GuestOn::unknown, true), context()));
    EXPECT_TRUE(line.at("max_downtime_kept").is_null());
    EXPECT_TRUE(line.at("downtime_parts").is_null());
    EXPECT_EQ(line.at("exit_status"), json::value(10));
}

TEST(ResultJson, has_no_downtime_for_a_guest_that_never_stood) {
    const auto line = json::parse(result_json(with(Outcome::timeout, GuestOn::source, false), context()));
    EXPECT_TRUE(line.at("downtime_seconds").is_null());
    EXPECT_TRUE(line.at("max_downtime_kept").is_null());
    EXPECT_TRUE(line.at("rollback_seconds").is_null());
    EXPECT_EQ(line.at("exit_status"), json::value(4));
}

TEST(ResultJson, repairs_text_that_is_no_utf8) {
    JsonContext c = context();
    c.vm = "qmp:/run/\xff\xc3(\xed\xa0\x80\xf0\x9f\x98\x80\xc3\xa9\"\\\x01";
    const auto line = json::parse(result_json(moved(), c));
    EXPECT_EQ(line.at("vm").as_string(),
              "qmp:/run/\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80\xc3\xa9\"\\\x01");
}

TEST(ForecastJson, is_marked_as_uncalibrated_and_silent_without_a_bandwidth) {
    const auto good = json::parse(report_json(forecast(true, true), context()));
    EXPECT_EQ(good.at("calibrated"), json::value(false));
    EXPECT_EQ(good.at("underway"), json::value(false));
    ForecastReport later = forecast(true, true);
    later.underway = true;
    EXPECT_EQ(json::parse(report_json(later, context())).at("underway"), json::value(true));
    EXPECT_EQ(good.at("passes"), json::value(6));
    EXPECT_TRUE(good.at("floor_bytes").is_null());
    const auto never = json::parse(report_json(forecast(true, false), context()));
    EXPECT_TRUE(never.at("total_seconds").is_null());
    EXPECT_EQ(never.at("floor_bytes"), json::value(mebibytes(96).count));
    const auto unknown = json::parse(report_json(forecast(false, true), context()));
    for (const char* name : {"bandwidth_bytes_per_second", "converges", "total_seconds", "budget_bytes"}) {
        EXPECT_TRUE(unknown.at(name).is_null()) << name;
    }
}

/// Every kind of line, in every shape that it can have.
std::vector<std::string> every_line() {
    std::vector<std::string> lines = {
        report_json(forecast(true, true), context()),
        report_json(forecast(true, false), context()),
        report_json(forecast(false, false), context()),
        report_json(ForecastReport{}, context()),
        report_json(DecisionReport{milliseconds{1}, "go", "12 MiB fit"}, context()),
        report_json(progress(), context()),
        result_json(moved(), context()),
        result_json(Summary{}, JsonContext{}),
        refusal_json({ErrorKind::invalid, "--timeout has no value", ""}, JsonContext{}),
    };
    ProgressReport full = progress();
    full.out = full.dirtying = mebibytes_per_second(97);
    full.blackout_now = milliseconds{780};
    lines.push_back(report_json(full, context()));
    for (const std::string_view stage :
         {"inspecting", "sampling", "guarding", "preparing", "copying", "held", "continued", "loaded",
          "handing-over", "undoing", "closing", "finished"}) {
        lines.push_back(report_json(StageReport{milliseconds{10}, stage}, context()));
    }
    for (const Outcome outcome : {Outcome::moved, Outcome::failed, Outcome::refused, Outcome::downtime_exceeded,
                                  Outcome::timeout, Outcome::cancelled, Outcome::guest_crashed, Outcome::unknown,
                                  Outcome::planned}) {
        for (const GuestOn where : {GuestOn::source, GuestOn::destination, GuestOn::nowhere, GuestOn::unknown}) {
            Summary s = with(outcome, where, true);
            s.findings = {{"the destination is not waiting", "start it with -incoming defer"}};
            lines.push_back(result_json(s, context()));
        }
    }
    return lines;
}

TEST(JsonSchema, holds_for_every_line_that_is_printed) {
    for (const std::string& line : every_line()) EXPECT_EQ(problem_of(line), "") << line;
}

TEST(JsonSchema, refuses_a_line_that_lacks_a_field_has_one_more_or_of_another_type) {
    const json::object good = json::parse(result_json(moved(), context())).as_object();
    EXPECT_EQ(problem_of(json::serialize(good)), "");
    for (const auto& [key, value] : good) {
        json::object lacking = good;
        lacking.erase(key);
        EXPECT_NE(problem_of(json::serialize(lacking)), "") << key;
        json::object wrong = good;
        wrong[key] = json::array{json::array{}};
        EXPECT_NE(problem_of(json::serialize(wrong)), "") << key;
    }
    json::object more = good;
    more["surprise"] = 1;
    EXPECT_NE(problem_of(json::serialize(more)), "");
    json::object word = good;
    word["outcome"] = "done";
    EXPECT_NE(problem_of(json::serialize(word)), "");
    EXPECT_NE(problem_of(R"({"type":"other"})"), "");
}

void collect_names(const json::value& value, std::set<std::string>& names) {
    if (const auto* object = value.if_object()) {
        for (const auto& [key, member] : *object) {
            if (key == "properties") {
                for (const auto& [name, rule] : member.as_object()) names.insert(std::string(name));
            }
            if (key == "enum") {
                for (const auto& word : member.as_array()) {
                    if (word.is_string()) names.insert(std::string(word.as_string()));
                }
            }
            collect_names(member, names);
        }
    } else if (const auto* array = value.if_array()) {
        for (const auto& item : *array) collect_names(item, names);
    }
}

TEST(JsonLine, has_the_number_of_the_job_where_there_is_one) {
    JsonContext with_job = context();
    with_job.job = 42;
    for (const std::string& line :
         {report_json(forecast(true, true), with_job), report_json(progress(), with_job),
          report_json(StageReport{seconds{1}, "copying"}, with_job),
          report_json(DecisionReport{seconds{1}, "go", "why"}, with_job), result_json(moved(), with_job)}) {
        EXPECT_EQ(json::parse(line).at("job").as_int64(), 42) << line;
        EXPECT_EQ(problem_of(line), "");
    }
    EXPECT_TRUE(json::parse(result_json(moved(), context())).at("job").is_null());
    EXPECT_TRUE(json::parse(refusal_json({ErrorKind::invalid, "no VM is given", ""}, {})).at("job").is_null());
}

TEST(JsonDocument, names_every_field_and_every_word_of_the_schema) {
    const std::string page = read("json-output.md");
    std::set<std::string> names;
    collect_names(schema(), names);
    EXPECT_GT(names.size(), 50U);
    for (const std::string& name : names) {
        EXPECT_NE(page.find("`" + name + "`"), std::string::npos) << name << " is not explained in docs/json-output.md";
    }
}

TEST(ExitStatusDocument, has_a_row_for_every_outcome) {
    const std::string page = read("exit-statuses.md");
    for (const Outcome outcome : {Outcome::moved, Outcome::failed, Outcome::refused, Outcome::downtime_exceeded,
                                  Outcome::timeout, Outcome::cancelled, Outcome::guest_crashed, Outcome::unknown}) {
        const std::string row = "\n| " + std::to_string(exit_status(outcome)) + " | ";
        EXPECT_NE(page.find(row), std::string::npos) << row;
    }
}

}  // namespace
}  // namespace segue

#include "store/journal_history.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "store/journal_samples_test.hpp"

namespace segue {
namespace {

HistoryEntry moved(std::int64_t job) {
    HistoryEntry entry;
    entry.record = {JobId{job}, journal_test_move(1), journal_test_time(0).wall, journal_test_time(58).wall,
                    journal_test_ending(), {journal_test_step(StepKind::begun), journal_test_step(StepKind::closed)}};
    return entry;
}

HistoryEntry open_at(StepKind step, Liveness owner) {
    HistoryEntry entry;
    entry.record = {JobId{7}, journal_test_move(2), journal_test_time(0).wall, {}, {}, {journal_test_step(step)}};
    entry.record.move.bounds = {std::chrono::milliseconds{300}, {}, {}, {}};
    entry.owner = owner;
    return entry;
}

TEST(History, is_a_table_with_a_header_and_one_row_a_move) {
    HistoryEntry local = open_at(StepKind::word_may_be_sent, Liveness::gone);
    local.record.move.src = {"", "qmp:/run/a"};
    local.record.move.dst = {"", "qmp:/run/b"};
    local.record.move.transport = "";
    local.record.move.vm = "gr\xc3\xbc\xc3\x9f";
    EXPECT_EQ(render_history({moved(1042), local}),
              " JOB  STARTED (UTC)        SIDE    VM     FROM        TO          OUTCOME                       "
              "DOWNTIME (s)  LIMIT (s)  TOTAL (s)  SENT (MiB)\n"
              "1042  2027-01-15 08:00:00  source  web-7  host1       host2       moved                         "
              "       0.212      0.300       58.0          40\n"
              "   7  2027-01-15 08:00:00  source  gr\xc3\xbc\xc3\x9f   qmp:/run/a  qmp:/run/b  "
              "unfinished: word-may-be-sent             -      0.300          -           -\n");
}

TEST(History, of_a_destination_names_no_limit_since_only_the_source_knows_it) {
    HistoryEntry there = open_at(StepKind::dst_prepared, Liveness::alive);
    there.record.move.role = MoveRole::destination;
    there.record.move.bounds = {};
    EXPECT_EQ(render_history({there}, false).find("0.000"), std::string::npos) << render_history({there}, false);
}

TEST(History, of_nothing_is_the_header_alone_or_nothing) {
    EXPECT_EQ(render_history({}),
              "JOB  STARTED (UTC)  SIDE  VM  FROM  TO  OUTCOME  DOWNTIME (s)  LIMIT (s)  TOTAL (s)  SENT (MiB)\n");
    EXPECT_EQ(render_history({}, false), "");
}

TEST(History, tells_a_move_under_way_from_one_that_must_be_recovered) {
    EXPECT_NE(render_history({open_at(StepKind::held, Liveness::alive)}).find("under way: held"), std::string::npos);
    EXPECT_NE(render_history({open_at(StepKind::held, Liveness::gone)}).find("unfinished: held"), std::string::npos);
    EXPECT_NE(render_history({open_at(StepKind::held, Liveness::unknown)}).find("not closed: held"),
              std::string::npos);
}

TEST(History, never_says_that_a_downtime_was_shorter_than_it_was) {
    HistoryEntry entry = moved(1);
    entry.record.ending->downtime = std::chrono::nanoseconds{300'000'001};
    EXPECT_NE(render_history({entry}, false).find(" 0.301 "), std::string::npos);
}

TEST(History, holds_nothing_that_a_terminal_or_a_line_reader_would_act_on) {
    HistoryEntry entry = moved(1);
    entry.record.move.vm = "a\x1b[2J\nb\x7f\xc2\x9b\xff\xed\xa0\x80z";
    const std::string row = render_history({entry}, false);
    EXPECT_NE(row.find("a?[2J?b??\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"), std::string::npos) << row;
    EXPECT_EQ(std::count(row.begin(), row.end(), '\n'), 1);
    entry.record.steps[0].detail = "{\n\"qemu_pid\" : 17}";
    const std::string line = render_history_json(entry);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_NE(line.find(R"("detail":{"qemu_pid":17})"), std::string::npos) << line;
    EXPECT_NO_THROW(static_cast<void>(boost::json::parse(line)));
}

TEST(History, as_json_has_every_field_and_null_where_there_is_nothing) {
    HistoryEntry entry = moved(42);
    entry.record.steps.resize(1);
    entry.record.steps[0].at.wall += std::chrono::nanoseconds{5};
    EXPECT_EQ(render_history_json(entry),
              R"({"type":"move","schema":1,"job":42,"move_id":"0123456789abcdef0000000000000001","side":"source",)"
              R"("state":"closed","vm":"web-7","guest_uuid":"0f1e2d3c-aaaa-bbbb-cccc-0123456789ab",)"
              R"("guest_name":"web-7","src_host":"host1","src_monitor":"qmp:/run/a.qmp","dst_host":"host2",)"
              R"("dst_monitor":null,"transport":"ssh://root@host2","max_downtime_seconds":0.3,"timeout_seconds":600,)"
              R"("max_bandwidth_bytes_per_second":null,"switchover_bandwidth_bytes_per_second":104857600,)"
              R"("owner_pid":4711,"started":"2027-01-15T08:00:00.000000000Z","ended":"2027-01-15T08:00:58.000000000Z",)"
              R"("outcome":"moved","exit_status":0,"guest_on":"destination","error":null,"downtime_seconds":0.212,)"
              R"("total_seconds":58,"sent_bytes":41943040,"steps":[{"step":"begun",)"
              R"("at":"2027-01-15T08:00:00.000000005Z","boot_id":"boot-a","since_boot_seconds":1000,"detail":{}}]})");
    const auto open = boost::json::parse(render_history_json(open_at(StepKind::undoing, Liveness::gone))).as_object();
    const auto closed = boost::json::parse(render_history_json(entry)).as_object();
    EXPECT_EQ(open.size(), closed.size());
    for (const char* name : {"ended", "outcome", "exit_status", "guest_on", "downtime_seconds", "timeout_seconds"}) {
        EXPECT_TRUE(open.at(name).is_null()) << name;
    }
    EXPECT_EQ(open.at("state").as_string(), "unfinished");
}

}  // namespace
}  // namespace segue

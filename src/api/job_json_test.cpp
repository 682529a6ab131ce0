#include "api/job_json.hpp"

#include <gtest/gtest.h>

#include "api/schema_test.hpp"
#include "store/journal_samples_test.hpp"

namespace segue {
namespace {

using namespace json_test;

MoveRecord open_record(MoveRole role = MoveRole::source) {
    MoveRecord record;
    record.job = JobId{42};
    record.move = journal_test_move(1, role);
    record.steps = {journal_test_step(StepKind::begun), journal_test_step(StepKind::migrate_may_be_sent)};
    return record;
}

MoveRecord closed_record() {
    MoveRecord record = open_record();
    record.ended = journal_test_time(58).wall;
    record.ending = journal_test_ending();
    return record;
}

job::Status answer() {
    job::Status status;
    status.stage = "copying";
    status.guest_on = "source";
    status.elapsed = std::chrono::milliseconds{4212};
    status.pass = 3;
    status.sent = Bytes{9};
    return status;
}

TEST(StatusJson, has_every_field_of_the_schema_whatever_is_known) {
    EXPECT_EQ(status_json(open_record(), Liveness::alive, answer()),
              R"({"type":"status","schema":1,"job":42,"vm":"web-7","side":"source","state":"under-way",)"
              R"("steps":["begun","migrate-may-be-sent"],"src":"host1 qmp:/run/a.qmp","dst":"host2","answered":true,)"
              R"("stage":"copying","guest_on":"source","elapsed_seconds":4.212,"pass":3,"left_bytes":null,)"
              R"("sent_bytes":9,"out_bytes_per_second":null,"dirtying_bytes_per_second":null,)"
              R"("blackout_now_seconds":null,"max_downtime_seconds":0.3,"timeout_seconds":600.0,"outcome":null})");
    for (const Liveness owner : {Liveness::alive, Liveness::gone, Liveness::unknown}) {
        EXPECT_EQ(problem_of(status_json(open_record(), owner, {})), "");
        EXPECT_EQ(problem_of(status_json(open_record(), owner, answer())), "");
        EXPECT_EQ(problem_of(status_json(closed_record(), owner, {})), "");
        EXPECT_EQ(problem_of(status_json(open_record(MoveRole::destination), owner, {})), "");
    }
    MoveRecord foreign = open_record();
    foreign.move.vm = "a\n\xff";
    foreign.move.dst = {};
    EXPECT_EQ(problem_of(status_json(foreign, Liveness::gone, {})), "");
}

TEST(StatusJson, says_what_became_of_a_closed_move) {
    const auto line = json::parse(status_json(closed_record(), Liveness::gone, {})).as_object();
    EXPECT_EQ(line.at("state").as_string(), "closed");
    EXPECT_EQ(line.at("outcome").as_string(), "moved");
    EXPECT_EQ(line.at("guest_on").as_string(), "destination");
    EXPECT_TRUE(line.at("stage").is_null());
}

TEST(CancelJson, is_as_the_schema_says_for_every_end) {
    EXPECT_EQ(cancel_json(JobId{42}, closed_record(), {0, "job 42 is cancelled"}),
              R"({"type":"cancel","schema":1,"job":42,"vm":"web-7","cancelled":true,"exit_status":0,"outcome":"moved",)"
              R"("guest_on":"destination","error":null})");
    EXPECT_EQ(cancel_json(JobId{42}, {}, {2, "there is no job 42"}),
              R"({"type":"cancel","schema":1,"job":42,"vm":null,"cancelled":false,"exit_status":2,"outcome":null,)"
              R"("guest_on":null,"error":"there is no job 42"})");
    for (const int status : {0, 1, 2}) {
        EXPECT_EQ(problem_of(cancel_json(JobId{42}, open_record(), {status, "x"})), "");
    }
}

}  // namespace
}  // namespace segue

#include "app/segue/jobs/render_jobs.hpp"

#include <gtest/gtest.h>

#include "store/journal_samples_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;

MoveRecord open_at(StepKind step, MoveRole role = MoveRole::source) {
    return {JobId{7}, journal_test_move(1, role), journal_test_time(0).wall, {}, {}, {journal_test_step(step)}};
}

MoveRecord closed(std::string outcome, int status, std::string guest_on, std::string error = {}) {
    MoveRecord record = open_at(StepKind::begun);
    record.ended = journal_test_time(58).wall;
    record.ending = journal_test_ending();
    record.ending->outcome = std::move(outcome);
    record.ending->exit_status = status;
    record.ending->guest_on = std::move(guest_on);
    record.ending->error = std::move(error);
    record.steps.push_back(journal_test_step(StepKind::closed, 58));
    return record;
}

job::Status copying() {
    job::Status status;
    status.stage = "copying";
    status.guest_on = "source";
    status.elapsed = milliseconds{58'200};
    status.pass = 4;
    status.left = mebibytes(48);
    status.sent = mebibytes(500);
    status.max_downtime = milliseconds{300};
    return status;
}

TEST(JobText, of_a_move_under_way_is_what_its_segue_said) {
    JobSeen seen{open_at(StepKind::migrate_may_be_sent), Liveness::alive, copying(), ""};
    EXPECT_EQ(render_job_line(seen),
              "job 7  web-7  copying memory while the guest runs  pass 4  48 MiB left  after 58.2 s");
    seen.answer->stage = "preparing";
    EXPECT_EQ(render_job_line(seen), "job 7  web-7  preparing both sides  after 58.2 s");
}

TEST(JobText, without_an_answer_is_the_last_step_and_why) {
    const JobSeen seen{open_at(StepKind::held), Liveness::alive, {}, "it did not answer in time"};
    EXPECT_EQ(render_job_line(seen), "job 7  web-7  held  (process 4711 gives no figures: it did not answer in time)");
}

TEST(JobText, of_a_move_whose_process_is_gone_names_the_command_that_mends_it) {
    EXPECT_EQ(render_job_line({open_at(StepKind::held), Liveness::gone, {}, ""}),
              "job 7  web-7  unfinished: segue recover 7");
    EXPECT_NE(render_job_line({open_at(StepKind::dst_prepared, MoveRole::destination), Liveness::gone, {}, ""})
                  .find("segue recover on the source's host, host1"), std::string::npos);
    EXPECT_NE(render_job_line({open_at(StepKind::dst_prepared, MoveRole::destination), Liveness::alive, {}, ""})
                  .find("ask segue status on host1"), std::string::npos);
}

TEST(JobText, names_a_guest_by_what_is_known_of_it) {
    JobSeen seen{open_at(StepKind::dst_prepared, MoveRole::destination), Liveness::gone, {}, ""};
    seen.record.move.vm = "";
    seen.record.move.guest = {"0f1e", "db-1"};
    EXPECT_TRUE(render_job_line(seen).starts_with("job 7  db-1  "));
    seen.record.move.guest.name = "";
    EXPECT_TRUE(render_job_line(seen).starts_with("job 7  0f1e  "));
    seen.record.move.guest.uuid = "";
    EXPECT_TRUE(render_job_line(seen).starts_with("job 7  (guest not known yet)  "));
}

TEST(JobText, in_detail_has_places_limits_and_the_last_steps) {
    JobSeen seen{open_at(StepKind::begun), Liveness::alive, copying(), ""};
    for (int i = 1; i <= 9; ++i) seen.record.steps.push_back(journal_test_step(StepKind::undoing, i));
    const std::string text = render_job(seen);
    EXPECT_TRUE(text.starts_with("job 7  web-7\n  from    host1 qmp:/run/a.qmp\n  to      host2\n"
                                 "  limits  downtime at most 0.3 s, timeout 10 min, no bandwidth cap\n"
                                 "  state   copying memory")) << text;
    EXPECT_NE(text.find("\n  guest   the guest runs on the source\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\n  steps   2027-01-15 08:00:02.000 UTC  undoing\n"), std::string::npos) << text;
    EXPECT_TRUE(text.ends_with("\n          2027-01-15 08:00:09.000 UTC  undoing")) << text;
    EXPECT_EQ(text.find("begun"), std::string::npos) << "only the last eight";
}

TEST(JobText, of_a_closed_move_says_how_it_ended) {
    const std::string text = render_job({closed("timeout", 4, "source", "--timeout came\n"), Liveness::gone, {}, ""});
    EXPECT_NE(text.find("ended: timeout (exit status 4); the guest runs on the source; it stood for 0.212 s"),
              std::string::npos) << text;
    EXPECT_NE(text.find("error   --timeout came?"), std::string::npos) << text;
}

TEST(JobText, holds_nothing_that_a_terminal_would_act_on) {
    JobSeen seen{open_at(StepKind::held), Liveness::alive, {}, "a\x1b[2J"};
    seen.record.move.vm = "b\x1b\n";
    seen.record.move.src = {"c\x07", "qmp:\n"};
    for (const std::string& text : {render_job_line(seen), render_job(seen)}) {
        EXPECT_EQ(text.find_first_of("\x1b\x07"), std::string::npos);
    }
    EXPECT_EQ(render_job_line(seen).find('\n'), std::string::npos);
}

TEST(CancelEnd, is_good_only_where_the_guest_runs_on_the_source) {
    EXPECT_EQ(cancel_end(closed("cancelled", 5, "source"), false).exit_status, 0);
    EXPECT_EQ(cancel_end(closed("cancelled", 5, "source"), false).sentence,
              "job 7 is cancelled; the guest runs on the source");
    const CancelEnd by_itself = cancel_end(closed("timeout", 4, "source"), false);
    EXPECT_EQ(by_itself.exit_status, 0);
    EXPECT_NE(by_itself.sentence.find("ended by itself in that moment: timeout"), std::string::npos);
    const CancelEnd moved = cancel_end(closed("moved", 0, "destination"), false);
    EXPECT_EQ(moved.exit_status, 1);
    EXPECT_EQ(moved.sentence, "too late: job 7 ended with \"moved\"; the guest runs on the destination");
    EXPECT_EQ(cancel_end(closed("guest-crashed", 9, "nowhere"), false).exit_status, 1);
    EXPECT_EQ(cancel_end(closed("unknown", 10, "unknown"), false).exit_status, 1);
    EXPECT_EQ(cancel_end(closed("cancelled", 5, "source"), true).exit_status, 1) << "it was so before";
}

}  // namespace
}  // namespace segue

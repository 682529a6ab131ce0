#include "app/segue/move/on_success.hpp"

#include <gtest/gtest.h>

#include "app/segue/process/command_run.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

OnSuccess asked(std::string command) { return {std::move(command), 42, "web-7", "/run/a.qmp", "host2", 4711}; }

TEST(OnSuccess, runs_in_a_shell_that_knows_the_move) {
    EXPECT_TRUE(run_on_success(asked("test \"$SEGUE_JOB $SEGUE_VM $SEGUE_SRC_PID $SEGUE_SRC_QMP $SEGUE_DST_HOST\" = "
                                     "'42 web-7 4711 /run/a.qmp host2'")));
}

TEST(OnSuccess, that_fails_says_its_status_and_what_it_said_last) {
    const auto ran = run_on_success(asked("echo no such service >&2; exit 3"));
    ASSERT_FALSE(ran);
    EXPECT_EQ(to_string(ran.error()), "it ended with status 3: no such service");
    EXPECT_EQ(run_on_success(asked("kill -9 $$")).error().message, "it ended with status 137");
}

TEST(OnSuccess, that_does_not_end_is_killed) {
    const auto ran = run_on_success(asked("sleep 60"), milliseconds{200});
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().kind, ErrorKind::timed_out);
}

TEST(CommandRun, keeps_both_streams_and_does_not_wait_for_what_stays_behind) {
    const auto ran = run_command({"/bin/sh", "-c", "echo out; echo err >&2; sleep 5 & exit 7"}, seconds{4});
    ASSERT_TRUE(ran) << to_string(ran.error());
    EXPECT_EQ(ran->status, 7);
    EXPECT_EQ(ran->output, "out\n");
    EXPECT_EQ(ran->notes, "err\n");
    EXPECT_EQ(run_command({"/no/such/program"}, seconds{1}).error().kind, ErrorKind::unavailable);
    EXPECT_EQ(run_command({"/bin/sh", "-c", "head -c 300000 /dev/zero"}, seconds{4})->output.size(), 65536U);
}

}  // namespace
}  // namespace segue

#include "app/segue/process/qemu_process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "io/run_loop_test.hpp"

namespace segue {
namespace {

TEST(MonitorIn, is_the_path_of_the_first_qmp_socket) {
    EXPECT_EQ(monitor_in({"qemu", "-qmp", "unix:/run/b.qmp,server=on,wait=off"}).value(), "/run/b.qmp");
    EXPECT_EQ(monitor_in({"qemu", "-qmp", "tcp:[::1]:1", "--qmp", "unix:/run/c.qmp"}).value(), "/run/c.qmp");
    for (const auto& command : std::vector<std::vector<std::string>>{
             {}, {"qemu"}, {"qemu", "-qmp"}, {"qemu", "-qmp", "unix:relative"}, {"qemu", "-qmp", "tcp:h:1"},
             {"qemu", "-daemonize", "-qmp", "unix:/run/b.qmp"}}) {
        EXPECT_FALSE(monitor_in(command));
    }
}

TEST(QemuProcess, that_was_never_told_to_run_ends_without_a_trace) {
    const std::string log = testing::TempDir() + "segue_receive_process.log";
    auto process = QemuProcess::prepare({"true"}, log);
    ASSERT_TRUE(process);
    EXPECT_FALSE(process->dead());
    process->end();
    EXPECT_TRUE(process->dead());
    EXPECT_NE(::access(log.c_str(), F_OK), 0);
}

std::string log_of(char digit) { return testing::TempDir() + std::string(32, digit) + ".log"; }

TEST(QemuProcess, takes_away_the_logs_of_those_that_have_ended_and_no_other) {
    const std::string foreign = testing::TempDir() + "segue_foreign.log";
    ::close(::creat(foreign.c_str(), 0600));
    auto ended = QemuProcess::prepare({"true"}, log_of('a'));
    auto living = QemuProcess::prepare({"sleep", "60"}, log_of('b'));
    ASSERT_TRUE(ended && living);
    living->run();
    ended->run();
    Loop loop;
    EXPECT_TRUE(run_until(loop, [&] { return ended->dead(); }, std::chrono::seconds{5}));
    EXPECT_EQ(::access(log_of('a').c_str(), F_OK), 0) << "its last words may still be asked for";
    auto next = QemuProcess::prepare({"true"}, log_of('c'));
    ASSERT_TRUE(next);
    EXPECT_NE(::access(log_of('a').c_str(), F_OK), 0);
    EXPECT_EQ(::access(log_of('b').c_str(), F_OK), 0);
    EXPECT_EQ(::access(foreign.c_str(), F_OK), 0);
    living->end();
    next->end();
    ::unlink(foreign.c_str());
}

}  // namespace
}  // namespace segue

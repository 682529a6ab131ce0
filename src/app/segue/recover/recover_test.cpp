#include "app/segue/recover/recover.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>

#include "app/segue/recover/recover_ports.hpp"
#include "brake/cgroup/cgroup_brake.hpp"
#include "io/fd.hpp"
#include "store/journal_memory.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

// ---- which move

class RecoverChoice : public testing::Test {
protected:
    MemoryJournal journal;
    MoveOwner dead{1, 1, "another boot"};

    JobId add(std::uint64_t number, const MoveOwner& owner, MoveRole role = MoveRole::source) {
        NewMove move;
        move.id = {1, number};
        move.role = role;
        move.vm = "qmp:/run/a.qmp";
        move.guest.name = "web-7";
        move.src = {"host1", "qmp:/run/a.qmp"};
        move.dst = {"host2", "qmp:/run/b.qmp"};
        move.transport = "ssh://root@host2";
        move.owner = owner;
        return *journal.create(move, {first_step(role), stamp_now(), "{}"});
    }
    std::string why_not(const Recover& wanted) {
        const auto chosen = choose_move(journal, wanted);
        EXPECT_FALSE(chosen);
        return chosen ? "" : to_string(chosen.error());
    }
    static Recover job(JobId id) {
        Recover wanted;
        wanted.job = static_cast<std::int64_t>(id);
        return wanted;
    }
};

TEST_F(RecoverChoice, FindsNothingInAnEmptyJournal) {
    const auto chosen = choose_move(journal, {});
    ASSERT_TRUE(chosen);
    EXPECT_FALSE(*chosen);
}

TEST_F(RecoverChoice, TakesTheOnlyUnfinishedMoveOfThisSource) {
    add(1, dead, MoveRole::destination);
    const JobId mine = add(2, dead);
    const auto chosen = choose_move(journal, {});
    ASSERT_TRUE(chosen && *chosen);
    EXPECT_EQ((*chosen)->job, mine);
}

TEST_F(RecoverChoice, PassesOverMovesThatAreUnderWay) {
    add(1, *this_process());
    const JobId left = add(2, dead);
    const auto chosen = choose_move(journal, {});
    ASSERT_TRUE(chosen && *chosen);
    EXPECT_EQ((*chosen)->job, left);
}

TEST_F(RecoverChoice, ListsThemWhenSeveralAreUnfinished) {
    add(1, dead);
    add(2, dead);
    const std::string why = why_not({});
    EXPECT_NE(why.find("2 moves are unfinished: 1 (qmp:/run/a.qmp), 2"), std::string::npos) << why;
}

TEST_F(RecoverChoice, NamesTheProcessThatWorksOnIt) {
    const JobId mine = add(1, *this_process());
    for (const Recover& wanted : {Recover{}, job(mine)}) {
        const std::string why = why_not(wanted);
        EXPECT_NE(why.find("process " + std::to_string(::getpid())), std::string::npos) << why;
        EXPECT_NE(why.find("segue cancel 1"), std::string::npos) << why;
    }
}

TEST_F(RecoverChoice, SendsTheDestinationsSideToItsSourceHost) {
    const std::string why = why_not(job(add(1, dead, MoveRole::destination)));
    EXPECT_NE(why.find("on its source host, host1"), std::string::npos) << why;
}

TEST_F(RecoverChoice, RefusesAJobThatHasEndedOrNeverWas) {
    const JobId mine = add(1, dead);
    MoveEnding ending;
    ending.outcome = "moved";
    ASSERT_TRUE(journal.close(mine, dead, ending, stamp_now()));
    EXPECT_NE(why_not(job(mine)).find("has come to its end (moved)"), std::string::npos);
    EXPECT_NE(why_not(job(JobId{77})).find("no job 77"), std::string::npos);
}

TEST_F(RecoverChoice, TakesTheOperatorsWordOnlyForTheHostAndGuestOfTheMove) {
    const MoveRecord record = *journal.load(add(1, dead));
    const auto fits = [&](const char* host, const char* vm) {
        Recover wanted;
        wanted.fenced = host;
        wanted.confirm = vm;
        return check_fence(wanted, record).has_value();
    };
    EXPECT_TRUE(fits("host2", "qmp:/run/a.qmp"));
    EXPECT_TRUE(fits("ssh://root@host2", "web-7"));
    EXPECT_FALSE(fits("host1", "qmp:/run/a.qmp"));
    EXPECT_FALSE(fits("host2", "qmp:/run/b.qmp"));
}

TEST_F(RecoverChoice, SaysWhereTheGuestIs) {
    const MoveRecord record = *journal.load(add(1, dead));
    Summary summary;
    summary.outcome = Outcome::moved;
    EXPECT_EQ(render_recovered(summary, record), "job 1, qmp:/run/a.qmp: moved, the guest is the destination's");
    summary.outcome = Outcome::unknown;
    summary.error = "it does not answer";
    EXPECT_EQ(render_recovered(summary, record), "job 1, qmp:/run/a.qmp: state unknown: it does not answer");
}

// ---- whether a QEMU is gone

class GoneQemu : public testing::Test {
protected:
    std::string path = testing::TempDir() + "segue_recover_" + std::to_string(::getpid()) + ".qmp";
    MoveRecord record;

    void SetUp() override { record.steps.push_back({StepKind::begun, stamp_now(), "{}"}); }
    void TearDown() override { std::remove(path.c_str()); }

    Fd listen() {
        Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, path.size());
        EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(socket.get(), 1), 0);
        return socket;
    }
};

TEST_F(GoneQemu, LivesWhileItsSocketIsListenedAt) {
    const Fd socket = listen();
    EXPECT_FALSE(qemu_is_gone(record, path, 0));
}

TEST_F(GoneQemu, IsGoneWhenNobodyListensAtItsSocket) {
    listen();
    EXPECT_TRUE(qemu_is_gone(record, path, 0));
}

TEST_F(GoneQemu, IsNotTakenForGoneBecauseItsSocketWasRemoved) {
    EXPECT_FALSE(qemu_is_gone(record, path, 0));
    EXPECT_FALSE(qemu_is_gone(record, path, ::getpid()));
}

TEST_F(GoneQemu, IsGoneWithItsSocketAndItsProcess) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(qemu_is_gone(record, path, child));
}

TEST_F(GoneQemu, IsGoneWhenItsNumberIsThatOfAYoungerProcess) {
    record.steps.back().at.since_boot = Instant{};
    EXPECT_TRUE(qemu_is_gone(record, path, ::getpid()));
}

TEST_F(GoneQemu, IsGoneWhenTheHostWasStartedAgain) {
    const Fd socket = listen();
    record.steps.back().at.boot_id = "another boot";
    EXPECT_TRUE(qemu_is_gone(record, path, 0));
}

TEST_F(GoneQemu, IsFoundByThePidInTheJournal) {
    EXPECT_EQ(recorded_source_pid(record), 0);
    record.steps.push_back({StepKind::preparing, stamp_now(), R"({"put_back":"x","src_pid":"4711"})"});
    EXPECT_EQ(recorded_source_pid(record), 4711);
}

// ---- the brake of a move whose segue and guardian are both dead

MoveRecord with_brake(const std::string& undo) {
    MoveRecord record;
    record.steps.push_back({StepKind::begun, stamp_now(), "{}"});
    record.steps.push_back({StepKind::preparing, stamp_now(), encode_detail({{"src_pid", "4711"}, {"brake", undo}})});
    return record;
}

/// What is in the thread's group file of the cpu controller.
std::string cpu_group_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/cgroup");
    for (std::string line; std::getline(file, line);) {
        if (line.find(":cpu:") != std::string::npos || line.find(":cpu,") != std::string::npos) return line;
    }
    return "no cpu controller of version 1 is mounted";
}

TEST(RecoverBrake, LetsTheGuestGoAndRemovesItsGroups) {
    const pid_t guest = ::fork();
    if (guest == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ::pause();
    }
    const std::string before = cpu_group_of(guest);
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const pid_t dead = ::fork();
    if (dead == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        CgroupBrake brake("recover" + std::to_string(::getpid()));
        const auto ready = brake.perform(BrakeOpen{guest, {guest}, Share{0.05}});
        const bool set = ready && brake.perform(BrakeSet{Share{0.05}});
        const std::string undo = set ? std::get<BrakeReady>(*ready).undo : "failed";
        const auto written = ::write(ends[1], undo.data(), undo.size());
        while (written > 0) ::pause();
        ::_exit(1);
    }
    std::array<char, 1000> undo{};
    EXPECT_GT(::read(ends[0], undo.data(), undo.size() - 1), 0);
    ::kill(dead, SIGKILL);
    ::waitpid(dead, nullptr, 0);
    EXPECT_NE(cpu_group_of(guest), before) << "it is braked";
    const MoveRecord record = with_brake(undo.data());
    const auto undone = undo_recorded_brake(record);
    EXPECT_TRUE(undone) << to_string(undone.error());
    EXPECT_EQ(cpu_group_of(guest), before);
    EXPECT_TRUE(undo_recorded_brake(record)) << "the operator may recover again";
    ::kill(guest, SIGKILL);
    ::waitpid(guest, nullptr, 0);
    for (const int end : ends) ::close(end);
}

TEST(RecoverBrake, DoesNothingWhereThereWasNoneAndRefusesWhatIsNotOurs) {
    MoveRecord record;
    record.steps.push_back({StepKind::begun, stamp_now(), "{}"});
    EXPECT_TRUE(undo_recorded_brake(record));
    const auto refused = undo_recorded_brake(with_brake("v1 vm 0 /sys/fs/cgroup/cpu"));
    ASSERT_FALSE(refused);
    EXPECT_NE(to_string(refused.error()).find("nothing was touched"), std::string::npos);
}

TEST(OnSuccess, is_told_from_the_record_by_recover) {
    MoveRecord record;
    record.job = JobId{7};
    record.move.vm = "web-7";
    record.move.src.monitor = "qmp:/run/a.qmp";
    record.move.dst.host = "host2";
    record.steps = {{StepKind::begun, {}, R"({"on_success":"true"})"},
                    {StepKind::preparing, {}, R"({"src_pid":"99"})"}};
    const OnSuccess what = on_success_of(record, "true");
    EXPECT_EQ(what.job, 7);
    EXPECT_EQ(what.src_qmp, "/run/a.qmp");
    EXPECT_EQ(what.src_pid, 99);
    EXPECT_EQ(what.dst_host, "host2");
}

}  // namespace
}  // namespace segue

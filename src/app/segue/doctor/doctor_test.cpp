#include "app/segue/doctor/doctor.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "api/schema_test.hpp"
#include "base/folder_test.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

class DoctorTest : public testing::Test {
protected:
    ~DoctorTest() override {
        ::unsetenv("SEGUE_GUARD");
        ::unsetenv("SEGUE_SSH");
    }
    std::string script(const std::string& name, const std::string& text) const {
        const std::string path = folder + "/" + name;
        std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        return path;
    }
    void describe(const std::string& program) const {
        std::filesystem::create_directories(folder + "/vms");
        std::ofstream(folder + "/vms/web1.toml") << "name = 'web1'\ncommand = ['" << program << "']\n";
    }
    void expect_one(Verdict verdict, const std::string& says) const {
        ASSERT_EQ(found.size(), 1U);
        EXPECT_EQ(found[0].verdict, verdict) << found[0].what;
        EXPECT_NE(found[0].what.find(says), std::string::npos) << found[0].what;
        EXPECT_EQ(found[0].remedy.empty(), verdict == Verdict::ok) << found[0].remedy;
    }

    TestFolder own;
    std::string folder = own.path();
    Checkups found;
};

TEST_F(DoctorTest, AGuardianThatIsNotThereIsAProblem) {
    ::setenv("SEGUE_GUARD", (folder + "/none").c_str(), 1);
    check_guardian(found);
    expect_one(Verdict::problem, "segue-guard is not found as " + folder + "/none");
}

TEST_F(DoctorTest, AnotherProgramInThePlaceOfTheGuardianIsAProblem) {
    ::setenv("SEGUE_GUARD", script("guard", "exit 2").c_str(), 1);
    check_guardian(found);
    expect_one(Verdict::problem, "does not run as segue-guard does");
}

TEST_F(DoctorTest, AGuardianThatSaysWhatItIsForIsWell) {
    ::setenv("SEGUE_GUARD", script("guard", "echo 'segue-guard: started by segue' >&2; exit 2").c_str(), 1);
    check_guardian(found);
    expect_one(Verdict::ok, "is there and runs");
}

TEST_F(DoctorTest, AQemuThatAVmNamesAndThatIsNotThereIsAProblem) {
    describe(folder + "/qemu");
    check_qemu({folder, folder, "h"}, found);
    expect_one(Verdict::problem, "/qemu is not found, and VM web1 is started with it");
}

TEST_F(DoctorTest, AQemuThatCannotStartIsAProblemInItsOwnWords) {
    describe(script("qemu", "echo 'cannot open shared object file' >&2; exit 127"));
    check_qemu({folder, folder, "h"}, found);
    expect_one(Verdict::problem, "does not answer as a QEMU: cannot open shared object file");
}

TEST_F(DoctorTest, AQemuWithoutACapabilityIsAProblemThatNamesIt) {
    describe(script("qemu", R"(read a; read b; read c; read d; read e
echo '{"QMP":{"version":{},"capabilities":[]}}'
echo '{"return":{"qemu":{"major":4,"minor":1,"micro":0},"package":""},"id":"version"}'
echo '{"return":[{"capability":"events","state":false},{"capability":"return-path","state":false}],"id":"capabilities"}'
echo '{"return":{},"id":"parameters"}')"));
    check_qemu({folder, folder, "h"}, found);
    expect_one(Verdict::problem, "is QEMU 4.1.0, which has no pause-before-switchover, late-block-activate");
}

TEST_F(DoctorTest, AnSshThatIsNotThereIsNamed) {
    ::setenv("SEGUE_SSH", (folder + "/ssh -F x").c_str(), 1);
    check_ssh(found);
    expect_one(Verdict::problem, "$SEGUE_SSH: " + folder + "/ssh is not found");
}

TEST_F(DoctorTest, AStateFolderThatIsNotThereYetIsLookedForAbove) {
    check_state_folder(folder + "/a/b", found);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_NE(found[0].verdict, Verdict::problem) << found[0].what;
    EXPECT_NE(found[0].what.find("(to be made in " + folder + ")"), std::string::npos) << found[0].what;
    EXPECT_FALSE(std::filesystem::exists(folder + "/a"));
}

TEST_F(DoctorTest, AJournalThatIsNoneIsAProblem) {
    std::filesystem::create_directories(folder + "/journal");
    std::ofstream(journal_path(folder)) << std::string(8192, 'x');
    check_journal(folder, found);
    expect_one(Verdict::problem, "the journal cannot be opened: ");
}

TEST_F(DoctorTest, AMoveWhoseSegueIsGoneIsToldWithItsRemedy) {
    {
        auto journal = open_journal(journal_path(folder));
        ASSERT_TRUE(journal) << to_string(journal.error());
        NewMove move;
        move.id = MoveId{1, 2};
        move.vm = "web1";
        move.src = {"host1", "qmp:/a"};
        move.owner = {1, 1, "00000000-0000-0000-0000-000000000000"};
        ASSERT_TRUE((*journal)->create(move, MoveStep{StepKind::begun, stamp_now(), "{}"}));
    }
    check_journal(folder, found);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].verdict, Verdict::problem);
    EXPECT_EQ(found[0].what, "job 1 of web1 is unfinished, and its segue is gone");
    EXPECT_EQ(found[0].remedy, "segue recover 1");
    EXPECT_EQ(found[1].what, "the journal opens: 0 moves under way, 1 unfinished");
}

TEST_F(DoctorTest, SettingsThatAreWrongAreAProblem) {
    std::ofstream(folder + "/site.toml") << "timeout = 5\ntimeot = 6\n";
    check_settings({folder, folder, "h"}, found);
    expect_one(Verdict::problem, folder + "/site.toml:1:11: timeout is a number");
}

TEST_F(DoctorTest, AnotherHostThatCannotBeReachedIsAProblem) {
    check_other_host({"cmd:false", {"false"}, false, "destination"}, "0.1.0", found);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].verdict, Verdict::problem);
    EXPECT_TRUE(found[0].what.starts_with("--host cmd:false ended with status 1 before it greeted")) << found[0].what;
    EXPECT_FALSE(found[0].remedy.empty());
}

TEST_F(DoctorTest, WhatThisHostCanDoIsToldInOneFindingEach) {
    for (auto* check : {check_brake, check_clock, check_network, check_limits_of_guardian, check_kvm}) {
        found.clear();
        check(found);
        ASSERT_EQ(found.size(), 1U);
        EXPECT_FALSE(found[0].what.empty());
        EXPECT_EQ(found[0].remedy.empty(), found[0].verdict == Verdict::ok) << found[0].what;
    }
}

TEST(DoctorView, IsLinesAndOneJsonObjectAsTheSchemaSays) {
    const Checkups checkups = {{"guardian", Verdict::ok, "it runs", ""},
                               {"clock", Verdict::warning, "it is wrong", "set it"},
                               {"moves", Verdict::problem, "job 1 is unfinished", "segue recover 1"}};
    EXPECT_EQ(render_doctor(checkups), "ok       guardian   it runs\n"
                                       "warning  clock      it is wrong\n"
                                       "                    -> set it\n"
                                       "problem  moves      job 1 is unfinished\n"
                                       "                    -> segue recover 1\n"
                                       "3 findings: 1 problems, 1 warnings");
    EXPECT_EQ(json_test::problem_of(doctor_json(checkups, "h", "")), "");
    EXPECT_EQ(json_test::problem_of(doctor_json({}, "h", "ssh://a")), "");
}

}  // namespace
}  // namespace segue

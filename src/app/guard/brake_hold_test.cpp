#include "app/guard/brake_hold.hpp"

#include <gtest/gtest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/folder_test.hpp"

namespace segue::guard {
namespace {

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

class BrakeHoldTest : public testing::Test {
protected:
    TestFolder own;
    std::string folder = own.path();
    std::unique_ptr<BrakeHold> hold = std::make_unique<BrakeHold>();

    int file(const std::string& name) const {
        std::ofstream(folder + name) << "";
        return ::open((folder + name).c_str(), O_WRONLY);
    }
};

TEST_F(BrakeHoldTest, WritesWhatEachVersionTakesForNoQuota) {
    ASSERT_TRUE(hold->take("1segue-7-vcpu0", file("/a"), -1));
    ASSERT_TRUE(hold->take("2+segue-7-vcpu1", file("/b"), -1));
    hold->lift();
    EXPECT_EQ(text_of(folder + "/a"), "-1");
    EXPECT_EQ(text_of(folder + "/b"), "max");
}

TEST_F(BrakeHoldTest, LiftsAlsoWhatWasBrakedSinceTheLastTime) {
    ASSERT_TRUE(hold->take("1segue-7-vcpu0", file("/a"), -1));
    hold->lift();
    std::ofstream(folder + "/a") << "1000";
    hold->lift();
    EXPECT_EQ(text_of(folder + "/a").substr(0, 2), "-1");
}

/// A folder stands for the guests' common group: the kernel would take the quotas of its other groups away.
TEST_F(BrakeHoldTest, TakesCpuBackOnlyWhereNoOtherGroupIsLeft) {
    const auto open_group = [&](const std::string& name) {
        const std::string group = folder + "/" + name;
        EXPECT_EQ(::mkdir(group.c_str(), 0755), 0);
        return ::open(group.c_str(), O_PATH | O_DIRECTORY);
    };
    const std::string control = folder + "/cgroup.subtree_control";
    std::ofstream(control) << "cpu ";
    ASSERT_EQ(::mkdir((folder + "/segue-8-vcpu0").c_str(), 0755), 0);
    ASSERT_TRUE(hold->take("2+segue-7-vcpu0", file("/a"), open_group("segue-7-vcpu0")));
    ASSERT_TRUE(hold->take("2segue-7-vcpu1", file("/b"), open_group("segue-7-vcpu1")));
    hold->remove();
    EXPECT_EQ(text_of(control), "cpu ");
    EXPECT_NE(::access((folder + "/segue-7-vcpu1").c_str(), F_OK), 0);
    ASSERT_EQ(::rmdir((folder + "/segue-8-vcpu0").c_str()), 0);
    // Each vCPU may have a home of its own, as libvirt's have.
    const std::string other = folder + "/other/cgroup.subtree_control";
    ASSERT_EQ(::mkdir((folder + "/other").c_str(), 0755), 0);
    std::ofstream(other) << "cpu ";
    ASSERT_TRUE(hold->take("2+segue-7-vcpu0", file("/a"), open_group("segue-7-vcpu0")));
    ASSERT_TRUE(hold->take("2+segue-7-vcpu1", file("/b"), open_group("other/segue-7-vcpu1")));
    hold->remove();
    EXPECT_EQ(text_of(other), "-cpu");
    EXPECT_EQ(text_of(control), "cpu ") << "the other home still lies below";
    std::filesystem::remove_all(folder + "/other");
    ASSERT_TRUE(hold->take("2+segue-7-vcpu0", file("/a"), open_group("segue-7-vcpu0")));
    hold->remove();
    EXPECT_EQ(text_of(control), "-cpu");
}

TEST_F(BrakeHoldTest, RefusesWhatIsNotUnderstoodAndWhatDoesNotFit) {
    EXPECT_TRUE(hold->empty());
    const int some = file("/a");
    for (const char* words : {"", "3segue-7-vcpu0", "-1"}) EXPECT_FALSE(hold->take(words, some, -1)) << words;
    EXPECT_FALSE(hold->take("1segue-7-vcpu0", -1, -1));
    EXPECT_FALSE(hold->take("1" + std::string(BrakeHold::words_max, 'x'), some, -1));
    EXPECT_TRUE(hold->empty());
    for (int vcpu = 0; vcpu < 256; ++vcpu) {
        ASSERT_TRUE(hold->take("1segue-7-vcpu" + std::to_string(vcpu), ::dup(some), -1)) << vcpu;
    }
    EXPECT_FALSE(hold->take("1segue-7-vcpu256", some, -1)) << "full";
    EXPECT_TRUE(hold->take("1segue-7-vcpu17", some, -1)) << "a group that is held already takes its place";
    hold->remove();
    EXPECT_TRUE(hold->empty());
}

/// On the kernel's own version 1: fails where it is not mounted in its usual place.
TEST_F(BrakeHoldTest, PutsThreadsBackAndRemovesTheGroup) {
    const std::string root = "/sys/fs/cgroup/cpu";
    const std::string name = "segue-hold" + std::to_string(::getpid()) + "-vcpu0";
    const std::string group = root + "/" + name;
    ASSERT_EQ(::mkdir(group.c_str(), 0755), 0) << "cgroup v1's cpu controller must be mounted at " << root;
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ::pause();
    }
    std::ofstream(group + "/tasks") << child << std::flush;
    EXPECT_EQ(text_of(group + "/tasks"), std::to_string(child));
    ASSERT_TRUE(hold->take("1" + name, ::open((group + "/cpu.cfs_quota_us").c_str(), O_WRONLY),
                           ::open(group.c_str(), O_PATH | O_DIRECTORY)));
    std::ofstream(group + "/cpu.cfs_quota_us") << 5000 << std::flush;
    hold->lift();
    EXPECT_EQ(text_of(group + "/cpu.cfs_quota_us"), "-1");
    EXPECT_EQ(text_of(group + "/tasks"), std::to_string(child)) << "lifting moves nobody";
    hold->remove();
    EXPECT_NE(::access(group.c_str(), F_OK), 0);
    std::ifstream there("/proc/" + std::to_string(child) + "/cgroup");
    std::string all((std::istreambuf_iterator<char>(there)), {});
    EXPECT_EQ(all.find("segue-hold"), std::string::npos) << all;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace segue::guard

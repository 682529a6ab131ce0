// Version 2 on a tree of plain files that are called and filled as the kernel does it. What the kernel would do by
// itself (files of a new group, who is in which) is done here by the two functions of GroupFiles and by hand.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "base/folder_test.hpp"
#include "brake/cgroup/cgroup_brake.hpp"
#include "brake/cgroup/undo.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

void put(const std::string& path, const std::string& text) { std::ofstream(path) << text << '\n'; }

std::string line_of(const std::string& path) {
    const std::string text = read_small(path);
    return text.substr(0, text.find('\n'));
}

class V2 : public testing::Test {
protected:
    TestFolder tree;
    std::string root = tree.path();
    /// The group in which QEMU, process 100, is; vCPUs 101 and 102, in its own namespace 11 and 12.
    std::string home = root + "/cgroup/vms/vm";
    GroupFiles files;

    void SetUp() override {
        fs::create_directories(home);
        fs::create_directories(root + "/proc/self");
        put(root + "/proc/self/mountinfo",
            fmt::format("24 1 0:22 / /sys rw - sysfs sysfs rw\n31 24 0:26 / {}/cgroup rw,nosuid - cgroup2 cgroup2 rw",
                        root));
        for (const int tid : {100, 101, 102}) add_thread(tid);
        fill(home, "domain");
        put(home + "/cgroup.controllers", "cpu memory pids");
        put(home + "/cgroup.subtree_control", "");
        files = {root + "/proc", [](const std::string& folder) { return make(folder); },
                 [](const std::string& folder) { return remove(folder); },
                 [this](const std::string& folder) { return folder.starts_with(root + "/cgroup"); }};
    }

    void add_thread(int tid, int policy = 0) const {
        const std::string folder = fmt::format("{}/proc/100/task/{}", root, tid);
        fs::create_directories(folder);
        put(folder + "/status", fmt::format("Name:\tqemu\nNSpid:\t{}\t{}", tid, tid - 90));
        put(folder + "/cgroup", "0::/vms/vm");
        put(folder + "/schedstat", "2000000000 1000000000 7");
        std::vector<std::string> fields(50, "0");  // Behind the name.
        fields[0] = "S";
        fields[16] = "5";  // Nice.
        fields[38] = std::to_string(policy);
        put(folder + "/stat", fmt::format("{} (CPU 0/KVM) {}", tid, fmt::join(fields, " ")));
    }
    static void fill(const std::string& folder, const std::string& type) {
        put(folder + "/cgroup.type", type);
        put(folder + "/cgroup.threads", "");
        put(folder + "/cgroup.events", "populated 0\nfrozen 0");
        put(folder + "/cpu.max", "max 100000");
        put(folder + "/cpu.max.burst", "0");
        put(folder + "/cpu.weight.nice", "0");
    }
    static int make(const std::string& folder) {
        if (::mkdir(folder.c_str(), 0755) != 0) return errno;
        fill(folder, "domain");
        return 0;
    }
    static int remove(const std::string& folder) {
        if (!fs::exists(folder)) return ENOENT;
        // The kernel would list a thread in one group only; here it stays in the list that it was written into.
        fs::remove_all(folder);
        return 0;
    }
    Result<BrakeAnswer> open(CgroupBrake& brake, const std::vector<int>& threads = {11, 12}, double floor = 0.1) {
        return brake.perform(BrakeOpen{100, threads, Share{floor}});
    }
    std::string why_not(const std::vector<int>& threads = {11, 12}, double floor = 0.1) {
        CgroupBrake brake("7", files);
        const auto answer = open(brake, threads, floor);
        EXPECT_FALSE(answer);
        EXPECT_FALSE(fs::exists(home + "/segue-7-vcpu0")) << "nothing is left";
        return answer ? "" : to_string(answer.error());
    }
};

TEST_F(V2, MakesAThreadedGroupForEachVcpuAndTakesEverythingBack) {
    CgroupBrake brake("7", files);
    const auto ready = open(brake);
    ASSERT_TRUE(ready) << to_string(ready.error());
    EXPECT_EQ(std::get<BrakeReady>(*ready).undo, "v2+cpu segue-7 0 " + home);
    for (const auto& [name, tid] : {std::pair("/segue-7-vcpu0", "101"), std::pair("/segue-7-vcpu1", "102")}) {
        EXPECT_EQ(line_of(home + name + "/cgroup.type"), "threaded");
        EXPECT_EQ(line_of(home + name + "/cgroup.threads"), tid);
        EXPECT_EQ(line_of(home + name + "/cpu.max"), "max 100000") << "at full speed until it is told";
        EXPECT_EQ(line_of(home + name + "/cpu.weight.nice"), "5") << "as heavy as its thread was";
    }
    EXPECT_EQ(line_of(home + "/cgroup.subtree_control"), "+cpu");
    const auto held = brake.held();
    ASSERT_EQ(held.size(), 2U);
    EXPECT_TRUE(held[0].takes_back_cpu) << "the first made it possible";
    ASSERT_TRUE(brake.perform(BrakeSet{Share{0.1}}));
    EXPECT_EQ(line_of(home + "/segue-7-vcpu1/cpu.max"), "1001 9524");
    EXPECT_EQ(line_of(home + "/segue-7-vcpu1/cpu.max.burst"), "1001");
    ASSERT_TRUE(brake.perform(BrakeSet{all_of_it}));
    EXPECT_EQ(line_of(home + "/segue-7-vcpu1/cpu.max"), "max");
    ASSERT_TRUE(brake.perform(BrakeClose{}));
    EXPECT_FALSE(fs::exists(home + "/segue-7-vcpu0"));
    EXPECT_FALSE(fs::exists(home + "/segue-7-vcpu1"));
    EXPECT_EQ(line_of(home + "/cgroup.subtree_control"), "-cpu");
}

TEST_F(V2, LeavesCpuEnabledWhereItWasBefore) {
    put(home + "/cgroup.subtree_control", "cpu pids");
    put(home + "/cgroup.type", "domain threaded");
    CgroupBrake brake("7", files);
    const auto ready = open(brake);
    ASSERT_TRUE(ready) << to_string(ready.error());
    EXPECT_EQ(std::get<BrakeReady>(*ready).undo, "v2 segue-7 0 " + home);
    ASSERT_TRUE(brake.perform(BrakeClose{}));
    EXPECT_EQ(line_of(home + "/cgroup.subtree_control"), "cpu pids");
}

TEST_F(V2, LeavesCpuEnabledWhileAnotherGuestInTheSameGroupIsHeldByIt) {
    CgroupBrake brake("7", files);
    ASSERT_TRUE(open(brake));
    fs::create_directory(home + "/segue-8-vcpu0");
    ASSERT_TRUE(brake.perform(BrakeClose{}));
    EXPECT_EQ(line_of(home + "/cgroup.subtree_control"), "+cpu") << "what the kernel would take with it is not ours";
}

TEST_F(V2, WritesAFileOnlyWhenItsValueChanges) {
    CgroupBrake brake("7", files);
    ASSERT_TRUE(open(brake));
    ASSERT_TRUE(brake.perform(BrakeSet{Share{0.2}}));
    const std::string file = home + "/segue-7-vcpu0/cpu.max";
    const std::string before = line_of(file);
    // The same value with a mark behind it, which a second writing would take away.
    put(file, before + "\nmark that is longer than any quota");
    ASSERT_TRUE(brake.perform(BrakeSet{Share{0.2}}));
    EXPECT_NE(read_small(file).find("mark that is longer"), std::string::npos);
    // The guardian let go of a Segue that stood still: then the same share is written again.
    put(file, "max 100000");
    ASSERT_TRUE(brake.perform(BrakeSet{Share{0.2}}));
    EXPECT_EQ(line_of(file), before);
}

TEST_F(V2, IsUndoneFromTheLineOfADeadSegue) {
    std::string line;
    {
        CgroupBrake brake("7", files);
        line = std::get<BrakeReady>(*open(brake)).undo;
        // What it leaves when it is killed.
        fs::copy(home, root + "/kept", fs::copy_options::recursive);
    }
    fs::remove_all(home);
    fs::copy(root + "/kept", home, fs::copy_options::recursive);
    ASSERT_TRUE(fs::exists(home + "/segue-7-vcpu1"));
    EXPECT_TRUE(undo_brake(line, files));
    EXPECT_FALSE(fs::exists(home + "/segue-7-vcpu0"));
    EXPECT_FALSE(fs::exists(home + "/segue-7-vcpu1"));
    EXPECT_EQ(line_of(home + "/cgroup.threads"), "102") << "moved back";
    EXPECT_EQ(line_of(home + "/cgroup.subtree_control"), "-cpu");
    EXPECT_TRUE(undo_brake(line, files));
}

TEST_F(V2, RefusesAGroupWithoutTheCpuController) {
    put(home + "/cgroup.controllers", "memory pids");
    const std::string why = why_not();
    EXPECT_NE(why.find("cpu controller is not delegated to the group"), std::string::npos) << why;
    EXPECT_NE(why.find("Delegate=cpu"), std::string::npos) << why;
}

TEST_F(V2, RefusesWhereNoCpuControllerIsMounted) {
    put(root + "/proc/self/mountinfo", "24 1 0:22 / /sys rw - sysfs sysfs rw");
    EXPECT_NE(why_not().find("no cgroup with the cpu controller is mounted"), std::string::npos);
}

TEST_F(V2, RefusesAHomeThatCannotBeDividedAmongThreads) {
    put(home + "/cgroup.subtree_control", "memory");
    EXPECT_NE(why_not().find("it shares out memory among its groups"), std::string::npos) << why_not();
    put(home + "/cgroup.subtree_control", "");
    put(home + "/cgroup.type", "domain invalid");
    EXPECT_NE(why_not().find("its type is \"domain invalid\""), std::string::npos) << why_not();
    put(home + "/cgroup.type", "domain");
    ASSERT_EQ(make(home + "/other"), 0);
    put(home + "/other/cgroup.events", "populated 1\nfrozen 0");
    const std::string why = why_not();
    EXPECT_NE(why.find("its group other has processes"), std::string::npos) << why;
    EXPECT_NE(why.find("start the VM in a group of its own"), std::string::npos) << why;
    put(home + "/other/cgroup.events", "populated 0\nfrozen 0");
    CgroupBrake brake("7", files);
    EXPECT_TRUE(open(brake)) << "an empty one is in nobody's way";
}

TEST_F(V2, RefusesAQuotaOfAnyAncestorThatIsTooSmall) {
    put(root + "/cgroup/vms/cpu.max", "115000 100000");
    const std::string why = why_not({11, 12}, 0.1);
    EXPECT_NE(why.find(root + "/cgroup/vms is 1.15 CPUs, and 2 vCPUs at 10 %"), std::string::npos) << why;
    EXPECT_NE(why.find("need 1.21"), std::string::npos) << why;
    CgroupBrake brake("7", files);
    EXPECT_TRUE(open(brake, {11}, 0.1)) << "enough for one";
}

TEST_F(V2, CountsWhatTheVcpusRunAlsoWhereNoneCanBeBraked) {
    put(home + "/cgroup.controllers", "memory pids");
    CgroupBrake brake("7", files);
    ASSERT_FALSE(open(brake));
    ASSERT_TRUE(brake.perform(BrakeWatch{100, {11, 12}}));
    put(root + "/proc/100/task/101/schedstat", "3000000000 1000000000 7");
    const auto sample = brake.perform(BrakeRead{});
    ASSERT_TRUE(sample);
    EXPECT_EQ(std::get<BrakeSample>(*sample).worked, std::chrono::milliseconds{500}) << "the mean of both";
}

TEST_F(V2, CountsAThreadThatHadNotRunWhenItWasFound) {
    put(root + "/proc/100/task/101/schedstat", "0 0 0");
    CgroupBrake brake("7", files);
    ASSERT_TRUE(brake.perform(BrakeWatch{100, {11}}));
    EXPECT_FALSE(brake.perform(BrakeRead{})) << "or a kernel that shows nothing: nobody can tell";
    put(root + "/proc/100/task/101/schedstat", "40000000 0 3");
    const auto sample = brake.perform(BrakeRead{});
    ASSERT_TRUE(sample);
    EXPECT_EQ(std::get<BrakeSample>(*sample).worked, std::chrono::milliseconds{40});
}

TEST_F(V2, RefusesARealTimePolicyAndAThreadThatIsGone) {
    add_thread(102, 1);
    EXPECT_NE(why_not().find("vCPU thread 12 has a real-time policy"), std::string::npos) << why_not();
    EXPECT_NE(why_not({11, 13}).find("vCPU thread 13 of QEMU (process 100) is gone"), std::string::npos);
}

TEST_F(V2, ReadsTheMeanOfTheVcpusAndTheOneThatRanLeast) {
    CgroupBrake brake("7", files);
    ASSERT_TRUE(open(brake));
    put(root + "/proc/100/task/101/schedstat", "2300000000 1100000000 9");
    put(root + "/proc/100/task/102/schedstat", "2100000000 1500000000 9");
    const auto sample = std::get<BrakeSample>(*brake.perform(BrakeRead{}));
    EXPECT_EQ(sample.worked, std::chrono::milliseconds{200});
    EXPECT_EQ(sample.worked_least, std::chrono::milliseconds{100});
    EXPECT_EQ(sample.throttled, std::chrono::milliseconds{300});
    fs::remove_all(root + "/proc/100/task/102");  // Unplugged.
    EXPECT_EQ(std::get<BrakeSample>(*brake.perform(BrakeRead{})).worked, std::chrono::milliseconds{150});
}

}  // namespace
}  // namespace segue

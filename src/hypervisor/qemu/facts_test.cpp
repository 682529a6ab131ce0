#include <fstream>

#include "hypervisor/qemu/real_qemu_test.hpp"

namespace segue::qemu {
namespace {

using std::chrono::milliseconds;

struct Facts : QemuTest {
    GuestFacts of_source(const RealQemu& qemu) {
        AskedSrc src(loop, qemu.monitor());
        return src.must<GuestFacts>(SrcInspect{});
    }
    GuestFacts of_destination(const RealQemu& qemu) {
        AskedDst dst(loop, qemu.monitor());
        return dst.must<GuestFacts>(DstInspect{});
    }
};

void make_file(const std::string& path) {
    std::ofstream file(path);
    file << std::string(512 * 1024, '\0');
}

bool has(const GuestFacts& facts, const Device& device) {
    return std::ranges::find(facts.devices, device) != facts.devices.end();
}

TEST_P(Facts, say_what_a_source_is) {
    const auto qemu = source({"-name", "db1", "-smp", "2", "-device", "virtio-rng-pci,id=dice", "-device",
                              "pci-bridge,id=bridge,chassis_nr=1", "-device",
                              "virtio-rng-pci,bus=bridge,addr=3", "-serial", "null",
                              "-uuid", "9d2dcf0c-7a9c-4b0a-8d0e-2f3b8f0f9c11"});
    AskedSrc src(loop, qemu->monitor());
    const Instant before = loop.now();
    const auto facts = src.must<GuestFacts>(SrcInspect{});
    const Duration took = loop.now() - before;
    RecordProperty("inspect_us", static_cast<int>(took.count() / 1000));
    EXPECT_LT(took, milliseconds{250});  // 15 to 25 ms when nothing else runs.
    EXPECT_TRUE(facts.version.starts_with(GetParam())) << facts.version;
    EXPECT_EQ(facts.name, "db1");
    EXPECT_EQ(facts.uuid, "9d2dcf0c-7a9c-4b0a-8d0e-2f3b8f0f9c11");
    EXPECT_EQ(facts.run_state, RunState::running);
    EXPECT_EQ(facts.run_state_word, "running");
    EXPECT_EQ(facts.migration, MigrationStatus::none);
    EXPECT_EQ(facts.machine_type, GetParam() == "10" ? "pc-i440fx-10.0" : "pc-i440fx-7.2");
    EXPECT_EQ(facts.cpu_type, "qemu64-x86_64-cpu");
    EXPECT_NE(facts.cpu_features.find("1.EDX="), std::string::npos) << facts.cpu_features;
    EXPECT_NE(facts.cpu_features.find("vendor=\"AuthenticAMD\""), std::string::npos) << facts.cpu_features;
    EXPECT_EQ(facts.vcpus, 2);
    ASSERT_EQ(facts.vcpu_threads.size(), 2U);
    for (const int thread : facts.vcpu_threads) {
        EXPECT_NE(thread, facts.pid) << "the main loop is no vCPU";
        EXPECT_TRUE(std::ifstream("/proc/" + std::to_string(facts.pid) + "/task/" + std::to_string(thread) + "/stat"));
    }
    EXPECT_NE(facts.vcpu_threads[0], facts.vcpu_threads[1]);
    EXPECT_EQ(facts.memory, mebibytes(130));
    EXPECT_TRUE(has(facts, {"dice", "virtio-rng-pci"}));
    EXPECT_TRUE(has(facts, {"peripheral-anon", "virtio-rng-pci"}));
    EXPECT_TRUE(has(facts, {"unattached", "isa-serial"}));
    EXPECT_TRUE(has(facts, {"pci 02.0", "1af4:1005 1af4:0004"}));
    EXPECT_TRUE(std::ranges::is_sorted(facts.devices));
    EXPECT_TRUE(facts.blockers.empty());
    EXPECT_TRUE(facts.missing_features.empty());
    EXPECT_EQ(facts.native_switchover_bandwidth, GetParam() == "10");
    EXPECT_TRUE(facts.out_of_band);
    EXPECT_FALSE(facts.hardware_accelerated);
    EXPECT_EQ(facts.pid, qemu->pid());
}

TEST_P(Facts, of_twins_on_both_sides_agree_before_the_firmware_has_run_too) {
    const std::vector<std::string> devices{"-device", "pci-bridge,id=bridge,chassis_nr=1", "-device",
                                           "virtio-rng-pci,bus=bridge,addr=3", "-drive", "if=ide,media=cdrom"};
    const auto src = source(devices);
    const auto dst = destination(devices);
    run_until(loop, [start = loop.now(), this] { return loop.now() - start > milliseconds{300}; });
    const GuestFacts here = of_source(*src);
    const GuestFacts there = of_destination(*dst);
    EXPECT_EQ(here.devices, there.devices);
    EXPECT_EQ(here.cpu_features, there.cpu_features);
    EXPECT_EQ(here.cpu_type, there.cpu_type);
    EXPECT_EQ(here.machine_type, there.machine_type);
    // A guest that has run its firmware and nothing else has filled next to nothing.
    ASSERT_TRUE(here.content);
    EXPECT_LT(*here.content, mebibytes(16));
    EXPECT_GT(here.resident, *here.content);
    EXPECT_FALSE(there.content);
    EXPECT_EQ(there.run_state, RunState::inmigrate);
    EXPECT_TRUE(there.missing_features.empty());
    EXPECT_EQ(there.pid, dst->pid());
}

TEST_P(Facts, name_a_thread_once_that_runs_all_vcpus) {
    const GuestFacts facts = of_source(*source({"-smp", "2", "-accel", "tcg,thread=single"}));
    EXPECT_EQ(facts.vcpus, 2);
    EXPECT_EQ(facts.vcpu_threads.size(), 1U);
}

TEST_P(Facts, tell_cpus_apart) {
    const GuestFacts plain = of_source(*source());
    const GuestFacts without = of_source(*source({"-cpu", "qemu64,-sse3"}));
    const GuestFacts other_model = of_source(*source({"-cpu", "qemu64,model=7"}));
    EXPECT_EQ(plain.cpu_type, without.cpu_type);
    EXPECT_NE(plain.cpu_features, without.cpu_features);
    EXPECT_NE(plain.cpu_features, other_model.cpu_features);
}

TEST_P(Facts, find_every_writable_image_once) {
    const TestFolder own;
    const std::string& folder = own.path();
    for (const char* name : {"/a.img", "/b.img", "/c.img", "/ro.img"}) make_file(folder + name);
    const auto qemu = source(
        {"-drive", "file=" + folder + "/a.img,format=raw,if=ide", "-blockdev",
         "driver=file,filename=" + folder + "/b.img,node-name=b-file", "-blockdev",
         "driver=raw,file=b-file,node-name=b", "-device", "virtio-blk-pci,drive=b,id=disk", "-blockdev",
         "driver=file,filename=" + folder + "/c.img,node-name=c-file", "-drive",
         "file=" + folder + "/ro.img,format=raw,if=none,readonly=on,id=ro", "-device", "virtio-blk-pci,drive=ro",
         "-drive", "file=null-co://,format=raw,if=none,id=nowhere", "-device", "virtio-blk-pci,drive=nowhere"});
    GuestFacts facts = of_source(*qemu);
    std::ranges::sort(facts.images, {}, &Image::file);
    ASSERT_EQ(facts.images.size(), 4U);
    EXPECT_EQ(facts.images[0].file, "");
    EXPECT_EQ(facts.images[1].file, folder + "/a.img");
    EXPECT_EQ(facts.images[2].file, folder + "/b.img");
    EXPECT_EQ(facts.images[2].node, "b");
    EXPECT_EQ(facts.images[3].node, "c-file");
}

TEST_P(Facts, say_what_is_open_below_each_disk_on_both_sides) {
    const TestFolder own;
    const std::string& folder = own.path();
    for (const char* name : {"/a.img", "/b.img", "/ro.img"}) make_file(folder + name);
    const auto words = [&](const char* second) {
        return std::vector<std::string>{
            "-drive", "file=" + folder + "/a.img,format=raw,if=none,id=disk0,cache=none", "-device",
            "ide-hd,drive=disk0", "-blockdev",
            "driver=raw,node-name=b,cache.direct=off,file.driver=file,file.filename=" + folder + second, "-device",
            "virtio-blk-pci,drive=b,id=disk", "-drive",
            "file=" + folder + "/ro.img,format=raw,if=none,readonly=on,id=ro", "-device", "virtio-blk-pci,drive=ro",
            "-drive", "file=null-co://,format=raw,if=none,id=nowhere", "-device", "virtio-blk-pci,drive=nowhere"};
    };
    const GuestFacts here = of_source(*source(words("/b.img")));
    const GuestFacts there = of_destination(*destination(words("/b.img")));
    ASSERT_TRUE(here.disks_known);
    ASSERT_EQ(here.disks.size(), 4U);
    const auto at = [](const GuestFacts& facts, const std::string& place) {
        const auto found = std::ranges::find(facts.disks, place, &Disk::place);
        EXPECT_NE(found, facts.disks.end()) << place;
        return found == facts.disks.end() ? Disk{} : *found;
    };
    const std::string node = "/machine/peripheral/disk/virtio-backend";
    EXPECT_TRUE(at(here, "disk0").direct && !at(here, node).direct);
    EXPECT_TRUE(at(here, "disk0").writable && at(here, node).writable && !at(here, "ro").writable);
    for (const std::string& place : {std::string("disk0"), node, std::string("ro")}) {
        EXPECT_TRUE(at(here, place).storage.seen) << place;
        EXPECT_EQ(at(here, place).storage.size, Bytes{512 * 1024});
        // What waits for a move has its disks open all the same.
        EXPECT_EQ(at(here, place).storage, at(there, place).storage) << place;
    }
    EXPECT_EQ(at(here, "nowhere").file, "null-co://");
    EXPECT_EQ(here.host.boot, there.host.boot);
    const GuestFacts other = of_destination(*destination(words("/a.img")));
    EXPECT_NE(at(here, node).storage.inode, at(other, node).storage.inode);
}

TEST_P(Facts, resolve_an_image_given_relative_to_qemu) {
    // The working directory of a RealQemu is its folder, and only there `log` exists.
    const auto qemu = source({"-blockdev", "driver=file,filename=log,node-name=relative,locking=off"});
    const GuestFacts facts = of_source(*qemu);
    ASSERT_EQ(facts.images.size(), 1U);
    EXPECT_EQ(facts.images[0].file, qemu->folder() + "/log");
}

TEST_P(Facts, repeat_what_blocks_a_move) {
    const auto qemu = source({"-drive", "file=null-co://,format=raw,if=none,id=d", "-device", "nvme,serial=1,drive=d"});
    const GuestFacts facts = of_source(*qemu);
    ASSERT_EQ(facts.blockers.size(), 1U);
    EXPECT_NE(facts.blockers[0].find("nvme"), std::string::npos) << facts.blockers[0];
}

INSTANTIATE_TEST_SUITE_P(Real, Facts, testing::ValuesIn(qemu_versions()), version_name);

TEST(NoQemu, is_an_error_that_names_the_side) {
    Loop loop;
    std::optional<Result<void>> ready;
    SrcGuest guest(loop, "/nonexistent/monitor", [&](Result<void> result) { ready = std::move(result); },
                   [](const GuestNotice&) { ADD_FAILURE() << "a notice before readiness"; });
    EXPECT_FALSE(ready);
    run_until(loop, [&] { return ready.has_value(); });
    ASSERT_TRUE(ready && !*ready);
    EXPECT_NE((*ready).error().message.find("source"), std::string::npos);
}

}  // namespace
}  // namespace segue::qemu

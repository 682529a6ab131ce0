#include "hypervisor/qemu/storage.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>

#include "base/folder_test.hpp"
#include "hypervisor/qemu/host.hpp"
#include "hypervisor/qemu/machine_facts.hpp"

namespace segue::qemu {
namespace {

namespace fs = std::filesystem;

struct StorageTest : testing::Test {
    void put(const std::string& path, const std::string& text) {
        fs::create_directories(fs::path(folder + path).parent_path());
        std::ofstream(folder + path) << text;
    }
    TestFolder own;
    std::string folder = own.path();
};

TEST_F(StorageTest, is_what_the_process_has_open) {
    put("/a.raw", "12345");
    const std::string path = folder + "/a.raw";
    EXPECT_FALSE(OpenFiles(::getpid()).at(path).seen) << "nobody has it open";
    const std::ifstream held(path);
    fs::create_symlink("a.raw", folder + "/link");
    const Storage found = OpenFiles(::getpid()).at(folder + "/link");
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_TRUE(found.seen);
    EXPECT_FALSE(found.block);
    EXPECT_EQ(found.inode, std::to_string(status.st_ino));
    EXPECT_EQ(found.size, Bytes{5});
    EXPECT_FALSE(found.filesystem.empty());
    EXPECT_FALSE(found.source.empty());
    EXPECT_TRUE(found.wwid.empty());
    // The path has been given to another file since.
    fs::remove(path);
    put("/a.raw", "12345");
    EXPECT_FALSE(OpenFiles(::getpid()).at(path).seen);
    EXPECT_FALSE(OpenFiles(::getpid()).at("a.raw").seen);
    EXPECT_FALSE(OpenFiles(::getpid()).at(folder).seen);
}

TEST(Mounts, are_found_by_their_id) {
    constexpr std::string_view text = "36 35 98:0 / /a rw,noatime shared:1 - ext4 /dev/sda1 rw\n"
                                      "360 35 0:51 / /with\\040blank rw - nfs4 filer:/v\\040m rw,vers=4.2\n"
                                      "37 35 0:52 / /b rw master:1 propagate_from:2 - tmpfs tmpfs rw";
    EXPECT_EQ(mount_of(text, 36), (std::pair<std::string, std::string>{"ext4", "/dev/sda1"}));
    EXPECT_EQ(mount_of(text, 360), (std::pair<std::string, std::string>{"nfs4", "filer:/v m"}));
    EXPECT_EQ(mount_of(text, 37), (std::pair<std::string, std::string>{"tmpfs", "tmpfs"}));
    EXPECT_EQ(mount_of(text, 3), (std::pair<std::string, std::string>{}));
    EXPECT_EQ(mount_of("", 3), (std::pair<std::string, std::string>{}));
}

TEST_F(StorageTest, of_a_block_device_is_named_by_what_lies_at_the_bottom) {
    put("/sda/device/wwid", "naa.6001ABC\n");
    put("/sda/sda2/partition", "2\n");
    put("/sdb/device/wwid", "t10.ATA     QEMU HARDDISK    QM00001   \n");
    put("/nvme/wwid", "eui.0025\n");
    put("/mpath/dm/uuid", "mpath-36001abc\n");
    put("/lv/dm/uuid", "LVM-vgUUIDlvUUID\n");
    put("/lv/slaves/x", "");
    fs::remove(folder + "/lv/slaves/x");
    fs::create_directory_symlink(folder + "/mpath", folder + "/lv/slaves/dm-1");
    fs::create_directory_symlink(folder + "/nvme", folder + "/lv/slaves/nvme0n1");
    put("/crypt/dm/uuid", "CRYPT-LUKS2-1\n");
    put("/crypt/slaves/x", "");
    fs::remove(folder + "/crypt/slaves/x");
    fs::create_directory_symlink(folder + "/lv", folder + "/crypt/slaves/dm-2");
    put("/loop/size", "1\n");
    EXPECT_EQ(wwid_of(folder + "/sda"), "naa.6001abc");
    EXPECT_EQ(wwid_of(folder + "/sda/sda2"), "naa.6001abc part 2");
    EXPECT_EQ(wwid_of(folder + "/sdb"), "t10.ata_____qemu_harddisk____qm00001");
    EXPECT_EQ(wwid_of(folder + "/nvme"), "eui.0025");
    EXPECT_EQ(wwid_of(folder + "/mpath"), "naa.6001abc") << "as the kernel names the same LUN without multipath";
    EXPECT_EQ(wwid_of(folder + "/lv"), "LVM-vgUUIDlvUUID on naa.6001abc,eui.0025");
    EXPECT_EQ(wwid_of(folder + "/crypt"), "CRYPT-LUKS2-1 on naa.6001abc,eui.0025");
    EXPECT_EQ(wwid_of(folder + "/loop"), "");
}

TEST(Host, says_what_it_has) {
    EXPECT_EQ(kilobytes_in("MemTotal:  10 kB\nMemAvailable:    7 kB\nX: 1 kB\n", "MemAvailable"), 7 * 1024);
    EXPECT_EQ(kilobytes_in("MemTotal:  10 kB\n", "Mem"), -1);
    EXPECT_EQ(kilobytes_in("", "Mem"), -1);
    const HostFacts facts = read_host(::getpid());
    EXPECT_EQ(facts.boot.size(), 36U);
    EXPECT_GT(facts.memory_available.count, 0);
    EXPECT_GT(facts.memory_taken.count, 0);
    EXPECT_GT(facts.wall_ms, 1'600'000'000'000);
    EXPECT_EQ(read_host(0).boot, facts.boot);
}

TEST(MemoryTaken, counts_huge_pages_beside_what_is_resident) {
    const std::string status = "Name:\tqemu-system-x86\nVmRSS:\t   71000 kB\nRssAnon:\t   50000 kB\n"
                               "RssFile:\t   20000 kB\nRssShmem:\t    1000 kB\nHugetlbPages:\t  204800 kB\n";
    EXPECT_EQ(memory_taken_in(status), Bytes{(50'000 + 1'000 + 204'800) * 1024});
    EXPECT_EQ(memory_taken_in(status, Bytes{300 << 20}), Bytes{51'000 * 1024 + (300 << 20)}) << "touched or not";
    EXPECT_EQ(memory_taken_in(status, Bytes{100 << 20}), memory_taken_in(status));
    EXPECT_EQ(memory_taken_in("RssAnon:\t 4 kB\n"), Bytes{4096}) << "a kernel without huge pages";
    EXPECT_EQ(memory_taken_in(""), Bytes{0});
    EXPECT_GT(memory_taken_by(::getpid()), Bytes{0});
    EXPECT_EQ(memory_taken_by(0), Bytes{0});
}

TEST(MemoryGroups, are_those_of_both_versions_up_to_the_root) {
    EXPECT_EQ(memory_groups("5:cpu,cpuacct:/c\n4:memory:/a/b\n0::/s/t\n", "/2", "/1"),
              (std::vector<std::string>{"/1/a/b", "/1/a", "/1", "/2/s/t", "/2/s", "/2"}));
    EXPECT_EQ(memory_groups("0::/\n", "/2", "/1"), (std::vector<std::string>{"/2"}));
    EXPECT_TRUE(memory_groups("nonsense", "/2", "/1").empty());
}

TEST(Disks, are_named_by_their_device_with_their_backing_files) {
    const auto block = boost::json::parse(R"([
        {"device": "disk0", "qdev": "/machine/x", "inserted": {"ro": false, "node-name": "#block1", "file": "/v/top",
         "image": {"filename": "/v/top", "backing-image": {"filename": "/v/base"}}}},
        {"device": "", "qdev": "/machine/peripheral/d/virtio-backend", "inserted": {"ro": false, "file": "nbd://f/a",
         "image": {"filename": "nbd://f/a"}}},
        {"device": "cd"},
        {"device": "pflash0", "inserted": {"ro": true, "file": "OVMF.fd", "image": {"filename": "OVMF.fd"}}}])");
    const auto nodes = boost::json::parse(R"([
        {"node-name": "#block2", "drv": "file", "file": "/v/top", "ro": false, "cache": {"direct": true}},
        {"node-name": "#block1", "drv": "qcow2", "file": "/v/top", "ro": false},
        {"node-name": "#block3", "drv": "file", "file": "/v/base", "ro": true, "cache": {"no-flush": true}},
        {"node-name": "data", "drv": "file", "file": "/v/data", "ro": false},
        {"node-name": "n", "drv": "nbd", "file": "nbd://f/a", "ro": false},
        {"node-name": "#block4", "drv": "file", "file": "OVMF.fd", "ro": true}])");
    const auto found = disks(block, nodes, "/w");
    ASSERT_EQ(found.size(), 5U);
    EXPECT_EQ(found[0], (Disk{"disk0", "/v/top", true, true, false, true, false, {}}));
    EXPECT_EQ(found[1], (Disk{"disk0, backing file 1", "/v/base", false, false, true, true, false, {}}));
    EXPECT_EQ(found[2], (Disk{"/machine/peripheral/d/virtio-backend", "nbd://f/a", true, false, false, false, false, {}}));
    EXPECT_EQ(found[3], (Disk{"pflash0", "/w/OVMF.fd", false, false, false, true, true, {}}));
    EXPECT_EQ(found[4], (Disk{"node data", "/v/data", true, false, false, true, false, {}}));
}

TEST(MemoryBackends, are_those_that_may_be_huge_pages) {
    const auto list = boost::json::parse(R"([{"name": "m", "type": "child<memory-backend-file>"},
        {"name": "r", "type": "child<memory-backend-ram>"}, {"name": "f", "type": "child<memory-backend-memfd>"}])");
    EXPECT_EQ(memory_backends(list), (std::vector<std::string>{"/objects/m", "/objects/f"}));
}

}  // namespace
}  // namespace segue::qemu

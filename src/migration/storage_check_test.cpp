#include "migration/storage_check.hpp"

#include <gtest/gtest.h>

namespace segue {
namespace {

Disk file(std::string filesystem, std::string source, std::string inode, std::int64_t size = 4096) {
    Disk disk{"disk0", "/srv/vms/a.raw", true, true, false, true, false, {}};
    disk.storage = {true, false, "0:50", std::move(inode), {size}, std::move(filesystem), std::move(source), ""};
    return disk;
}

Disk device(std::string wwid, std::string number = "8:16") {
    Disk disk{"disk0", "/dev/mapper/a", true, true, false, true, false, {}};
    disk.storage = {true, true, std::move(number), "", {4096}, "", "", std::move(wwid)};
    return disk;
}

Disk remote(std::string url) { return {"disk0", std::move(url), true, false, false, false, false, {}}; }

Disk with(Disk disk, void (*change)(Disk&)) {
    change(disk);
    return disk;
}

enum class Kernels { one, two, unknown };

DiskVerdict verdict(const Disk& src, const std::vector<Disk>& dst, Kernels kernels = Kernels::two) {
    GuestFacts a;
    GuestFacts b;
    a.disks_known = b.disks_known = true;
    a.disks = {src};
    b.disks = dst;
    if (kernels != Kernels::unknown) {
        a.host.boot = "1";
        b.host.boot = kernels == Kernels::one ? "1" : "2";
    }
    const auto all = compare_disks(a, b);
    EXPECT_EQ(all.size(), 1U);
    return all.at(0);
}

struct Case {
    const char* name;
    Disk src;
    Disk dst;
    Kernels kernels;
    Shared shared;
};

void unseen(Disk& disk) { disk.storage = {}; }
void read_only(Disk& disk) { disk.writable = false; }
void flash(Disk& disk) { disk.flash = true; }
Disk nfs(std::string inode, std::int64_t size = 4096) { return file("nfs4", "f:/v", std::move(inode), size); }

void check(const std::vector<Case>& cases) {
    for (const Case& one : cases) {
        const DiskVerdict found = verdict(one.src, {one.dst}, one.kernels);
        EXPECT_EQ(found.shared, one.shared) << one.name << ": " << found.because;
        EXPECT_FALSE(found.because.empty()) << one.name;
    }
}

TEST(Storage, of_files_is_shared_only_where_what_was_read_proves_it) {
    check({
        {"one host, one inode", file("ext4", "/dev/a", "7"), file("ext4", "/dev/a", "7"), Kernels::one, Shared::yes},
        {"one host, two inodes", file("ext4", "/dev/a", "7"), file("ext4", "/dev/a", "8"), Kernels::one, Shared::no},
        {"two hosts, ext4 twice, all numbers alike", file("ext4", "/dev/sda1", "7"), file("ext4", "/dev/sda1", "7"),
         Kernels::two, Shared::no},
        {"an older segue there", nfs("7"), nfs("7"), Kernels::unknown, Shared::unknown},
        {"one export", nfs("7"), nfs("7"), Kernels::two, Shared::yes},
        {"one export, versions 3 and 4", file("nfs", "f:/v", "7"), nfs("7"), Kernels::two, Shared::yes},
        {"one export, another file", nfs("7"), nfs("8"), Kernels::two, Shared::no},
        {"one export, other sizes", nfs("7", 1), nfs("7", 2), Kernels::two,
         Shared::unknown},
        {"by two names of a server", nfs("7"), file("nfs4", "10.0.0.1:/v", "7"), Kernels::two,
         Shared::unknown},
        {"localhost is another host there", file("nfs4", "localhost:/v", "7"), file("nfs4", "localhost:/v", "7"),
         Kernels::two, Shared::unknown},
        {"[::1] too", file("nfs4", "[::1]:/v", "7"), file("nfs4", "[::1]:/v", "7"), Kernels::two, Shared::unknown},
        {"a server's own disk, and NFS from it", file("ext4", "/dev/a", "7"), file("nfs4", "a:/v", "7"), Kernels::two,
         Shared::unknown},
        {"a share of Windows", file("cifs", "//f/v", "7"), file("cifs", "//f/v", "7"), Kernels::two, Shared::yes},
        {"something in user space", file("fuse.x", "x", "7"), file("fuse.x", "x", "7"), Kernels::two, Shared::unknown},
        {"gluster by one name", file("fuse.glusterfs", "g:/v", "7"), file("fuse.glusterfs", "g:/v", "7"), Kernels::two,
         Shared::yes},
        {"not to be seen here", with(nfs("7"), unseen), nfs("7"), Kernels::one,
         Shared::unknown},
        {"not to be seen there", nfs("7"), with(nfs("7"), unseen), Kernels::one,
         Shared::unknown},
    });
}

TEST(Storage, of_devices_is_known_by_its_wwid) {
    check({
        {"a file and a device", nfs("7"), device("naa.1"), Kernels::two, Shared::no},
        {"one LUN", device("naa.6001"), device("naa.6001", "8:32"), Kernels::two, Shared::yes},
        {"two LUNs", device("naa.6001"), device("naa.6002"), Kernels::two, Shared::no},
        {"no WWID", device(""), device("naa.6001"), Kernels::two, Shared::unknown},
        {"every virtual disk of some maker", device("t10.ata_qemu_harddisk_qm00001"),
         device("t10.ata_qemu_harddisk_qm00001"), Kernels::two, Shared::unknown},
        {"its second partition", device("naa.6001 part 2"), device("naa.6001 part 2"), Kernels::two, Shared::yes},
        {"another partition", device("naa.6001 part 2"), device("naa.6001 part 1"), Kernels::two, Shared::no},
        {"one volume", device("LVM-x on naa.1,naa.2"), device("LVM-x on naa.2,naa.1"), Kernels::two, Shared::yes},
        {"a volume that was copied with its disk", device("LVM-x on naa.1"), device("LVM-x on naa.2"), Kernels::two,
         Shared::no},
        {"another volume of one disk", device("LVM-x on t10.1"), device("LVM-y on t10.1"), Kernels::two, Shared::no},
        {"one volume on what has no name", device("LVM-x on t10.1"), device("LVM-x on t10.1"), Kernels::two,
         Shared::unknown},
        {"one device of one host", device("", "253:1"), device("", "253:1"), Kernels::one, Shared::yes},
        {"two devices of one host", device("", "253:1"), device("", "253:2"), Kernels::one, Shared::no},
        {"two ways to one LUN", device("naa.1", "8:1"), device("naa.1", "8:2"), Kernels::one, Shared::yes},
    });
}

TEST(Storage, on_the_network_is_known_by_its_url_and_firmware_travels_with_the_guest) {
    check({
        {"one URL", remote("nbd://filer:10809/a"), remote("nbd://filer:10809/a"), Kernels::two, Shared::yes},
        {"two URLs", remote("nbd://filer/a"), remote("nbd://filer/b"), Kernels::two, Shared::unknown},
        {"a URL of this host", remote("nbd://127.0.0.1/a"), remote("nbd://127.0.0.1/a"), Kernels::two, Shared::unknown},
        {"a socket", remote("nbd+unix:///a?socket=/s"), remote("nbd+unix:///a?socket=/s"), Kernels::two, Shared::unknown},
        {"a cluster that the text does not name", remote("rbd:pool/a"), remote("rbd:pool/a"), Kernels::two,
         Shared::unknown},
        {"nothing at all", remote("null-co://"), remote("null-co://"), Kernels::two, Shared::yes},
        {"a file here, the network there", nfs("7"), remote("nbd://filer/a"), Kernels::two,
         Shared::unknown},
        {"a CD that may be a copy", with(file("ext4", "/dev/a", "7"), read_only),
         with(file("ext4", "/dev/a", "8"), read_only), Kernels::two, Shared::unknown},
        {"a CD that is none", with(file("ext4", "/dev/a", "7", 1), read_only),
         with(file("ext4", "/dev/a", "8", 2), read_only), Kernels::two, Shared::no},
        {"firmware", with(file("ext4", "/dev/a", "7"), flash), with(file("ext4", "/dev/b", "8"), flash), Kernels::two,
         Shared::yes},
        {"firmware of another size", with(file("ext4", "/dev/a", "7", 1), flash),
         with(file("ext4", "/dev/b", "8", 2), flash), Kernels::two, Shared::no},
    });
}

TEST(Storage, is_compared_disk_by_disk) {
    Disk second = file("nfs4", "f:/v", "8");
    second.place = "disk1";
    // The right files, the wrong way round.
    Disk swapped = file("nfs4", "f:/v", "7");
    swapped.place = "disk1";
    Disk other = second;
    other.place = "disk0";
    EXPECT_EQ(verdict(second, {other, swapped}).shared, Shared::no);
    EXPECT_EQ(verdict(second, {}).shared, Shared::no);
    EXPECT_EQ(verdict(second, {}).because, "the destination has no such disk");
    // Nodes without a name are numbered as they come.
    Disk nameless = file("nfs4", "f:/v", "7");
    nameless.place = "node #block012";
    Disk its_twin = nameless;
    its_twin.place = "node #block044";
    EXPECT_EQ(verdict(nameless, {its_twin}).shared, Shared::yes);
    GuestFacts old;
    GuestFacts here;
    here.disks = {second};
    EXPECT_EQ(compare_disks(here, old).at(0).shared, Shared::unknown);
}

TEST(Storage, that_is_unknown_is_the_operators_word_and_that_is_another_is_not) {
    const auto unknown = verdict(device("", "8:1"), {device("", "8:1")});
    ASSERT_EQ(disk_findings({unknown}, false).size(), 1U);
    EXPECT_EQ(disk_findings({unknown}, false)[0].code, "disk-unknown");
    EXPECT_NE(disk_findings({unknown}, false)[0].remedy.find("--storage-is-shared"), std::string::npos);
    EXPECT_TRUE(disk_findings({unknown}, true).empty());
    const auto other = verdict(device("naa.1"), {device("naa.2")});
    ASSERT_EQ(disk_findings({other}, true).size(), 1U);
    EXPECT_EQ(disk_findings({other}, true)[0].code, "disk-not-shared");
    EXPECT_TRUE(disk_findings({verdict(device("naa.1"), {device("naa.1")})}, false).empty());
}

TEST(Cache, is_coherent_past_the_page_cache_on_one_host_and_where_the_filesystem_sees_to_it) {
    const auto cached = [](Disk& disk) { disk.direct = false; };
    const auto file7 = nfs("7");
    EXPECT_TRUE(cache_findings({verdict(file7, {file7})}).empty());
    for (const auto& [src, dst] : {std::pair{with(file7, cached), file7}, std::pair{file7, with(file7, cached)},
                                   std::pair{with(file7, [](Disk& disk) { disk.no_flush = true; }), file7}}) {
        const auto findings = cache_findings({verdict(src, {dst})});
        ASSERT_EQ(findings.size(), 1U);
        EXPECT_EQ(findings[0].code, "disk-cache");
        EXPECT_NE(findings[0].remedy.find("--unsafe"), std::string::npos);
        EXPECT_TRUE(cache_findings({verdict(src, {dst}, Kernels::one)}).empty());
    }
    const auto ceph = with(file("ceph", "mon:/v", "7"), cached);
    EXPECT_TRUE(cache_findings({verdict(ceph, {ceph})}).empty());
    const auto read = with(file7, [](Disk& disk) { disk.direct = disk.writable = false; });
    EXPECT_TRUE(cache_findings({verdict(read, {read})}).empty());
    EXPECT_FALSE(cache_findings({verdict(with(file7, cached), {file7}, Kernels::unknown)}).empty());
}

}  // namespace
}  // namespace segue

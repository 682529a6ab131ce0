#include "vm/foreign.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>

namespace segue::vm {
namespace {

std::vector<std::string> split(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    return words;
}

ForeignGuest guest(const std::string& words) {
    ForeignGuest it;
    it.argv = split(words);
    it.program = "/usr/bin/qemu-system-x86_64";
    it.folder = "/";
    it.machine_type = "pc-q35-7.2";
    it.monitor = "/run/a.qmp";
    return it;
}

std::string command(const ForeignGuest& it) {
    const auto made = foreign_command(it);
    if (made) return fmt::format("{}", fmt::join(*made, " "));
    return fmt::format("refused: {}", fmt::join(made.error(), " | "));
}

const std::string ours = " -qmp unix:/run/a.qmp.segue,server=on,wait=off";
const std::string waits = " -S -incoming defer";

TEST(Foreign, says_anew_what_is_of_the_start_and_keeps_the_rest) {
    EXPECT_EQ(command(guest("/bin/qemu -daemonize -S -pidfile /run/a.pid -M q35,accel=kvm -incoming tcp:0:1 -loadvm x "
                            "--qmp unix:/run/a.qmp,server,nowait -nodefaults -m 1G")),
              "/bin/qemu" + ours + " -pidfile /run/a.pid -M pc-q35-7.2,accel=kvm --qmp unix:/run/a.qmp,server,nowait "
              "-nodefaults -m 1G" + waits);
    EXPECT_EQ(command(guest("qemu disk.img")),
              "/usr/bin/qemu-system-x86_64" + ours + " -machine pc-q35-7.2 disk.img" + waits);
}

TEST(Foreign, names_the_machine_by_its_version_only) {
    const auto machine = [](const std::string& words) {
        return command(guest("/q " + words)).substr(std::string("/q").size() + ours.size());
    };
    EXPECT_EQ(machine("-machine pc"), " -machine pc-q35-7.2" + waits);
    EXPECT_EQ(machine("-machine type=pc,vmport=off"), " -machine type=pc-q35-7.2,vmport=off" + waits);
    EXPECT_EQ(machine("-machine accel=tcg"), " -machine type=pc-q35-7.2,accel=tcg" + waits);
    EXPECT_EQ(machine("-M q35 -machine smm=off"), " -M pc-q35-7.2 -machine type=pc-q35-7.2,smm=off" + waits);
}

TEST(Foreign, starts_where_it_was_started_with_what_qemu_reads) {
    ForeignGuest it = guest("/lib/ld-linux-x86-64.so.2 --argv0 q --library-path /l /bin/qemu -S -kernel guest.elf");
    it.folder = "/srv/a";
    it.environment = {"PASSWORD=x", "QEMU_MODULE_DIR=/m", "HOME=/root"};
    EXPECT_EQ(command(it), "/usr/bin/env -C /srv/a QEMU_MODULE_DIR=/m /lib/ld-linux-x86-64.so.2 --argv0 q "
                           "--library-path /l /bin/qemu" + ours + " -machine pc-q35-7.2 -kernel guest.elf" + waits);
}

TEST(Foreign, changes_paths_only_as_whole_folders) {
    const std::vector<PathChange> paths{{"/srv/a", "/srv/b"}, {"/run", "/var/run"}};
    EXPECT_EQ(change_paths("/srv/a", paths), "/srv/b");
    EXPECT_EQ(change_paths("file=/srv/a/x,logfile=/srv/ab/y", paths), "file=/srv/b/x,logfile=/srv/ab/y");
    EXPECT_EQ(change_paths(R"({"filename": "/srv/a/x", "b": "/x/srv/a"})", paths),
              R"({"filename": "/srv/b/x", "b": "/x/srv/a"})");
    EXPECT_EQ(change_paths("unix:/run/a.qmp,server", paths), "unix:/var/run/a.qmp,server");
    EXPECT_EQ(change_paths("", paths), "");
}

TEST(Foreign, has_one_monitor_of_segue_whichever_way_it_goes) {
    ForeignGuest it = guest("/q -qmp unix:/run/a.qmp.segue,server=on,wait=off -qmp unix:/run/a.qmp,server=on");
    it.paths = {{"/run", "/srv"}};
    EXPECT_EQ(command(it), "/q -qmp unix:/srv/a.qmp.segue,server=on,wait=off -machine pc-q35-7.2 -qmp "
                           "unix:/srv/a.qmp,server=on" + waits);
    it.monitor = "/run/a.qmp.segue";
    EXPECT_EQ(monitor_of_segue(it.monitor, it.paths), "/srv/a.qmp.segue");
    it.monitor = "/" + std::string(105, 'x');
    EXPECT_NE(command(it).find("a shorter path"), std::string::npos) << command(it);
}

TEST(Foreign, makes_its_own_tap_of_a_tap_that_was_handed_over) {
    ForeignGuest it = guest("/q -M q35 -netdev tap,id=n,fd=26,vhost=on,vhostfd=27 -netdev "
                            "tap,id=m,fds=28:29,vhostfds=30:31");
    it.fds = {{26, {"vnet0", ""}}, {28, {"vnet1", ""}}, {29, {"vnet1", ""}}};
    EXPECT_EQ(command(it), "/q" + ours + " -M pc-q35-7.2 -netdev tap,id=n,vhost=on,ifname=vnet0,script=no,"
                           "downscript=no -netdev tap,id=m,ifname=vnet1,script=no,downscript=no,queues=2,vhost=on" +
                           waits);
    it.fds.clear();
    EXPECT_NE(command(it).find("-netdev tap,id=n,fd=26"), std::string::npos) << command(it);
    EXPECT_NE(command(it).find("no tap whose name is known"), std::string::npos);
}

TEST(Foreign, opens_by_its_path_what_was_handed_over_as_a_set) {
    ForeignGuest it = guest(R"(/q -M q35 -add-fd fd=7,set=2,opaque=x -add-fd fd=8,set=20 )"
                            R"(-drive file=/dev/fdset/2,if=none -blockdev )"
                            R"({"driver":"file","filename":"/dev/fdset/20"})");
    it.fds = {{7, {"", "/srv/a"}}, {8, {"", "/srv/b"}}};
    EXPECT_EQ(command(it), "/q" + ours + R"( -M pc-q35-7.2 -drive file=/srv/a,if=none )"
                           R"(-blockdev {"driver":"file","filename":"/srv/b"})" + waits);
    it.fds[8].path.clear();
    EXPECT_NE(command(it).find("refused: -add-fd fd=8,set=20: what its starter handed over"), std::string::npos);
}

TEST(Foreign, refuses_by_name_what_cannot_be_the_same_there) {
    ForeignGuest it = guest("/q -M q35 -chardev socket,id=c,fd=9,server=on -snapshot -chroot /x -device x,id=old "
                            R"(-device {"driver":"virtio-rng-pci","id":"rng","max-bytes":7})");
    it.devices = {{"rng", "virtio-rng-pci"}, {"hot", "virtio-net-pci"}};
    const std::string said = command(it);
    EXPECT_TRUE(said.starts_with("refused: ")) << said;
    for (const char* what : {"-chardev socket,id=c,fd=9", "-snapshot", "-chroot /x",
                             "the device hot (virtio-net-pci) was plugged in"}) {
        EXPECT_NE(said.find(what), std::string::npos) << what << " in " << said;
    }
    EXPECT_EQ(said.find("rng"), std::string::npos) << said;
    EXPECT_TRUE(command(guest("")).starts_with("refused: the command line"));
}

TEST(Foreign, leaves_out_what_was_unplugged) {
    ForeignGuest it = guest("/q -M q35 -device virtio-rng-pci,id=gone -device virtio-rng-pci,id=there -device x");
    it.devices = {{"there", "virtio-rng-pci"}};
    EXPECT_EQ(command(it), "/q" + ours + " -M pc-q35-7.2 -device virtio-rng-pci,id=there -device x" + waits);
}

TEST(Foreign, empties_no_file_of_the_source) {
    EXPECT_EQ(command(guest("/q -M q35 -chardev file,id=c,path=/l -chardev socket,id=s,path=/s,server=on,logfile=/m "
                            "-chardev file,id=d,path=/n,append=off")),
              "/q" + ours + " -M pc-q35-7.2 -chardev file,id=c,path=/l,append=on -chardev "
              "socket,id=s,path=/s,server=on,logfile=/m,logappend=on -chardev file,id=d,path=/n,append=off" + waits);
}

}  // namespace
}  // namespace segue::vm

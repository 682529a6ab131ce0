#include "vm/networks.hpp"

#include <gtest/gtest.h>

namespace segue::vm {
namespace {

TEST(NetworksIn, finds_each_tap_with_what_qemu_would_do_for_it) {
    const auto found = networks_in({"qemu", "-netdev", "tap,id=n,ifname=web1,script=no,downscript=no", "-m", "1G",
                                    "--nic", "tap,model=virtio,queues=4", "-net", "tap,script=/opt/up,,down"});
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found[0], (HostNetwork{"-netdev tap,id=n,ifname=web1,script=no,downscript=no", false, "web1", "", false,
                                     "", ""}));
    EXPECT_EQ(found[1].script, "/etc/qemu-ifup");
    EXPECT_EQ(found[1].ifname, "");
    EXPECT_TRUE(found[1].many_queues);
    EXPECT_EQ(found[2].script, "/opt/up,down");
}

TEST(NetworksIn, finds_each_bridge_with_its_helper) {
    const auto found = networks_in({"qemu", "-netdev", "bridge,id=n", "-nic", "bridge,br=br7,helper=/opt/h",
                                    "-netdev", "tap,id=m,helper=/opt/h,br=lan"});
    ASSERT_EQ(found.size(), 3U);
    EXPECT_TRUE(found[0].by_helper);
    EXPECT_EQ(found[0].bridge, "br0");
    EXPECT_EQ(found[0].helper, "");
    EXPECT_EQ(found[1].bridge, "br7");
    EXPECT_EQ(found[1].helper, "/opt/h");
    EXPECT_TRUE(found[2].by_helper);
    EXPECT_EQ(found[2].bridge, "lan");
}

TEST(NetworksIn, reads_json_as_well) {
    const auto found =
        networks_in({"qemu", "-netdev", R"({"type":"tap","id":"n","ifname":"web1","script":"no","queues":2})"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].ifname, "web1");
    EXPECT_EQ(found[0].script, "");
    EXPECT_TRUE(found[0].many_queues);
}

TEST(NetworksIn, leaves_out_what_needs_no_interface_of_the_host) {
    EXPECT_TRUE(networks_in({"qemu", "-netdev", "user,id=n", "-nic", "none", "-net", "nic", "-netdev",
                             "socket,id=s,listen=:1", "-device", "tap,id=x", "-netdev", R"({"type":"user","id":"n"})",
                             "-nic"}).empty());
    // What its starter handed over is there.
    EXPECT_TRUE(networks_in({"qemu", "-netdev", "tap,id=n,fd=7", "-netdev", "tap,id=m,fds=3:4"}).empty());
}

TEST(NetworksIn, takes_a_pattern_for_no_name) {
    EXPECT_EQ(networks_in({"qemu", "-netdev", "tap,id=n,ifname=vm%d,script=no"})[0].ifname, "");
}

}  // namespace
}  // namespace segue::vm

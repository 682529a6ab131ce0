#include "app/segue/host/network_check.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "base/folder_test.hpp"

namespace segue {
namespace {

HostLink tap_named(std::string name) {
    HostLink link;
    link.index = 7;
    link.name = std::move(name);
    link.kind = "tun";
    link.tap = true;
    link.persistent = true;
    return link;
}

HostLink link_of_kind(std::string name, std::string kind) {
    HostLink link;
    link.index = 8;
    link.name = std::move(name);
    link.kind = std::move(kind);
    return link;
}

struct NetworkObstacles : testing::Test {
    NetworkObstacles() { sight.links_known = true; }

    std::vector<Obstacle> of(const std::string& value) const {
        return network_obstacles(vm::networks_in({"qemu", "-netdev", value}), sight);
    }
    void expect_one(const std::string& value, const std::string& code, const std::string& words) const {
        const auto found = of(value);
        ASSERT_EQ(found.size(), 1U) << value;
        EXPECT_EQ(found[0].code, code);
        EXPECT_NE(found[0].what.find(words), std::string::npos) << found[0].what;
        EXPECT_NE(found[0].what.find("(-netdev " + value + ")"), std::string::npos) << found[0].what;
        EXPECT_FALSE(found[0].remedy.empty());
    }

    NetworkSight sight;
    std::string named = "tap,id=n,ifname=web1,script=no";
};

TEST_F(NetworkObstacles, are_none_where_qemu_may_make_the_tap_or_open_one_that_is_free) {
    EXPECT_TRUE(of(named).empty());
    EXPECT_TRUE(of("tap,id=n").empty());
    sight.links = {tap_named("web1")};
    EXPECT_TRUE(of(named).empty());
    sight.links[0].carrier = true;  // Set by hand: nobody has it open.
    EXPECT_TRUE(of(named).empty());
}

TEST_F(NetworkObstacles, name_who_holds_the_tap) {
    sight.links = {tap_named("web1")};
    sight.links[0].carrier = true;
    sight.holders["web1"] = "process 7 (qemu)";
    expect_one(named, "network-tap", "the tap web1 is held by process 7 (qemu)");
    sight.holders.clear();
    sight.links[0].persistent = false;
    expect_one(named, "network-tap", "the tap web1 is held by another process");
    sight.links[0].multi_queue = true;  // It has room for more.
    EXPECT_TRUE(of(named + ",queues=2").empty());
}

TEST_F(NetworkObstacles, tell_an_interface_that_is_no_such_tap) {
    sight.links = {link_of_kind("web1", "bridge")};
    expect_one(named, "network-tap", "the interface web1 is no tap but a bridge");
    sight.links = {link_of_kind("web1", "")};
    expect_one(named, "network-tap", "is no tap but a card of the host");
    sight.links = {tap_named("web1")};
    sight.links[0].tap = false;
    expect_one(named, "network-tap", "is no tap but a tun");
    sight.links = {tap_named("web1")};
    expect_one(named + ",queues=2", "network-tap", "was made without multi_queue, and QEMU would open it with many");
    sight.links[0].multi_queue = true;
    expect_one(named, "network-tap", "was made with multi_queue, and QEMU would open it without");
}

TEST_F(NetworkObstacles, tell_what_a_user_may_not_do) {
    sight.net_admin = false;
    sight.user = 1000;
    sight.groups = {1000, 27};
    expect_one(named, "network-tap", "the tap web1 is not there, and segue receive lacks CAP_NET_ADMIN");
    expect_one("tap,id=n,script=no", "network-tap", "a tap is not there");
    sight.links = {tap_named("web1")};
    EXPECT_TRUE(of(named).empty());  // One that nobody owns is everybody's.
    sight.links[0].owner = 1000;
    sight.links[0].group = 27;
    EXPECT_TRUE(of(named).empty());
    sight.links[0].group = 28;
    expect_one(named, "network-tap", "belongs to another user or group");
    sight.links[0].group.reset();
    sight.links[0].owner = 1001;
    expect_one(named, "network-tap", "belongs to another user or group");
}

TEST_F(NetworkObstacles, tell_once_that_there_is_no_device_for_taps) {
    sight.tun_trouble = "No such file or directory";
    const auto found = network_obstacles(
        vm::networks_in({"qemu", "-netdev", named, "-netdev", "tap,id=m,ifname=web2,script=no"}), sight);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_NE(found[0].what.find("/dev/net/tun, which a tap needs, cannot be opened (No such file"), std::string::npos);
}

TEST_F(NetworkObstacles, tell_a_script_that_cannot_be_run) {
    sight.programs["/etc/qemu-ifup"] = "No such file or directory";
    expect_one("tap,id=n", "network-script", "the network script /etc/qemu-ifup cannot be run: No such file");
    EXPECT_TRUE(of(named).empty());
}

TEST_F(NetworkObstacles, tell_all_that_keeps_a_helper_from_its_bridge) {
    sight.acl["lan"] = "/etc/qemu/bridge.conf does not allow it";
    const auto found = of("bridge,id=n,br=lan");
    ASSERT_EQ(found.size(), 2U);
    EXPECT_NE(found[0].what.find("there is no bridge lan"), std::string::npos);
    EXPECT_NE(found[1].what.find("would not join a tap to lan: /etc/qemu/bridge.conf does not allow it"),
              std::string::npos);
    EXPECT_EQ(found[1].code, "network-bridge");
    EXPECT_NE(found[1].remedy.find("allow lan"), std::string::npos);
    sight.acl.clear();
    sight.links = {link_of_kind("lan", "veth")};
    expect_one("bridge,id=n,br=lan", "network-bridge", "lan is no bridge but a veth");
    sight.links = {link_of_kind("lan", "bridge")};
    EXPECT_TRUE(of("bridge,id=n,br=lan").empty());
    sight.programs[""] = "it is not installed";
    expect_one("bridge,id=n,br=lan", "network-bridge", "qemu-bridge-helper cannot be run: it is not installed");
    // A helper of somebody's own may know bridges that the kernel does not.
    EXPECT_TRUE(of("tap,id=n,helper=/opt/join,br=ovs7").empty());
}

struct BridgeRules : testing::Test {
    std::string trouble(const std::string& text, const std::string& bridge = "br0") const {
        std::ofstream(folder + "/bridge.conf") << text;
        return acl_trouble(folder + "/bridge.conf", bridge);
    }
    TestFolder own;
    std::string folder = own.path();
};

TEST_F(BridgeRules, allow_by_name_or_all) {
    EXPECT_EQ(trouble("allow br0\n"), "");
    EXPECT_EQ(trouble("# ours\n\n  allow\tall  # every one\n"), "");
    EXPECT_NE(trouble("allow br1\n").find("does not allow it"), std::string::npos);
    EXPECT_NE(trouble("").find("does not allow it"), std::string::npos);
}

TEST_F(BridgeRules, deny_whatever_else_allows) {
    EXPECT_NE(trouble("deny br0\nallow all\n").find("denies it"), std::string::npos);
    EXPECT_NE(trouble("allow br0\ndeny all\n").find("denies it"), std::string::npos);
    EXPECT_EQ(trouble("allow all\ndeny br1\n"), "");
}

TEST_F(BridgeRules, include_others_and_pass_over_those_that_are_missing) {
    std::ofstream(folder + "/more.conf") << "allow br0\n";
    EXPECT_EQ(trouble("include " + folder + "/more.conf\ninclude /no/such/file\n"), "");
    EXPECT_NE(trouble("include " + folder + "/bridge.conf\n").find("does not allow"), std::string::npos);
}

TEST_F(BridgeRules, stop_the_helper_where_they_cannot_be_read) {
    EXPECT_NE(acl_trouble(folder + "/nothing.conf", "br0").find("cannot be read (No such file"), std::string::npos);
    EXPECT_NE(trouble("allow\n").find("says nothing: allow"), std::string::npos);
    EXPECT_NE(trouble("permit br0\n").find("not understood: permit"), std::string::npos);
}

TEST(LookAtNetworks, reads_scripts_and_interfaces_of_this_host) {
    const auto networks = vm::networks_in({"qemu", "-netdev", "tap,id=n,ifname=lo,script=/no/such/script"});
    const auto sight = look_at_networks(networks, "/usr/bin/qemu");
    EXPECT_TRUE(sight.links_known);
    EXPECT_EQ(sight.programs.at("/no/such/script"), "No such file or directory");
    const auto found = network_obstacles(networks, sight);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.back().code, "network-script");
}

}  // namespace
}  // namespace segue

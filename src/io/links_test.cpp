#include "io/links.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace segue {
namespace {

TEST(ReadLinks, finds_the_loopback_interface_of_this_namespace) {
    const auto links = read_links();
    ASSERT_TRUE(links) << to_string(links.error());
    const auto loopback = std::ranges::find(*links, "lo", &HostLink::name);
    ASSERT_NE(loopback, links->end());
    EXPECT_GT(loopback->index, 0);
    EXPECT_EQ(loopback->master, 0);
    EXPECT_EQ(loopback->kind, "");
    EXPECT_FALSE(loopback->tap);
}

TEST(TunNameIn, is_what_the_kernel_says_of_the_descriptor) {
    const std::string path = testing::TempDir() + "fdinfo_of_tun";
    std::ofstream(path) << "pos:\t0\nflags:\t02\nmnt_id:\t12\nino:\t3\niff:\ttap7\n";
    EXPECT_EQ(tun_name_in(path), "tap7");
    std::ofstream(path) << "pos:\t0\nflags:\t02\niff:\t\n";  // Opened, and no interface chosen.
    EXPECT_EQ(tun_name_in(path), "");
    std::filesystem::remove(path);
    EXPECT_EQ(tun_name_in(path), "");
}

TEST(TunNamesOf, are_none_of_a_process_without_taps_or_out_of_sight) {
    EXPECT_TRUE(tun_names_of(::getpid()).empty());
    EXPECT_TRUE(tun_names_of(0).empty());
}

}  // namespace
}  // namespace segue

#include "policy/converge/past_rounds.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace segue::converge {
namespace {

using std::chrono::seconds;

/// Each after rounds at this share, in MiB.
std::vector<Pass> passes(double share, const std::vector<int>& backlogs) {
    std::vector<Pass> out;
    for (const int left : backlogs) {
        const auto number = static_cast<std::int64_t>(out.size()) + 1;
        out.push_back({number, seconds{number}, mebibytes(left), seconds{1}, Share{share}});
    }
    return out;
}

Setting lowest() {
    Setting out;
    out.share = 0.05;
    out.budget = 20 * 1048576.0;
    return out;
}

TEST(Room, is_the_widest_of_the_last_ten_seconds_and_five_syncs) {
    Room room;
    room.add(0, 0.2, true);
    EXPECT_EQ(room.widest(), 0.2);
    for (int i = 1; i <= 30; ++i) room.add(0.5 * i, 0.05, true);
    EXPECT_EQ(room.widest(), 0.2) << "15 s";
    for (int i = 31; i <= 41; ++i) room.add(0.5 * i, 0.05, true);
    EXPECT_EQ(room.widest(), 0.05) << "20 s";
    Room slow;  // Syncs a minute apart.
    slow.add(0, 0.2, true);
    for (int i = 1; i <= 9; ++i) slow.add(60.0 * i, 0.05, true);
    EXPECT_EQ(slow.widest(), 0.2);
    slow.add(600, 0.05, true);
    EXPECT_EQ(slow.widest(), 0.05);
    Room free;  // Before go, without a timeout.
    free.add(0, 0.2, false);
    for (int i = 1; i <= 100; ++i) free.add(i, 0.05, false);
    EXPECT_EQ(free.widest(), 0.2);
}

TEST(PastRounds, crawl_when_three_at_the_lowest_share_left_nearly_all_of_it) {
    EXPECT_TRUE(crawls(passes(0.05, {500, 200, 198, 195, 190}), lowest()));
    EXPECT_TRUE(crawls(passes(0.052, {500, 200, 198, 195, 190}), lowest())) << "granted a little above";
    EXPECT_FALSE(crawls(passes(0.05, {500, 200, 190, 180, 170}), lowest())) << "it falls, if slowly";
    EXPECT_FALSE(crawls(passes(0.05, {500, 39, 39, 39, 39}), lowest())) << "near enough for luck";
    EXPECT_FALSE(crawls(passes(0.2, {500, 200, 198, 195, 190}), lowest())) << "there are lower shares";
    EXPECT_FALSE(crawls(passes(0.05, {200, 198, 195}), lowest())) << "two rounds";
    EXPECT_FALSE(crawls({}, lowest()));
}

TEST(PastRounds, do_not_crawl_while_one_of_the_three_ran_at_more) {
    auto some = passes(0.05, {500, 200, 198, 195, 190});
    some[2].share = all_of_it;
    EXPECT_FALSE(crawls(some, lowest()));
}

TEST(PastRounds, clearly_fall_from_the_fourth_dirty_sync_on) {
    EXPECT_TRUE(clearly_falls(passes(1, {500, 200, 130, 80})));
    EXPECT_FALSE(clearly_falls(passes(1, {500, 200, 130, 100})));
    EXPECT_FALSE(clearly_falls(passes(1, {500, 200, 80})));
    EXPECT_FALSE(clearly_falls({}));
}

}  // namespace
}  // namespace segue::converge

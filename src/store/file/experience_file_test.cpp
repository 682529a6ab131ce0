#include "store/file/experience_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/folder_test.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;
using std::chrono::milliseconds;
using std::chrono::seconds;

const WallTime now{seconds{1'800'000'000}};
const std::string key = "name-web-7";

FixedCosts costs(int stop_ms) { return {milliseconds{stop_ms}, milliseconds{20}, milliseconds{5}}; }

class ExperienceFileTest : public testing::Test {
protected:
    [[nodiscard]] std::string state() const { return folder.file("state"); }
    void write(const std::string& path, const std::string& text) const {
        fs::create_directories(fs::path(path).parent_path());
        std::ofstream(path) << text;
    }
    TestFolder folder;
};

TEST_F(ExperienceFileTest, knows_nothing_of_a_new_guest_and_makes_nothing) {
    ExperienceFile store(state());
    const auto found = store.load(key, now);
    EXPECT_TRUE(found.fixed_costs.empty());
    EXPECT_EQ(found.rollback_worst, Duration{0});
    EXPECT_EQ(found.warning, "");
    EXPECT_EQ(store.remember(key, {}, now), "");
    EXPECT_FALSE(fs::exists(state()));
}

TEST_F(ExperienceFileTest, remembers_newest_first_at_most_five_for_thirty_days) {
    for (int i = 0; i < 7; ++i) {
        EXPECT_EQ(ExperienceFile(state()).remember(key, {costs(i), std::nullopt}, now + days{i}), "");
    }
    EXPECT_EQ(ExperienceFile(state()).remember(key, {std::nullopt, milliseconds{13}}, now + days{7}), "");
    EXPECT_EQ(ExperienceFile(state()).remember(key, {std::nullopt, milliseconds{9}}, now + days{7}), "");
    ExperienceFile store(state());
    auto found = store.load(key, now + days{7});
    EXPECT_EQ(found.warning, "");
    EXPECT_EQ(found.fixed_costs, (std::vector{costs(6), costs(5), costs(4), costs(3), costs(2)}));
    EXPECT_EQ(found.rollback_worst, milliseconds{13});
    found = store.load(key, now + days{35});
    EXPECT_EQ(found.fixed_costs, (std::vector{costs(6), costs(5)}));
    EXPECT_TRUE(store.load("name-other", now).fixed_costs.empty());
}

TEST_F(ExperienceFileTest, leaves_one_readable_file_and_no_temporary_one) {
    ExperienceFile store(state());
    ASSERT_EQ(store.remember(key, {costs(1), std::nullopt}, now), "");
    ASSERT_EQ(store.remember(key, {costs(2), std::nullopt}, now), "");
    int files = 0;
    for (const auto& entry : fs::directory_iterator(state() + "/learned")) {
        ++files;
        EXPECT_EQ(entry.path().filename(), key + ".json");
    }
    EXPECT_EQ(files, 1);
    struct stat status{};
    ASSERT_EQ(::stat(store.path_of(key).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0644U);
}

TEST_F(ExperienceFileTest, warns_of_a_damaged_file_and_replaces_it_with_the_next_lesson) {
    ExperienceFile store(state());
    for (const std::string& text : {std::string(), std::string("{\"schema\":1,"), std::string(100'000, ' ')}) {
        write(store.path_of(key), text);
        const auto found = store.load(key, now);
        EXPECT_TRUE(found.fixed_costs.empty());
        EXPECT_NE(found.warning.find(store.path_of(key)), std::string::npos) << found.warning;
        EXPECT_EQ(store.remember(key, {costs(3), std::nullopt}, now), "");
        EXPECT_EQ(store.load(key, now).fixed_costs, std::vector{costs(3)});
        EXPECT_EQ(store.load(key, now).warning, "");
    }
}

TEST_F(ExperienceFileTest, is_not_held_up_by_something_that_is_no_file) {
    ExperienceFile store(state());
    fs::create_directories(state() + "/learned");
    ASSERT_EQ(::mkfifo(store.path_of(key).c_str(), 0600), 0);
    EXPECT_NE(store.load(key, now).warning, "");
    fs::remove(store.path_of(key));
    fs::create_directories(store.path_of(key));
    EXPECT_NE(store.load(key, now).warning, "");
    EXPECT_NE(store.remember(key, {costs(3), std::nullopt}, now), "");
}

TEST_F(ExperienceFileTest, only_warns_when_its_folder_cannot_be_made_or_written) {
    write(state(), "a file where the folder should be");
    ExperienceFile store(state());
    const std::string warning = store.remember(key, {costs(3), std::nullopt}, now);
    EXPECT_NE(warning.find(store.path_of(key)), std::string::npos) << warning;
    EXPECT_EQ(warning.find('\n'), std::string::npos);
    EXPECT_NE(store.load(key, now).warning, "");
    ExperienceFile kernel_says_no("/proc/segue");
    EXPECT_NE(kernel_says_no.remember(key, {costs(3), std::nullopt}, now), "");
    EXPECT_EQ(kernel_says_no.load(key, now).warning, "");
}

}  // namespace
}  // namespace segue

#include "app/segue/settings/settings_files.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "api/schema_test.hpp"
#include "app/segue/settings/config_commands.hpp"
#include "base/folder_test.hpp"

namespace segue {
namespace {

class SettingsFilesTest : public testing::Test {
protected:
    SettingsFilesTest() {
        std::filesystem::create_directories(folder + "/hosts");
        migrate.to = DstHost{"ssh://root@host2", {"ssh"}, true, "host2"};
        migrate.request.data_address = {"host2", 0};
    }

    void put(const std::string& file, const std::string& text) const {
        std::ofstream(folder + "/" + file) << text;
    }
    void refused(const std::string& says) {
        const auto applied = apply_settings(places, migrate);
        ASSERT_FALSE(applied) << says;
        EXPECT_EQ(applied.error().kind, ErrorKind::invalid);
        EXPECT_NE(applied.error().message.find(says), std::string::npos) << applied.error().message;
    }

    TestFolder own;
    std::string folder = own.path();
    VmPlaces places{folder, folder + "/state", "host1.example.com"};
    Migrate migrate;
};

TEST_F(SettingsFilesTest, WithoutFilesWhatTheCommandLineSaysHolds) {
    migrate.given.timeout = std::chrono::minutes{5};
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.request.bounds.timeout, std::chrono::minutes{5});
    EXPECT_EQ(migrate.request.bounds.max_downtime, std::chrono::milliseconds{300});
    EXPECT_EQ(migrate.request.data_address.host, "host2");
    EXPECT_EQ(migrate.limits.values.aggression, 0.5);
}

TEST_F(SettingsFilesTest, TheBoundsAreFilledFromTheNearestLevel) {
    put("site.toml", "timeout = '1h'\nmax_bandwidth = '1GiB/s'\n");
    put("hosts/host1.toml", "max_bandwidth = '100MiB/s'\r\n");
    migrate.vm_limits = settings::Level{"vm.toml", {}};
    migrate.vm_limits->content.limits.max_downtime = std::chrono::seconds{1};
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.request.bounds.timeout, std::chrono::hours{1});
    EXPECT_EQ(migrate.request.bounds.max_bandwidth, mebibytes_per_second(100));
    EXPECT_EQ(migrate.request.bounds.max_downtime, std::chrono::seconds{1});
    migrate.given.max_downtime = std::chrono::milliseconds{50};
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.request.bounds.max_downtime, std::chrono::milliseconds{50});
}

TEST_F(SettingsFilesTest, AHostWithAFileOfItsWholeNameIsNotReadFromTheShortOne) {
    put("hosts/host1.toml", "timeout = '1h'\n");
    put("hosts/host1.example.com.toml", "timeout = '2h'\n");
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.request.bounds.timeout, std::chrono::hours{2});
}

TEST_F(SettingsFilesTest, MemoryGoesToTheAddressThatTheOtherHostHas) {
    put("site.toml", "data_ports = '49152-49215'\n");
    put("hosts/host2.toml", "data_address = '[fd00::2]'\n");
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.request.data_address.host, "fd00::2");
    EXPECT_EQ(migrate.port_first, 49152);
    EXPECT_EQ(migrate.port_last, 49215);
}

TEST_F(SettingsFilesTest, OnePortIsAPortAndWhatTheOptionSaysStays) {
    put("site.toml", "data_ports = '4444'\n");
    put("hosts/host2.toml", "data_address = '10.0.0.2'\n");
    migrate.given.data_address = "10.77.0.2";
    migrate.request.data_address.host = "10.77.0.2";
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.request.data_address.host, "10.77.0.2");
    EXPECT_EQ(migrate.request.data_address.port, 4444);
    EXPECT_EQ(migrate.port_first, 0);
}

TEST_F(SettingsFilesTest, WithoutAnotherHostItsSettingsAreNotLookedFor) {
    migrate.to.reset();
    migrate.request.data_address = {"127.0.0.1", 0};
    put("site.toml", "data_ports = '49152-49215'\n");
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.port_first, 0);
}

TEST_F(SettingsFilesTest, EveryFileIsToldAtOnceWithItsLines) {
    put("site.toml", "timeout = 5\n");
    put("hosts/host1.toml", "\nlock = []\n");
    put("hosts/host2.toml", "data_address = '10.0.0.256'\n");
    refused("/site.toml:1:11: timeout is a number");
    refused("/hosts/host1.toml:2:1: lock belongs to site.toml");
    refused("/hosts/host2.toml:1:1: --data-address \"10.0.0.256\" is no IPv4 address");
}

TEST_F(SettingsFilesTest, AMoveThatIsNotLiveHasTheTimeoutForItsOnlyBound) {
    put("site.toml", "max_downtime = '100ms'\nmin_cpu = '50%'\ntimeout = '1h'\n");
    migrate.request.non_live = true;
    ASSERT_TRUE(apply_settings(places, migrate));
    EXPECT_EQ(migrate.request.bounds.max_downtime, std::chrono::hours{1});
    EXPECT_EQ(migrate.request.brake, BrakeKind::none);
}

TEST_F(SettingsFilesTest, AMoveThatIsNotLiveIsRefusedWhereTheSiteLocksTheDowntime) {
    put("site.toml", "max_downtime = '100ms'\nlock = ['max_downtime']\n");
    ASSERT_TRUE(apply_settings(places, migrate));
    migrate.request.non_live = true;
    refused("/site.toml:2");
    refused("locks max_downtime = 0.1 s: leave --non-live out");
}

TEST_F(SettingsFilesTest, AFolderInThePlaceOfAFileIsRefused) {
    std::filesystem::create_directories(folder + "/site.toml");
    refused("/site.toml is no regular file");
}

TEST(SettingsView, IsATableAndOneJsonObjectAsTheSchemaSays) {
    settings::Levels levels;
    levels.site = settings::Level{"/etc/segue/site.toml", {}};
    const auto file = settings::parse_settings("preset = 'ganeti'\ntimeout = '1h'\ndata_ports = '4444'\n"
                                               "lock = ['max_bandwidth']\n", vm::Level::site);
    ASSERT_TRUE(file.has_value());
    levels.site->content = *file;
    levels.options.min_cpu = Share{0.2};
    auto resolved = settings::resolve(levels);
    ASSERT_TRUE(resolved.has_value());
    const SettingsView view{"web1", "host1", std::move(*resolved)};
    EXPECT_EQ(json_test::problem_of(settings_json(view)), "");
    const std::string text = render_settings(view);
    EXPECT_NE(text.find("max_bandwidth         32 MiB/s          preset ganeti, /etc/segue/site.toml:1  "
                        "/etc/segue/site.toml:4\n"), std::string::npos) << text;
    EXPECT_NE(text.find("min_cpu               20%               --min-cpu  "), std::string::npos) << text;
    EXPECT_NE(settings_json(view).find(R"({"key":"timeout","value":"1 h","seconds":3600.0,"bytes_per_second":null,)"
                                       R"("ratio":null,"from":"site","file":"/etc/segue/site.toml","line":2,)"),
              std::string::npos) << settings_json(view);
}

}  // namespace
}  // namespace segue

#include "app/segue/vm/vm_folder.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "api/schema_test.hpp"
#include "app/segue/vm/vm_arrival.hpp"
#include "app/segue/vm/vm_files.hpp"
#include "app/segue/vm/vm_run.hpp"
#include "app/segue/vm/vm_source.hpp"
#include "app/segue/vm/vm_view.hpp"
#include "app/segue/words/host_name.hpp"
#include "base/folder_test.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

namespace fs = std::filesystem;

constexpr const char* uuid = "6f9619ff-8b86-4011-b42d-00c04fc964ff";
constexpr const char* text = "name = 'web1'\ncommand = ['qemu', '-m', '1G']\n[limits]\ntimeout = '1min'\n";
const std::string move_id(32, 'a');

struct VmFolderTest : testing::Test {
    TestFolder own;
    std::string state = own.file("state");
    std::string folder = vm_folder(state, "web1");

    VmRecord load() {
        const auto record = load_vm(state, "web1");
        EXPECT_TRUE(record) << to_string(record.error());
        return record.value_or(VmRecord{});
    }
    void put(const std::string& file, const std::string& content) {
        fs::create_directories(folder);
        std::ofstream(folder + "/" + file) << content;
    }
    std::vector<std::string> files() {
        std::vector<std::string> names;
        if (!fs::exists(folder)) return names;
        for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
        std::ranges::sort(names);
        return names;
    }
    static MoveOwner this_one() { return this_process().value_or(MoveOwner{}); }
    static MoveOwner gone() {
        MoveOwner owner = this_one();
        ++owner.start_ticks;
        return owner;
    }
};

TEST_F(VmFolderTest, WhatWasMovedAwayIsMarkedWithHostTimeAndJob) {
    ASSERT_TRUE(mark_moved(state, "web1", "host2", JobId{7}, WallInstant{std::chrono::seconds{1'795'289'186}}));
    ASSERT_TRUE(load().moved.has_value());
    EXPECT_EQ(load().moved->host, "host2");
    EXPECT_EQ(load().moved->job, 7);
    EXPECT_EQ(load().moved->at, "2026-11-21T19:26:26Z");
    EXPECT_EQ(view_of(load(), false, false).state, "moved");
    // Whoever comes back to it, as segue recover does, finds nothing in the way.
    EXPECT_TRUE(mark_moved(state, "web1", "host3", JobId{8}, WallInstant{}));
    EXPECT_EQ(load().moved->host, "host3");
    EXPECT_EQ(files(), std::vector<std::string>{"moved.json"});
}

TEST_F(VmFolderTest, ADamagedFileIsNeverTakenForNoFile) {
    for (const char* file : {"moved.json", "process.json", "arriving.json", "uuid"}) {
        for (const char* content : {"", "{", "[]", "{}", "{\"host\":5,\"pid\":\"x\",\"move\":1}"}) {
            put(file, content);
            const auto record = load_vm(state, "web1");
            ASSERT_FALSE(record) << file << " " << content;
            EXPECT_EQ(record.error().kind, ErrorKind::corrupt);
            EXPECT_NE(record.error().message.find(file), std::string::npos);
        }
        fs::remove(folder + "/" + file);
    }
}

TEST_F(VmFolderTest, OnlyOneHoldsTheLock) {
    auto first = VmLock::take(state, "web1");
    ASSERT_TRUE(first) << to_string(first.error());
    const auto second = VmLock::take(state, "web1");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::conflict);
    EXPECT_TRUE(VmLock::take(state, "web2"));
    first->release();
    EXPECT_TRUE(VmLock::take(state, "web1"));
    EXPECT_TRUE(vm_names(state).empty()) << "a lock is no VM";
}

TEST_F(VmFolderTest, RunsAsLongAsItsProcessLives) {
    ASSERT_TRUE(make_vm_folder(folder));
    EXPECT_FALSE(vm_runs(load()));
    ASSERT_TRUE(write_vm_process(folder, this_one()));
    EXPECT_TRUE(vm_runs(load()));
    ASSERT_TRUE(write_vm_process(folder, gone()));
    EXPECT_FALSE(vm_runs(load()));
}

// ---- arriving --------------------------------------------------------------------------------------

TEST_F(VmFolderTest, AMoveThatEndsTakesAwayTheFolderThatItMade) {
    auto arrival = VmArrival::begin(state, move_id, "host1", {text, uuid});
    ASSERT_TRUE(arrival) << to_string(arrival.error());
    EXPECT_EQ(arrival->command().back(), "defer");
    EXPECT_EQ(view_of(load(), false, true).state, "arriving");
    ASSERT_TRUE(arrival->know_process(::getpid()));
    arrival->abandon();
    EXPECT_FALSE(fs::exists(folder));
    EXPECT_TRUE(VmLock::take(state, "web1"));
}

TEST_F(VmFolderTest, AMoveThatEndsLeavesAnOlderFolderAsItWas) {
    put("vm.toml", "old");
    put("uuid", std::string(uuid) + "\n");
    put("qemu.log", "said");
    ASSERT_TRUE(mark_moved(state, "web1", "host1", JobId{1}, WallInstant{}));
    const auto before = files();
    auto arrival = VmArrival::begin(state, move_id, "host1", {text, uuid});
    ASSERT_TRUE(arrival) << to_string(arrival.error());
    ASSERT_TRUE(arrival->know_process(::getpid()));
    put("arriving.log", "");
    arrival->abandon();
    EXPECT_EQ(files(), before);
    EXPECT_EQ(load().text, "old");
    EXPECT_TRUE(load().moved.has_value());
}

TEST_F(VmFolderTest, AGuestThatArrivedIsThisHostsAndItsOldMarkIsGone) {
    ASSERT_TRUE(mark_moved(state, "web1", "host1", JobId{1}, WallInstant{}));
    auto arrival = VmArrival::begin(state, move_id, "host1", {text, uuid});
    ASSERT_TRUE(arrival) << to_string(arrival.error());
    put("arriving.log", "");
    ASSERT_TRUE(arrival->know_process(::getpid()));
    arrival->arrived();
    arrival->abandon();  // Too late for that.
    EXPECT_EQ(files(), (std::vector<std::string>{"process.json", "qemu.log", "uuid", "vm.toml"}));
    EXPECT_EQ(load().text, text);
    EXPECT_EQ(load().uuid, uuid);
    EXPECT_EQ(view_of(load(), true, false).state, "running");
}

TEST_F(VmFolderTest, ALaterSessionFindsWhatAnEarlierOneBegan) {
    { ASSERT_TRUE(VmArrival::begin(state, move_id, "host1", {text, uuid})); }  // It died.
    EXPECT_EQ(view_of(load(), false, false).state, "unknown");
    EXPECT_FALSE(VmArrival::find(state, std::string(32, 'b')));
    auto found = VmArrival::find(state, move_id);
    ASSERT_TRUE(found);
    found->abandon();
    EXPECT_FALSE(fs::exists(folder));
}

TEST_F(VmFolderTest, ANewMoveTakesTheRemainsOfADeadOneAway) {
    { ASSERT_TRUE(VmArrival::begin(state, std::string(32, 'b'), "host1", {text, uuid})); }
    ASSERT_TRUE(write_vm_process(folder, gone()));
    auto arrival = VmArrival::begin(state, move_id, "host1", {text, uuid});
    ASSERT_TRUE(arrival) << to_string(arrival.error());
    EXPECT_EQ(load().arriving->move, move_id);
    EXPECT_FALSE(load().process.has_value());
    arrival->abandon();
    EXPECT_FALSE(fs::exists(folder)) << "it was made for the first one";
}

TEST_F(VmFolderTest, WhatIsInTheWayOfAnArrivalIsNamed) {
    const auto refused = [&](const receive::VmText& vm, ErrorKind kind, const std::string& says) {
        const auto before = files();
        const auto arrival = VmArrival::begin(state, move_id, "host1", vm);
        ASSERT_FALSE(arrival) << says;
        EXPECT_EQ(arrival.error().kind, kind);
        EXPECT_NE(arrival.error().message.find(says), std::string::npos) << arrival.error().message;
        EXPECT_EQ(files(), before);
    };
    refused({"name = 'web1'", uuid}, ErrorKind::invalid, "vm.toml: command is missing");
    refused({text, "x"}, ErrorKind::invalid, "without a valid uuid");
    refused({"name = 'web1'\ncommand = ['q', '{x}']\n[host.nowhere]\nx = '1'", uuid}, ErrorKind::invalid,
            "vm.toml:2: {x} has no value for host \"" + this_host_name() + "\"");
    put("uuid", "6f9619ff-8b86-4011-b42d-00c04fc96400\n");
    refused({text, uuid}, ErrorKind::conflict, "knows another VM by the name web1");
    put("uuid", std::string(uuid) + "\n");
    ASSERT_TRUE(write_vm_process(folder, this_one()));
    refused({text, uuid}, ErrorKind::conflict, "a VM named web1 runs on ");
}

// ---- leaving ---------------------------------------------------------------------------------------

/// After a crash of this host between the word and the mark nothing else says that the guest may run elsewhere.
TEST_F(VmFolderTest, IsNotStartedWhileAMoveOfItHasNotEnded) {
    const VmPlaces places{"/nowhere", state, "host1"};
    const VmDefinition definition{"web1.toml", text, vm::parse_description(text).value()};
    auto journal = open_journal(journal_path(state));
    ASSERT_TRUE(journal) << to_string(journal.error());
    NewMove move;
    move.id = {1, 2};
    move.vm = "web1";
    move.dst.host = "host2";
    move.owner = gone();
    const auto job = (*journal)->create(move, {StepKind::begun, stamp_now(), "{}"});
    ASSERT_TRUE(job) << to_string(job.error());
    for (const bool forget_move : {false, true}) {
        const auto started = start_vm(places, definition, forget_move);
        ASSERT_FALSE(started);
        EXPECT_EQ(started.error().kind, ErrorKind::conflict);
        EXPECT_NE(started.error().message.find("web1 was being moved to host2 by job 1, which did not come to its end"),
                  std::string::npos) << started.error().message;
    }
    EXPECT_FALSE(fs::exists(folder));
    move.id = {1, 3};
    move.owner = this_one();
    ASSERT_TRUE((*journal)->close(*job, gone(), {"failed", 1, "source", "", {}, Duration{0}, {}}, stamp_now()));
    ASSERT_TRUE((*journal)->create(move, {StepKind::begun, stamp_now(), "{}"}));
    const auto moving = start_vm(places, definition, false);
    ASSERT_FALSE(moving);
    EXPECT_NE(moving.error().message.find("web1 is being moved by job 2"), std::string::npos);
}

struct NamedVmTest : VmFolderTest {
    VmPlaces places{"/nowhere", state, "host1"};
    Migrate migrate;

    NamedVmTest() {
        migrate.vm_name = "web1";
        put("vm.toml", text);
        put("uuid", std::string(uuid) + "\n");
        EXPECT_TRUE(write_vm_process(folder, this_one()));
    }
    void refused(const std::string& says) {
        const auto taken = take_named_vm(places, migrate);
        ASSERT_FALSE(taken) << says;
        EXPECT_NE(taken.error().message.find(says), std::string::npos) << taken.error().message;
    }
};

TEST_F(NamedVmTest, HasItsMonitorsItsDefinitionAndItsLimits) {
    ASSERT_TRUE(take_named_vm(places, migrate));
    EXPECT_EQ(migrate.src_qmp, folder + "/control.qmp");
    EXPECT_EQ(migrate.src_guard_qmp, folder + "/guard.qmp");
    ASSERT_TRUE(migrate.definition.has_value());
    EXPECT_EQ(migrate.definition->description, text);
    EXPECT_EQ(migrate.definition->uuid, uuid);
    ASSERT_TRUE(migrate.vm_limits.has_value());
    EXPECT_EQ(migrate.vm_limits->file, folder + "/vm.toml");
    EXPECT_EQ(migrate.vm_limits->content.limits.timeout, std::chrono::minutes{1});
}

TEST_F(NamedVmTest, SaysOfItsStorageWhatItsDescriptionSays) {
    ASSERT_TRUE(take_named_vm(places, migrate));
    EXPECT_FALSE(migrate.request.storage_is_shared);
    put("vm.toml", "name = 'web1'\ncommand = ['q']\nshared_storage = true\n");
    ASSERT_TRUE(take_named_vm(places, migrate));
    EXPECT_TRUE(migrate.request.storage_is_shared);
}

TEST_F(NamedVmTest, MovesOnlyFromWhereItRuns) {
    ASSERT_TRUE(write_vm_arriving(folder, {move_id, "host0", "then", false}));
    refused("is on its way here from host0");
    remove_vm_file(folder, "arriving.json");
    ASSERT_TRUE(write_vm_process(folder, gone()));
    refused("web1 does not run here: segue vm start web1");
    ASSERT_TRUE(mark_moved(state, "web1", "host2", JobId{7}, WallInstant{}));
    refused("web1 was moved to host2 on 1970-01-01T00:00:00Z (job 7) and runs there");
    migrate.vm_name = "web2";
    refused("no VM \"web2\" is known on this host");
}

TEST(VmView, TheListIsATableAndOneJsonObject) {
    const std::vector<VmView> vms = {{"web1", "running", 812, {}, uuid},
                                     {"database", "moved", {}, VmMoved{"host2", 7, "2026-11-21T19:26:26Z"}, ""}};
    EXPECT_EQ(render_vm_list(vms), "NAME      STATE           PID\n"
                                   "web1      running         812\n"
                                   "database  moved to host2  -");
    EXPECT_EQ(vm_list_json(vms),
              R"({"type":"vms","schema":1,"vms":[{"name":"web1","state":"running","pid":812,)"
              R"("uuid":"6f9619ff-8b86-4011-b42d-00c04fc964ff","moved_to":null,"moved_at":null,"moved_job":null},)"
              R"({"name":"database","state":"moved","pid":null,"uuid":null,"moved_to":"host2",)"
              R"("moved_at":"2026-11-21T19:26:26Z","moved_job":7}]})");
}

TEST(VmView, ItsJsonIsAsTheSchemaSays) {
    VmDetails vm;
    vm.command = {{"qemu", "a\xff"}, {"A=B"}};
    for (const auto& [state, pid] : {std::pair<const char*, std::optional<std::int64_t>>{"running", 812},
                                     {"stopped", {}}, {"moved", {}}, {"arriving", 812}, {"unknown", {}}}) {
        vm.view = {"web1", state, pid, {}, uuid};
        EXPECT_EQ(json_test::problem_of(vm_json(vm)), "");
        vm.view.uuid.clear();
        vm.view.moved = VmMoved{"host2", 7, "2026-11-21T19:26:26Z"};
        vm.limits.max_downtime = std::chrono::milliseconds{300};
        vm.limits.timeout = std::chrono::minutes{1};
        vm.limits.max_bandwidth = mebibytes_per_second(5);
        vm.limits.switchover_bandwidth = ByteRate{7};
        vm.limits.min_cpu = Share{0.2};
        vm.limits.max_stall = std::chrono::milliseconds{50};
        vm.limits.aggression = 0.5;
        vm.limits.preset = "gentle";
        EXPECT_EQ(json_test::problem_of(vm_json(vm)), "");
        EXPECT_EQ(json_test::problem_of(vm_list_json({vm.view, vm.view})), "");
    }
    EXPECT_NE(vm_json(vm).find("\"max_downtime_seconds\":0.3,"), std::string::npos) << vm_json(vm);
    EXPECT_EQ(json_test::problem_of(vm_list_json({})), "");
}

TEST(VmView, TheCommandIsShownAsAShellWouldTakeIt) {
    VmDetails vm;
    vm.view = {"web1", "stopped", {}, {}, ""};
    vm.command = {{"qemu", "-append", "a b'c", ""}, {}};
    EXPECT_TRUE(render_vm(vm).ends_with("command  qemu -append 'a b'\\''c' ''")) << render_vm(vm);
}

}  // namespace
}  // namespace segue

#include "app/segue/receive/receive_shell.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "app/segue/vm/vm_arrival.hpp"
#include "base/folder_test.hpp"
#include "channel/tcp/hanging_names_test.hpp"
#include "io/fd.hpp"
#include "io/run_loop_test.hpp"
#include "receive/codec.hpp"
#include "receive/limits.hpp"

namespace segue {
namespace {

using receive::RequestId;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr RequestId first{1};
constexpr RequestId second{2};
const std::string uuid = "6f9619ff-8b86-4011-b42d-00c04fc964ff";

/// What it says on standard error.
struct Said final : Sink {
    std::string all;
    void write(std::string_view text, Weight) override { all += text; }
    void drain(std::optional<Duration>) override {}
};

/// A listening socket in the place of a QEMU's monitor, which greets nobody.
struct Monitor {
    std::string path;
    Fd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    std::vector<Fd> came;

    explicit Monitor(std::string at) : path(std::move(at)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(listener.get(), 4), 0);
    }
    /// Whether anybody ever connected.
    bool attached() {
        while (Fd one{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)}) came.push_back(std::move(one));
        return !came.empty();
    }
};

/// `segue receive` with a source at the other end of its streams, and a name service that hangs until it is let go.
struct ReceiveShellTest : testing::Test {
    TestFolder made;
    const std::string& state = made.path();
    Loop loop;
    Said err;
    HangingNames names;
    Fd ours;
    Fd in;
    Fd out;
    std::optional<Loop::WatchId> watch;
    receive::LineReader reader;
    std::vector<receive::Message> heard;
    std::optional<int> status;
    std::unique_ptr<ReceiveShell> shell;

    void SetUp() override {
        std::array<int, 2> pair{};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
        ours = Fd(pair[0]);
        in = Fd(pair[1]);
        out = Fd(::fcntl(in.get(), F_DUPFD_CLOEXEC, 0));
        watch = loop.watch_readable(ours.get(), [this] { read_some(); });
        ReceiveShell::Where where{"0.1.0", "/bin/false", state, in.get(), out.get(), {}};
        where.look_up = names.look_up();
        auto opened = ReceiveShell::open(loop, std::move(where), err, [this](int how) { status = how; });
        ASSERT_TRUE(opened) << to_string(opened.error());
        shell = std::move(*opened);
        receive::Hello hello;
        hello.versions_min = receive::version_min;
        hello.versions_max = receive::version_max;
        hello.segue = "0.1.0";
        hello.host = "host1";
        hello.features = {std::string(receive::vm_feature)};
        hello.move = receive::MoveId{std::string(32, 'a')};
        say(hello);
        ASSERT_TRUE(until([this] { return !heard.empty(); }));
        ASSERT_TRUE(std::holds_alternative<receive::Hello>(heard.front()));
    }
    void TearDown() override {
        names.let_go();
        if (watch) loop.unwatch(*watch);
        shell.reset();
    }

    void read_some() {
        std::array<char, 4096> bytes{};
        const ssize_t count = ::recv(ours.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (count <= 0) return loop.unwatch(*std::exchange(watch, std::nullopt));
        auto fed = reader.feed(std::span(bytes).first(static_cast<std::size_t>(count)));
        for (auto& message : fed.messages) heard.push_back(std::move(message));
    }
    void say(const receive::Message& message) const {
        const auto line = receive::encode(message);
        ASSERT_TRUE(line) << to_string(line.error());
        ASSERT_EQ(::send(ours.get(), line->data(), line->size(), MSG_NOSIGNAL), static_cast<ssize_t>(line->size()));
    }
    void hang_up() {
        loop.unwatch(*std::exchange(watch, std::nullopt));
        ours.reset();
    }
    /// At most 5 s.
    bool until(const std::function<bool()>& done) { return run_until(loop, done, seconds{5}); }
    void wait(Duration time) { run_at_most(loop, time); }

    [[nodiscard]] receive::Prepare prepare(RequestId request, const std::string& monitor) const {
        receive::Prepare wanted{request, monitor, {}, {}};
        wanted.data = receive::DataPlace{"slow.example", 0, 0, 0};
        return wanted;
    }
    [[nodiscard]] receive::Prepare prepare_vm() const {
        receive::Prepare wanted = prepare(first, {});
        wanted.vm = receive::VmText{"name = 'web1'\ncommand = ['qemu', '-m', '1G']\n", uuid};
        return wanted;
    }
    /// Every answer of this type to `request`.
    template <class T>
    [[nodiscard]] std::vector<const T*> answers(RequestId request) const {
        std::vector<const T*> found;
        for (const auto& message : heard) {
            const T* answer = std::get_if<T>(&message);
            if (answer != nullptr && answer->request == request) found.push_back(answer);
        }
        return found;
    }
    [[nodiscard]] bool failed(RequestId request) const { return !answers<receive::Failed>(request).empty(); }
    void expect_given_up() const {
        const auto told = answers<receive::Failed>(first);
        ASSERT_EQ(told.size(), 1U) << err.all;
        EXPECT_EQ(told[0]->error.kind, ErrorKind::conflict);
        EXPECT_EQ(told[0]->error.message, "the move was ended meanwhile");
    }
    [[nodiscard]] std::string folder() const { return state + "/vms/web1"; }
    [[nodiscard]] bool arriving() const { return std::filesystem::exists(folder() + "/arriving.json"); }
};

TEST_F(ReceiveShellTest, AnAbortDoesNotWaitForTheLookAndTheHeldPrepareIsAnswered) {
    Monitor monitor(state + "/qmp");
    say(prepare(first, monitor.path));
    wait(milliseconds{50});
    say(receive::Abort{second, "enough"});
    ASSERT_TRUE(until([this] { return !answers<receive::Aborted>(second).empty(); })) << err.all;
    expect_given_up();
    names.let_go();
    wait(milliseconds{200});
    expect_given_up();
    EXPECT_FALSE(monitor.attached());
    say(receive::Status{RequestId{3}});
    ASSERT_TRUE(until([this] { return !answers<receive::StatusReply>(RequestId{3}).empty(); }));
    EXPECT_EQ(answers<receive::StatusReply>(RequestId{3})[0]->stage, receive::Stage::aborted);
}

TEST_F(ReceiveShellTest, ASourceThatLeavesDuringTheLookIsAnsweredAndLeft) {
    Monitor monitor(state + "/qmp");
    say(prepare(first, monitor.path));
    say(receive::Bye{"cancelled", ""});
    ASSERT_TRUE(until([this] { return status && failed(first); })) << err.all;
    EXPECT_EQ(status, 0);
    expect_given_up();
    names.let_go();
    wait(milliseconds{200});
    expect_given_up();
    EXPECT_FALSE(monitor.attached());
}

TEST_F(ReceiveShellTest, ALookEndsWithTheConnectionToTheSource) {
    Monitor monitor(state + "/qmp");
    say(prepare(first, monitor.path));
    wait(milliseconds{50});
    hang_up();
    ASSERT_TRUE(until([this] { return status.has_value(); })) << err.all;
    EXPECT_EQ(status, 0);
    EXPECT_NE(err.all.find("started nothing: the move was ended meanwhile"), std::string::npos) << err.all;
    names.let_go();
    wait(milliseconds{200});
    EXPECT_FALSE(monitor.attached());
}

TEST_F(ReceiveShellTest, StoppedDuringTheLookItAnswersAndLeavesAtOnce) {
    say(prepare(first, "/run/none.qmp"));
    wait(milliseconds{50});
    shell->stop();
    ASSERT_TRUE(until([this] { return status && failed(first); })) << err.all;
    expect_given_up();
    const Instant began = loop.now();
    shell.reset();
    EXPECT_LT(loop.now() - began, seconds{2}) << "it waits for the name service";
}

TEST_F(ReceiveShellTest, ASecondPrepareDuringTheLookIsRefusedAndTheFirstGoesOn) {
    Monitor monitor(state + "/qmp");
    Monitor other(state + "/other");
    say(prepare(first, monitor.path));
    say(prepare(second, other.path));
    ASSERT_TRUE(until([this] { return failed(second); })) << err.all;
    const auto told = answers<receive::Failed>(second);
    EXPECT_EQ(told[0]->error.kind, ErrorKind::conflict);
    EXPECT_EQ(told[0]->error.message, "this host is being looked at for another prepare");
    EXPECT_FALSE(failed(first));
    names.let_go();
    EXPECT_TRUE(until([&] { return monitor.attached(); })) << err.all;
    EXPECT_FALSE(other.attached());
    EXPECT_EQ(answers<receive::Failed>(second).size(), 1U);
}

TEST_F(ReceiveShellTest, WhatWasMadeForAVmIsTakenAwayOnce) {
    say(prepare_vm());
    ASSERT_TRUE(until([this] { return arriving(); })) << err.all;
    say(receive::Abort{second, "enough"});
    ASSERT_TRUE(until([this] { return !answers<receive::Aborted>(second).empty(); })) << err.all;
    expect_given_up();
    EXPECT_FALSE(std::filesystem::exists(folder()));
    // The name is free for another move at once, and the end of this one does not touch what is that one's.
    const auto next = VmArrival::begin(state, std::string(32, 'b'), "host3", *prepare_vm().vm);
    ASSERT_TRUE(next) << to_string(next.error());
    say(receive::Bye{"cancelled", ""});
    ASSERT_TRUE(until([this] { return status.has_value(); })) << err.all;
    shell.reset();
    EXPECT_TRUE(arriving());
}

TEST_F(ReceiveShellTest, WhatWasMadeForAVmGoesWithTheConnection) {
    say(prepare_vm());
    ASSERT_TRUE(until([this] { return arriving(); })) << err.all;
    hang_up();
    ASSERT_TRUE(until([this] { return status.has_value(); })) << err.all;
    EXPECT_FALSE(std::filesystem::exists(folder()));
}

TEST_F(ReceiveShellTest, ARefusalForTheHostsNetworkLeavesNothingOfTheVm) {
    receive::Prepare wanted = prepare_vm();
    wanted.vm->description = "name = 'web1'\ncommand = ['qemu', '-netdev', 'bridge,id=n,br=none-such']\n";
    wanted.data.reset();
    say(wanted);
    ASSERT_TRUE(until([this] { return failed(first); })) << err.all;
    EXPECT_FALSE(answers<receive::Failed>(first)[0]->obstacles.empty());
    EXPECT_FALSE(std::filesystem::exists(folder()));
}

}  // namespace
}  // namespace segue

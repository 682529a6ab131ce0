#include "app/segue/move/brake_port.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>
#include <thread>

#include "app/segue/move/guard_client.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BrakePortTest : public testing::Test {
protected:
    Loop loop;
    pid_t guest = 0;
    std::string name = "port" + std::to_string(::getpid());

    void SetUp() override {
        guest = ::fork();
        if (guest != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ::pause();
    }
    void TearDown() override {
        ::kill(guest, SIGKILL);
        ::waitpid(guest, nullptr, 0);
    }

    /// Runs the loop until the answer is there. `longest`: between two turns of the loop meanwhile.
    Result<BrakeAnswer> ask(BrakePort& port, const BrakeCommand& command, Duration* longest = nullptr) {
        std::optional<Result<BrakeAnswer>> answer;
        port.submit(command, [&](Result<BrakeAnswer> value) {
            answer = std::move(value);
            loop.stop();
        });
        EXPECT_FALSE(answer) << "never from inside submit";
        Instant last = loop.now();
        std::function<void()> turn = [&] {
            const Instant now = loop.now();
            if (longest != nullptr) *longest = std::max(*longest, now - last);
            last = now;
            if (!answer) loop.at(now + milliseconds{1}, turn);
        };
        loop.post(turn);
        const auto deadline = loop.at(loop.now() + seconds{10}, [&] { loop.stop(); });
        loop.run();
        loop.cancel(deadline);
        return answer ? *answer : fail(ErrorKind::timed_out, "no answer");
    }
    [[nodiscard]] BrakeOpen open_guest() const { return {guest, {guest}, Share{0.05}}; }
};

TEST_F(BrakePortTest, AnswersEachCommandWhileTheLoopGoesOn) {
    BrakePort port(loop, name);
    EXPECT_TRUE(port.held().empty());
    Duration longest{0};
    const auto opened = ask(port, open_guest(), &longest);
    ASSERT_TRUE(opened) << to_string(opened.error());
    EXPECT_GE(std::get<BrakeReady>(*opened).steps.size(), 12U);
    EXPECT_LT(longest, milliseconds{80}) << "opening takes more than 100 ms; the loop does not wait for it";
    ASSERT_EQ(port.held().size(), 1U);
    EXPECT_EQ(port.held().front().name, "segue-" + name + "-vcpu0");
    ASSERT_TRUE(ask(port, BrakeSet{Share{0.05}}));
    const auto sample = ask(port, BrakeRead{});
    ASSERT_TRUE(sample);
    EXPECT_GT(std::get<BrakeSample>(*sample).at.since_boot.count(), 0);
    ASSERT_TRUE(ask(port, BrakeClose{}));
    EXPECT_TRUE(port.held().empty());
}

TEST_F(BrakePortTest, AnswersInTheOrderOfTheCommands) {
    BrakePort port(loop, name);
    std::string order;
    const auto note = [&](char word) { return [&order, word](const Result<BrakeAnswer>&) { order += word; }; };
    port.submit(open_guest(), note('o'));
    port.submit(BrakeSet{Share{0.5}}, note('s'));
    port.submit(BrakeRead{}, note('r'));
    ASSERT_TRUE(ask(port, BrakeClose{}));
    EXPECT_EQ(order, "osr");
}

TEST_F(BrakePortTest, LetsGoWhenItIsDestroyedWithCommandsOutstanding) {
    {
        BrakePort port(loop, name);
        port.submit(open_guest(), [](const Result<BrakeAnswer>&) { ADD_FAILURE() << "answered"; });
        port.submit(BrakeSet{Share{0.05}}, [](const Result<BrakeAnswer>&) { ADD_FAILURE() << "answered"; });
    }
    BrakePort next(loop, name);
    ASSERT_TRUE(ask(next, open_guest()));
    EXPECT_EQ(next.held().front().name, "segue-" + name + "-vcpu0") << "nothing stood in its way";
}

TEST_F(BrakePortTest, PassesARefusalOn) {
    BrakePort port(loop, name);
    const auto refused = ask(port, BrakeOpen{guest, {4'000'000}, Share{0.05}});
    ASSERT_FALSE(refused);
    EXPECT_NE(to_string(refused.error()).find("is gone"), std::string::npos);
    EXPECT_TRUE(port.held().empty());
}

/// Braked to 5 % with a guardian of its own, then nothing: until it is killed. There is no QEMU, and nothing was sent.
[[noreturn]] void segue_that_will_be_killed(pid_t guest, const std::string& name, int tell) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Loop loop;
    BrakePort port(loop, name);
    GuardClient guard(loop, {find_guard_program(), "/nonexistent/monitor", std::nullopt},
                      [](const GuardNotice&) { ::_exit(3); });
    const auto say = [tell](const std::string& text) { return ::write(tell, text.data(), text.size()); };
    guard.start(-1, seconds{10}, [&](const Result<GuardReady>& ready) {
        if (!ready) return void(say(to_string(ready.error())));
        port.submit(BrakeOpen{guest, {guest}, Share{0.05}}, [&](const Result<BrakeAnswer>& opened) {
            if (!opened) return void(say(to_string(opened.error())));
            if (!guard.take_brake(port.held())) return void(say("the guardian took nothing"));
            port.submit(BrakeSet{Share{0.05}}, [&](const Result<BrakeAnswer>&) { say("braked"); });
        });
    });
    loop.run();
    ::_exit(2);
}

TEST_F(BrakePortTest, IsLetGoOfByTheGuardianWhenSegueIsKilled) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const pid_t segue = ::fork();
    if (segue == 0) segue_that_will_be_killed(guest, name, ends[1]);
    std::array<char, 1000> said{};
    EXPECT_GT(::read(ends[0], said.data(), said.size() - 1), 0);
    ASSERT_STREQ(said.data(), "braked") << "build segue-guard beside this test";
    const auto threads = find_threads(kernel_files(), guest, {guest});
    ASSERT_TRUE(threads);
    const std::string group = threads->front().group;
    EXPECT_TRUE(is_our_group(group)) << group;
    EXPECT_EQ(read_small(group + "/cpu.cfs_quota_us"), "1001");
    ::kill(segue, SIGKILL);
    ::waitpid(segue, nullptr, 0);
    const Instant deadline = loop.now() + seconds{5};
    while (::access(group.c_str(), F_OK) == 0 && loop.now() < deadline) {
        std::this_thread::sleep_for(milliseconds{1});
    }
    EXPECT_NE(::access(group.c_str(), F_OK), 0) << "the group is left";
    EXPECT_EQ(find_threads(kernel_files(), guest, {guest})->front().group, threads->front().mount);
    for (const int end : ends) ::close(end);
}

}  // namespace
}  // namespace segue

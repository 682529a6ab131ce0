#include "app/segue/brake_port.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>


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

}  // namespace
}  // namespace segue

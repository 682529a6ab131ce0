#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>

#include "hypervisor/qemu/real_qemu_test.hpp"
#include "io/fd.hpp"

namespace segue::qemu {
namespace {

using std::chrono::milliseconds;

struct DstGuestTest : QemuTest {};

TEST_P(DstGuestTest, prepares_and_puts_back_exactly) {
    const auto qemu = destination();
    const std::string before = qemu->ask("query-migrate-capabilities") + qemu->ask("query-migrate-parameters");
    {
        AskedDst dst(loop, qemu->monitor());
        const std::string script = dst.must<GuestFacts>(DstInspect{}).put_back_script;
        EXPECT_EQ(std::ranges::count(script, '\n'), 1);
        EXPECT_NE(script.find(R"({"capability":"late-block-activate","state":false})"), std::string::npos) << script;
        dst.must<Done>(DstPrepare{});
        dst.must<Done>(DstPutBack{});
    }
    EXPECT_EQ(qemu->ask("query-migrate-capabilities") + qemu->ask("query-migrate-parameters"), before);
}

TEST_P(DstGuestTest, puts_back_exactly_while_it_is_still_preparing) {
    const auto qemu = destination();
    const std::string before = qemu->ask("query-migrate-capabilities");
    for (const int ms : {0, 0, 1, 2, 3}) {
        {
            AskedDst dst(loop, qemu->monitor());
            ASSERT_TRUE(dst.overtake(DstPrepare{}, std::chrono::milliseconds{ms}, DstPutBack{}));
            dst.must<RunState>(DstReadRunState{});
        }
        ASSERT_EQ(qemu->ask("query-migrate-capabilities"), before) << "after " << ms << " ms";
    }
}

TEST_P(DstGuestTest, picks_a_port_and_listens_once) {
    const auto qemu = destination();
    AskedDst dst(loop, qemu->monitor());
    dst.must<Done>(DstClearAutostart{});
    EXPECT_EQ(dst.must<RunState>(DstReadRunState{}), RunState::inmigrate);
    dst.must<Done>(DstPrepare{});
    const auto address = dst.must<DataAddress>(DstListen{{"127.0.0.1", 0}});
    EXPECT_EQ(address.host, "127.0.0.1");
    EXPECT_GE(address.port, 1024);
    const auto again = dst.ask(DstListen{{"127.0.0.1", 0}});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().kind, ErrorKind::refused);
    EXPECT_FALSE(again.error().source.empty());
}

TEST_P(DstGuestTest, takes_a_connection_and_closes_it_with_its_own_end) {
    const auto qemu = destination();
    AskedDst dst(loop, qemu->monitor());
    dst.must<Done>(DstClearAutostart{});
    dst.must<Done>(DstPrepare{});
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    const Fd source(pair[0]);
    {
        const Fd given(pair[1]);
        dst.guest->set_stream(given.get());
        dst.must<DataAddress>(DstListen{});
    }
    EXPECT_EQ(dst.must<RunState>(DstReadRunState{}), RunState::inmigrate);
    dst.must<Done>(DstKill{});
    char byte = 0;
    EXPECT_EQ(::recv(source.get(), &byte, 1, 0), 0);
}

TEST_P(DstGuestTest, refuses_an_address_that_is_not_its_own) {
    const auto qemu = destination();
    AskedDst dst(loop, qemu->monitor());
    const auto answer = dst.ask(DstListen{{"192.0.2.7", 0}});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::refused);
}

TEST_P(DstGuestTest, is_killed_and_seen_dead) {
    const auto qemu = destination();
    AskedDst dst(loop, qemu->monitor());
    const Fd held(dst.guest->duplicate_pidfd());
    ASSERT_TRUE(held);
    const Instant before = loop.now();
    dst.must<Done>(DstKill{});
    RecordProperty("kill_us", static_cast<int>((loop.now() - before).count() / 1000));
    pollfd entry{held.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 0), 1) << "said to be dead before it was";
    EXPECT_TRUE(dst.sees<DstDied>());
    EXPECT_TRUE(dst.sees<DstLost>());
    dst.must<Done>(DstKill{});
    EXPECT_EQ(std::ranges::count_if(dst.notices, [](const auto& n) { return std::holds_alternative<DstDied>(n); }), 1);
}

TEST_P(DstGuestTest, is_killed_while_it_hangs) {
    const auto qemu = destination();
    AskedDst dst(loop, qemu->monitor());
    ASSERT_EQ(::kill(qemu->pid(), SIGSTOP), 0);
    std::optional<Result<GuestAnswer>> state;
    dst.guest->submit(DstReadRunState{}, milliseconds{100},
                      [&](Result<GuestAnswer> answer) { state = std::move(answer); });
    run_until(loop, [&] { return state.has_value(); });
    ASSERT_TRUE(state && !*state);
    EXPECT_EQ(state->error().kind, ErrorKind::timed_out);
    dst.must<Done>(DstKill{});
}

TEST_P(DstGuestTest, never_takes_the_process_that_passed_the_monitor_on_for_qemu) {
    // The monitor's peer is this very test: a kill by the peer's number would end it.
    RealQemu qemu(program, {"-machine", "pc", "-nodefaults", "-display", "none", "-S", "-incoming", "defer"},
                  RealQemu::Listener::this_process);
    AskedDst dst(loop, qemu.monitor());
    EXPECT_EQ(dst.guest->duplicate_pidfd(), -1);
    EXPECT_EQ(dst.must<GuestFacts>(DstInspect{}).pid, 0);
    dst.must<Done>(DstKill{});
    EXPECT_TRUE(dst.sees<DstLost>());
    dst.must<Done>(DstKill{});
}

INSTANTIATE_TEST_SUITE_P(Real, DstGuestTest, testing::ValuesIn(qemu_versions()), version_name);

}  // namespace
}  // namespace segue::qemu

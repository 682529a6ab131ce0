#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "hypervisor/qemu/real_qemu_test.hpp"
#include "io/fd.hpp"

namespace segue::qemu {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Fd connect_to(const DataAddress& address, std::uint64_t pacing) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(address.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_MAX_PACING_RATE, &pacing, sizeof(pacing)), 0);
    const int queue = 512 * 1024;
    EXPECT_EQ(::setsockopt(socket.get(), IPPROTO_TCP, 25 /* TCP_NOTSENT_LOWAT */, &queue, sizeof(queue)), 0);
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    return socket;
}

constexpr ByteRate rate = mebibytes_per_second(60);

/// Both sides with their drivers, up to the moment before `migrate`.
struct SrcGuestTest : QemuTest {
    std::unique_ptr<RealQemu> source_qemu, destination_qemu;
    std::optional<AskedSrc> src;
    std::optional<AskedDst> dst;
    Fd stream;

    /// `random` MiB of the guest's memory that do not compress to zero pages.
    void begin(std::size_t random = 0, std::optional<ByteRate> cap = rate) {
        std::vector<std::string> more;
        if (random > 0) {
            const std::string path = testing::TempDir() + "segue-random-" + std::to_string(::getpid());
            std::ofstream file(path, std::ios::binary);
            std::uint64_t state = 88172645463325252U;
            for (std::size_t i = 0; i < random * 1024 * 128; ++i) {
                state ^= state << 13U, state ^= state >> 7U, state ^= state << 17U;
                file.write(reinterpret_cast<const char*>(&state), sizeof(state));
            }
            more = {"-device", "loader,file=" + path + ",addr=0x2000000,force-raw=on"};
        }
        source_qemu = source(more);
        destination_qemu = destination();
        src.emplace(loop, source_qemu->monitor());
        dst.emplace(loop, destination_qemu->monitor());
        dst->must<Done>(DstClearAutostart{});
        dst->must<Done>(DstPrepare{});
        const auto address = dst->must<DataAddress>(DstListen{{"127.0.0.1", 0}});
        ASSERT_NE(address.port, 0);
        stream = connect_to(address, static_cast<std::uint64_t>(rate.per_second));
        src->guest->set_stream(stream.get());
        src->must<Done>(SrcPrepare{cap});
        src->must<Done>(SrcTakeStream{});
        if (random > 0) std::remove((testing::TempDir() + "segue-random-" + std::to_string(::getpid())).c_str());
    }
    bool sees(MigrationStatus status) {
        return src->sees([status](const GuestNotice& notice) {
            const auto* change = std::get_if<SrcStatusChanged>(&notice);
            return change != nullptr && change->status == status;
        });
    }
    /// The source is `state`, or soon will be: QEMU tells `completed` before its migration thread, which waits for
    /// the lock, turns finish-migrate into postmigrate (migration_iteration_finish).
    bool comes_to(RunState state) {
        for (int tries = 0; tries < 100; ++tries) {
            if (src->must<RunState>(SrcReadRunState{}) == state) return true;
            run_until(loop, [begin = loop.now(), this] { return loop.now() - begin >= milliseconds{10}; });
        }
        return false;
    }
    std::string settings(const RealQemu& qemu, std::optional<AskedSrc>& holder) {
        // A monitor takes one client at a time.
        holder.reset();
        return settings(qemu);
    }
    static std::string settings(const RealQemu& qemu) {
        return qemu.ask("query-migrate-capabilities") + qemu.ask("query-migrate-parameters");
    }
};

TEST_P(SrcGuestTest, puts_back_exactly_what_it_changed) {
    // Odd originals: the destination's defaults are not what this source had.
    const auto qemu = source({"-global", "migration.x-max-bandwidth=7654321", "-global",
                              "migration.x-downtime-limit=1234"});
    const std::string before = qemu->ask("query-migrate-capabilities") + qemu->ask("query-migrate-parameters");
    EXPECT_NE(before.find("7654321"), std::string::npos);
    std::string during;
    {
        AskedSrc asked(loop, qemu->monitor());
        const std::string script = asked.must<GuestFacts>(SrcInspect{}).put_back_script;
        EXPECT_NE(script.find(R"("max-bandwidth":7654321)"), std::string::npos) << script;
        EXPECT_NE(script.find(R"({"capability":"return-path","state":false})"), std::string::npos) << script;
        EXPECT_NE(script.find(R"({"capability":"auto-converge","state":false})"), std::string::npos) << script;
        EXPECT_EQ(std::ranges::count(script, '\n'), 2);
        asked.must<Done>(SrcPrepare{rate});
        asked.must<Done>(SrcPrepare{rate});
        EXPECT_EQ(asked.must<GuestFacts>(SrcInspect{}).put_back_script, script) << "the first state counts";
        asked.must<Done>(SrcAllowSwitchover{mebibytes(10), rate, rate}, seconds{5});
        asked.must<Done>(SrcPutBack{});
        asked.must<Done>(SrcPutBack{});
    }
    EXPECT_EQ(qemu->ask("query-migrate-capabilities") + qemu->ask("query-migrate-parameters"), before);
}

TEST_P(SrcGuestTest, puts_back_exactly_while_it_is_still_preparing) {
    const auto qemu = source();
    const std::string before = settings(*qemu);
    for (const int ms : {0, 0, 1, 2, 3}) {
        {
            AskedSrc asked(loop, qemu->monitor());
            const std::string script = asked.must<GuestFacts>(SrcInspect{}).put_back_script;
            const Duration after = std::chrono::milliseconds{ms};
            ASSERT_TRUE(asked.overtake(SrcPrepare{rate, Share{0.05}}, after, SrcPutBack{script}));
            asked.must<RunState>(SrcReadRunState{});
        }
        ASSERT_EQ(settings(*qemu), before) << "after " << ms << " ms";
    }
}

TEST_P(SrcGuestTest, puts_back_exactly_while_a_limit_still_waits_for_its_window) {
    const auto qemu = source();
    const std::string before = settings(*qemu);
    AskedSrc asked(loop, qemu->monitor());
    asked.must<Done>(SrcPrepare{rate});
    asked.must<Done>(SrcAllowSwitchover{mebibytes(10), rate, rate});
    // So much lower that 7.2 gives the new maximum two windows first.
    constexpr ByteRate lower = mebibytes_per_second(30);
    ASSERT_TRUE(asked.overtake(SrcAllowSwitchover{mebibytes(10), lower, lower}, milliseconds{5}, SrcPutBack{}));
    asked.guest.reset();
    EXPECT_EQ(settings(*qemu), before);
}

TEST_P(SrcGuestTest, brakes_by_auto_converge_only_where_asked_and_puts_it_back) {
    const auto qemu = source();
    const std::string before = settings(*qemu);
    std::string script;
    {
        AskedSrc asked(loop, qemu->monitor());
        const auto facts = asked.must<GuestFacts>(SrcInspect{});
        EXPECT_TRUE(facts.auto_converge);
        script = facts.put_back_script;
        asked.must<Done>(SrcPrepare{rate, Share{0.05}});
    }
    const std::string during = settings(*qemu);
    EXPECT_NE(during.find(R"({"state":true,"capability":"auto-converge"})"), std::string::npos) << during;
    EXPECT_NE(during.find(R"("max-cpu-throttle":95)"), std::string::npos) << during;
    {
        AskedSrc asked(loop, qemu->monitor());
        asked.must<Done>(SrcPutBack{script});
    }
    EXPECT_EQ(settings(*qemu), before);
}

TEST_P(SrcGuestTest, turns_off_what_would_change_the_promises) {
    const auto qemu = source({"-global", "migration.x-auto-converge=on", "-global", "migration.x-xbzrle=on", "-global",
                              "migration.x-zero-blocks=on"});
    const std::string before = qemu->ask("query-migrate-capabilities");
    {
        AskedSrc asked(loop, qemu->monitor());
        asked.must<Done>(SrcPrepare{});
    }
    const std::string during = qemu->ask("query-migrate-capabilities");
    const auto shows = [&during](const std::string& name, bool on) {
        const std::string entry =
            std::string(R"({"state":)") + (on ? "true" : "false") + R"(,"capability":")" + name + "\"}";
        return during.find(entry) != std::string::npos;
    };
    EXPECT_TRUE(shows("auto-converge", false)) << during;
    EXPECT_TRUE(shows("xbzrle", false)) << during;
    EXPECT_TRUE(shows("zero-blocks", true)) << during;
    for (const char* needed : {"events", "return-path", "pause-before-switchover"}) {
        EXPECT_TRUE(shows(needed, true)) << needed;
    }
}

TEST_P(SrcGuestTest, moves_an_idle_guest) {
    begin();
    src->must<Done>(SrcStart{});
    // An idle guest reaches 0 pending and stops by itself, but not before the first window is over.
    ASSERT_TRUE(src->sees<SrcStopped>());
    ASSERT_TRUE(sees(MigrationStatus::pre_switchover));
    const auto held = src->must<SrcProgress>(SrcReadProgress{});
    EXPECT_EQ(held.status, MigrationStatus::pre_switchover);
    EXPECT_GE(held.dirty_syncs, 2) << "stopped on a stale count";
    EXPECT_LE(held.remaining, mebibytes(1));
    EXPECT_GT(held.total, mebibytes(129));
    src->must<Done>(SrcContinue{});
    ASSERT_TRUE(sees(MigrationStatus::completed));
    EXPECT_TRUE(comes_to(RunState::postmigrate));
    EXPECT_EQ(dst->must<RunState>(DstReadRunState{}), RunState::paused);
    dst->must<Done>(DstRun{});
    EXPECT_TRUE(dst->sees<DstResumed>());
    EXPECT_EQ(dst->must<RunState>(DstReadRunState{}), RunState::running);
    src->must<Done>(SrcAwaitForgotten{});
    dst->must<Done>(DstPutBack{});
    EXPECT_TRUE(src->sees<SrcPassBegan>());
}

TEST_P(SrcGuestTest, leaves_a_guest_that_was_stopped_before_standing_when_its_move_is_cancelled) {
    begin();
    src->must<Done>(SrcStop{});
    ASSERT_TRUE(src->sees<SrcStopped>());
    EXPECT_EQ(src->must<RunState>(SrcReadRunState{}), RunState::paused);
    src->must<Done>(SrcStart{});
    ASSERT_TRUE(sees(MigrationStatus::pre_switchover));
    src->must<Done>(SrcCancel{});
    ASSERT_TRUE(sees(MigrationStatus::cancelled));
    src->must<Done>(SrcAwaitForgotten{});
    // QEMU 7.2 says postmigrate, 8.2 and later paused: the simulator has both.
    const auto left = src->must<RunState>(SrcReadRunState{});
    EXPECT_TRUE(left == RunState::paused || left == RunState::postmigrate);
    src->must<Done>(SrcRun{});
    EXPECT_TRUE(src->sees<SrcResumed>());
    EXPECT_EQ(src->must<RunState>(SrcReadRunState{}), RunState::running);
}

TEST_P(SrcGuestTest, cancels_at_pre_switchover_and_puts_back) {
    begin();
    const auto qemu_settings = [this] { return settings(*source_qemu, src); };
    src->must<Done>(SrcStart{});
    ASSERT_TRUE(sees(MigrationStatus::pre_switchover));
    src->must<Done>(SrcCancel{});
    ASSERT_TRUE(src->sees<SrcResumed>());
    ASSERT_TRUE(sees(MigrationStatus::cancelled));
    src->must<Done>(SrcAwaitForgotten{});
    src->must<Done>(SrcPutBack{});
    src->must<Done>(SrcAnnounce{});
    src->must<Done>(SrcCancel{});
    EXPECT_EQ(src->must<RunState>(SrcReadRunState{}), RunState::running);
    const auto fresh = source();
    EXPECT_EQ(qemu_settings(), fresh->ask("query-migrate-capabilities") + fresh->ask("query-migrate-parameters"));
}

TEST_P(SrcGuestTest, stops_within_the_budget_and_is_yanked_out_of_a_blackout) {
    begin(64);
    src->must<Done>(SrcStart{});
    const Bytes budget = mebibytes(75);
    src->must<Done>(SrcAllowSwitchover{budget, rate, rate});
    ASSERT_TRUE(sees(MigrationStatus::pre_switchover));
    const auto held = src->must<SrcProgress>(SrcReadProgress{});
    EXPECT_LE(held.remaining, budget);
    // Most of it are no zero pages: half a second and more at this pace.
    ASSERT_GT(held.remaining, mebibytes(30));
    std::optional<Result<GuestAnswer>> continued;
    src->guest->submit(SrcContinue{}, seconds{5}, [&](Result<GuestAnswer> answer) { continued = std::move(answer); });
    ASSERT_TRUE(sees(MigrationStatus::device));
    run_until(loop, [start = loop.now(), this] { return loop.now() - start > milliseconds{100}; });
    const Instant yanked = loop.now();
    src->must<Done>(SrcYank{});
    const Duration answered = loop.now() - yanked;
    ASSERT_TRUE(src->sees<SrcResumed>());
    RecordProperty("yank_answer_us", static_cast<int>(answered.count() / 1000));
    RecordProperty("yank_to_resume_us", static_cast<int>((loop.now() - yanked).count() / 1000));
    EXPECT_LT(loop.now() - yanked, milliseconds{200});
    ASSERT_TRUE(sees(MigrationStatus::failed));
    EXPECT_TRUE(dst->sees<DstDied>()) << "a destination that cannot load exits by itself";
    EXPECT_EQ(src->must<RunState>(SrcReadRunState{}), RunState::running);
    EXPECT_TRUE(run_until(loop, [&] { return continued.has_value(); }));
    src->must<Done>(SrcAwaitForgotten{});
    src->must<Done>(SrcPutBack{});
}

TEST_P(SrcGuestTest, samples_dirtying) {
    const auto qemu = source();
    AskedSrc asked(loop, qemu->monitor());
    const Instant before = loop.now();
    const auto measured = asked.must<ByteRate>(SrcSampleDirtying{seconds{1}, mebibytes(130)});
    EXPECT_LT(measured, mebibytes_per_second(64)) << "an idle guest";
    EXPECT_GE(loop.now() - before, seconds{1});
    const auto late = asked.ask(SrcSampleDirtying{seconds{3}, mebibytes(130)}, milliseconds{300});
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().kind, ErrorKind::timed_out);
    const auto next = asked.ask(SrcSampleDirtying{seconds{1}, mebibytes(130)}, seconds{8});
    EXPECT_TRUE(next) << "it waits for the end of the one that was left: " << (next ? "" : to_string(next.error()));
    EXPECT_GE(loop.now() - before, seconds{1 + 3 + 1});
}

TEST_P(SrcGuestTest, refuses_in_order_and_survives_it) {
    const auto qemu = source();
    AskedSrc asked(loop, qemu->monitor());
    EXPECT_FALSE(asked.ask(SrcTakeStream{}));
    EXPECT_FALSE(asked.ask(SrcStart{})) << "no stream was taken";
    EXPECT_FALSE(asked.ask(SrcContinue{}));
    EXPECT_FALSE(asked.ask(SrcAllowSwitchover{mebibytes(1), {0}, {0}}));
    asked.must<Done>(SrcCancel{});
    asked.must<Done>(SrcAwaitForgotten{});
    asked.must<Done>(SrcPutBack{});
    asked.must<Done>(SrcRun{});
}

TEST_P(SrcGuestTest, tells_of_loss_and_death) {
    auto qemu = source();
    AskedSrc asked(loop, qemu->monitor());
    qemu.reset();
    EXPECT_TRUE(asked.sees<SrcLost>());
    EXPECT_TRUE(asked.sees<SrcDied>());
    const auto answer = asked.ask(SrcReadRunState{});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().kind, ErrorKind::unavailable);
}

TEST_P(SrcGuestTest, may_be_destroyed_by_its_answers_and_notices) {
    const auto qemu = source();
    const std::vector<SrcCommand> commands{SrcInspect{}, SrcPrepare{rate}, SrcAwaitForgotten{}, SrcTakeStream{},
                                           SrcPutBack{}};
    for (const SrcCommand& command : commands) {
        AskedSrc asked(loop, qemu->monitor());
        bool answered = false;
        asked.guest->submit(SrcReadRunState{}, seconds{5}, [](const auto&) {});
        asked.guest->submit(command, seconds{5}, [&](const auto&) {
            asked.guest.reset();
            answered = true;
        });
        EXPECT_TRUE(run_until(loop, [&] { return answered; }));
    }
    std::unique_ptr<SrcGuest> guest;
    bool told = false;
    guest = std::make_unique<SrcGuest>(loop, qemu->monitor(), [&](const auto&) { ::kill(qemu->pid(), SIGKILL); },
                                       [&](const GuestNotice&) {
                                           guest.reset();
                                           told = true;
                                       });
    EXPECT_TRUE(run_until(loop, [&] { return told; }));
}

INSTANTIATE_TEST_SUITE_P(Real, SrcGuestTest, testing::ValuesIn(qemu_versions()), version_name);

}  // namespace
}  // namespace segue::qemu

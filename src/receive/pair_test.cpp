// Session against client in virtual time with faults from seeds. The checker is in world_test.cpp; the planted
// bugs show that it bites.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/assert.hpp"
#include "receive/world_test.hpp"

namespace segue::receive::test {
namespace {

using std::chrono::seconds;

/// A source that wants one thing and takes every way to a known end.
class Source {
public:
    Source(World& world, bool wants_word, int abort_at_step)
        : world_(world), wants_word_(wants_word), abort_at_step_(abort_at_step) {}

    enum class End { none, moved, rolled_back, crashed };
    End end = End::none;
    bool recovering = false;
    bool recovered = false;
    std::string said;  ///< The last refusal.

    void connect() {
        ClientPlan plan{hello(true), {}, token, 0, 0, recovering};
        plan.prepare.command = {"/usr/bin/qemu", "-S"};
        client_ = std::make_unique<Client>(std::move(plan));
        lost_ = false;
        ++life_;
        world_.start_session();
        world_.on_message = [this](const Message& m) { step(PeerSaid{m}); };
        world_.on_lost = [this](const std::string& why) { step(ConnectionLost{why}); };
        perform(client_->start(world_.now));
        if (recovering) ask_status();
        else next();
    }

private:
    void step(const ClientEvent& event) {
        if (!client_ || lost_) return;
        perform(client_->step(event, world_.now));
        if (!client_) return;
        const Instant at = client_->wake_at();
        world_.after(std::max(at - world_.now, Duration{0}), [this, at, life = life_] {
            if (life == life_ && client_ && client_->wake_at() <= at) step(ClientTick{});
        });
    }
    void perform(const ClientEffects& effects) {
        for (const auto& effect : effects) {
            if (const auto* e = std::get_if<ToPeer>(&effect)) world_.to_session(e->message);
            else if (const auto* a = std::get_if<CallAnswered>(&effect)) later([this, v = a->value] { answered(v); });
            else if (const auto* n = std::get_if<Notice>(&effect)) later([this, v = n->notice] { noticed(v); });
        }
    }
    void later(std::function<void()> what) {
        world_.after(Duration{0}, [life = life_, this, what = std::move(what)] { if (life == life_) what(); });
    }
    void call(DstCommand command, Duration timeout = seconds{5}) {
        doing_ = command;
        step(Call{CallId{++calls_}, std::move(command), timeout});
    }
    void ask_status() { call(DstReadTruth{}); }

    void next() {
        if (end != End::none || std::holds_alternative<DstKill>(doing_)) return;
        if (step_ == abort_at_step_) return call(DstKill{});
        switch (step_++) {
            case 0: return call(DstInspect{});
            case 1: return call(DstClearAutostart{});
            case 2: return call(DstReadRunState{});
            case 3: return call(DstPrepare{});
            case 4: return call(DstListen{});
            case 5:
                world_.after(world_.faults.delay, [this] { world_.data_arrives(); });
                world_.after(world_.between(seconds{1}, seconds{3}), [this, life = life_] {
                    world_.load();
                    if (life == life_) next();
                });
                return;
            case 6:
                if (!wants_word_) return call(DstKill{});
                word_said_ = true;
                return call(DstRun{}, std::chrono::milliseconds{500});
            default: SEGUE_ASSERT(false);
        }
    }
    void answered(const Result<GuestAnswer>& answer) {
        if (end != End::none || lost_) return;
        if (std::holds_alternative<DstReadTruth>(doing_)) return truth(answer);
        if (std::holds_alternative<DstKill>(doing_)) {
            if (answer) return rolled_back();
            said = to_string(answer.error());
            return reconnect();
        }
        if (std::holds_alternative<DstRun>(doing_)) {
            if (answer) return;  // The notice is the proof.
            said = to_string(answer.error());
            return call(DstReadRunState{});
        }
        if (word_said_) {
            const auto* state = answer ? std::get_if<RunState>(&*answer) : nullptr;
            if (state && *state == RunState::running) return moved();
            if (state) return call(DstKill{});
            return reconnect();
        }
        if (!answer) return call(DstKill{});
        next();
    }
    void noticed(const GuestNotice& notice) {
        if (std::holds_alternative<DstResumed>(notice)) moved();
        else if (std::holds_alternative<DstLost>(notice)) reconnect();
        else if (std::holds_alternative<DstDied>(notice) && !word_said_ && !recovering) call(DstKill{});
    }
    /// What `segue recover` does: reads both sides, finishes or undoes.
    void truth(const Result<GuestAnswer>& answer) {
        if (end != End::none) return;
        const auto* truth = answer ? std::get_if<DstTruth>(&*answer) : nullptr;
        if (truth == nullptr) return reconnect();
        const bool here = truth->accepted && !truth->barred && !truth->undecided;
        if (here && !truth->alive) {
            end = End::crashed;
            return bye();
        }
        if (here && truth->run_state == RunState::running) return moved();
        if (here) {
            word_said_ = true;
            return call(DstRun{});
        }
        call(DstKill{});
    }
    void reconnect() {
        if (end != End::none || std::exchange(lost_, true)) return;
        ++life_;
        recovering = recovered = true;
        word_said_ = false;
        doing_ = DstInspect{};
        // Repaired: no fault but what was done already.
        world_.faults.break_after_lines = world_.faults.crash_after_effects = -1;
        world_.faults.fsync_fails = world_.faults.hiccup = 0;
        world_.after(world_.between(seconds{0}, seconds{4}), [this] { connect(); });
    }
    void moved() {
        if (end != End::none) return;
        end = End::moved;
        if (world_.qemu.alive && world_.qemu.state != RunState::running) world_.violated("moved, and does not run");
        bye();
    }
    void rolled_back() {
        end = End::rolled_back;
        if (world_.qemu.alive) world_.violated("the source was started beside a living destination");
        if (world_.journal.known.ran) world_.violated("the source was started after the guest ran elsewhere");
        world_.source_runs = true;
        bye();
    }
    void bye() { step(SayBye{}); world_.after(50 * ms, [this] { world_.disconnect(); }); }

    World& world_;
    bool wants_word_;
    int abort_at_step_;
    std::unique_ptr<Client> client_;
    int step_ = 0;
    std::uint64_t calls_ = 0;
    int life_ = 0;
    bool lost_ = false;
    bool word_said_ = false;
    DstCommand doing_;
};

struct Ran {
    Source::End end{};
    std::vector<std::string> violations;
    bool recovered = false;
};

Ran run(Faults faults, bool wants_word = true, int abort_at = -1) {
    World world(faults);
    if (faults.guardian_dies) world.after(world.between(seconds{0}, seconds{3}), [&world] {
        world.qemu.guardian = false;
        world.feed(GuardianGone{});
    });
    if (faults.qemu_dies_at >= Duration{0}) world.after(faults.qemu_dies_at, [&world] { world.die(); });
    Source source(world, wants_word, abort_at);
    source.connect();
    const bool ended = world.run_until([&] { return source.end != Source::End::none; }, seconds{200});
    if (!ended) world.violated("no end: " + source.said);
    world.run_until([&] { return !world.session; }, seconds{70});
    if (world.session) {
        world.violated(fmt::format("the session did not leave stage {}", to_string(world.session->stage())));
    }
    if (source.end == Source::End::rolled_back && world.qemu.alive) world.violated("a QEMU was left behind");
    return {source.end, world.violations, source.recovered};
}

Faults drawn(std::uint64_t seed, Bug bug = Bug::none) {
    std::mt19937_64 random(seed * 7919 + 1);
    const auto one_in = [&random](std::uint64_t n) { return random() % n == 0; };
    Faults f;
    f.seed = seed;
    f.bug = bug;
    f.delay = Duration{static_cast<std::int64_t>(random() % 60'000'000)};
    if (one_in(3)) f.hiccup = 0.05;
    if (one_in(2)) f.break_after_lines = static_cast<int>(random() % 80);
    f.half_open = one_in(2);
    if (one_in(3)) f.crash_after_effects = static_cast<int>(random() % 150);
    f.guardian_dies = one_in(8);
    if (one_in(3)) f.fsync_max = seconds{1};
    if (one_in(6)) f.fsync_fails = 0.3;
    f.cont_refused = one_in(6);
    f.cont_unanswered = one_in(6);
    if (one_in(6)) f.qemu_dies_at = Duration{static_cast<std::int64_t>(random() % 5'000'000'000)};
    return f;
}

int seeds_with_violation(Bug bug, std::uint64_t seeds) {
    int found = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const bool word = seed % 4 != 0;
        const int abort_at = seed % 4 == 1 ? static_cast<int>(seed / 4 % 7) : -1;
        const Ran ran = run(drawn(seed, bug), word, abort_at);
        found += ran.violations.empty() ? 0 : 1;
        if (bug != Bug::none) continue;
        for (const auto& what : ran.violations) ADD_FAILURE() << "seed " << seed << ": " << what;
        if (testing::Test::HasFailure()) break;
    }
    return found;
}

TEST(ReceivePair, AMoveWithoutFaultsRunsOnTheDestination) {
    const Ran ran = run({.seed = 1, .delay = 50 * ms});
    EXPECT_EQ(ran.end, Source::End::moved);
    EXPECT_TRUE(ran.violations.empty());
    EXPECT_FALSE(ran.recovered);
}

TEST(ReceivePair, ARefusedContEndsTheDestinationAndTheSourceRuns) {
    const Ran ran = run({.seed = 1, .delay = 20 * ms, .cont_refused = true});
    EXPECT_EQ(ran.end, Source::End::rolled_back);
    EXPECT_TRUE(ran.violations.empty());
    EXPECT_FALSE(ran.recovered);
}

TEST(ReceivePair, AnUnansweredContIsReadAndNotGuessed) {
    const Ran ran = run({.seed = 1, .cont_unanswered = true});
    EXPECT_EQ(ran.end, Source::End::moved);
    EXPECT_FALSE(ran.recovered);
}

TEST(ReceivePair, AConnectionLostAtEveryLineEndsWithOneCopy) {
    for (int line = 0; line < 90; ++line) {
        for (const bool half_open : {false, true}) {
            Faults faults{.seed = static_cast<std::uint64_t>(line), .delay = 10 * ms, .break_after_lines = line};
            faults.half_open = half_open;
            const Ran ran = run(faults);
            EXPECT_NE(ran.end, Source::End::none) << line;
            EXPECT_NE(ran.end, Source::End::crashed) << line;
            for (const auto& what : ran.violations) ADD_FAILURE() << "line " << line << ": " << what;
        }
    }
}

TEST(ReceivePair, ASessionKilledAtEveryEffectEndsWithOneCopy) {
    for (int effect = 0; effect < 140; ++effect) {
        const Ran ran = run({.seed = static_cast<std::uint64_t>(effect), .delay = 10 * ms,
                             .crash_after_effects = effect, .fsync_max = 300 * ms});
        EXPECT_NE(ran.end, Source::End::none) << effect;
        EXPECT_NE(ran.end, Source::End::crashed) << effect;
        for (const auto& what : ran.violations) ADD_FAILURE() << "effect " << effect << ": " << what;
    }
}

TEST(ReceivePair, ThousandsOfSeedsBreakNothing) { EXPECT_EQ(seeds_with_violation(Bug::none, 6000), 0); }

TEST(ReceivePair, TheSeedsReachEveryEnd) {
    std::map<Source::End, int> ends;
    int recovered = 0;
    for (std::uint64_t seed = 1; seed <= 500; ++seed) {
        const Ran ran = run(drawn(seed));
        ++ends[ran.end];
        recovered += ran.recovered ? 1 : 0;
    }
    EXPECT_GT(ends[Source::End::moved], 50);
    EXPECT_GT(ends[Source::End::rolled_back], 50);
    EXPECT_GT(ends[Source::End::crashed], 0);
    EXPECT_GT(recovered, 50);
    EXPECT_LT(recovered, 450);
}

TEST(ReceivePair, APrematureDurableIsFound) { EXPECT_GT(seeds_with_violation(Bug::durable_too_early, 200), 0); }
TEST(ReceivePair, AnAcceptedOldLeaseIsFound) { EXPECT_GT(seeds_with_violation(Bug::stale_lease_taken, 1000), 0); }
TEST(ReceivePair, AKillAnsweredEarlyIsFound) { EXPECT_GT(seeds_with_violation(Bug::kill_answered_early, 200), 0); }

}  // namespace
}  // namespace segue::receive::test

// What the client makes of commands and answers, message by message.
#include "receive/client.hpp"

#include <gtest/gtest.h>

namespace segue::receive {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ReceiveClient : public testing::Test {
protected:
    static ClientPlan plan(bool recovering = false) {
        ClientPlan p{{1, 1, "0.1.0", "host1", {}, MoveId{std::string(32, 'a')}}, {}, {std::string(32, 'b')}, 0, 0,
                     recovering};
        p.prepare.monitor = "/run/q.sock";
        return p;
    }
    Client client{plan()};
    Instant now{seconds{1}};
    ClientEffects effects;

    void step(const ClientEvent& event) { effects = client.step(event, now); }
    void hears(Message m) { step(PeerSaid{std::move(m)}); }
    void greet() { effects = client.start(now); hears(Hello{1, 1, "0.1.0", "host2", {}, {}}); }
    void call(DstCommand command) { step(Call{CallId{++calls}, std::move(command), seconds{5}}); }
    template <class T> const T* one() const {
        for (const auto& e : effects) if (const auto* t = std::get_if<T>(&e)) return t;
        return nullptr;
    }
    template <class M> const M* sent() const {
        for (const auto& e : effects) {
            const auto* out = std::get_if<ToPeer>(&e);
            if (const auto* m = out ? std::get_if<M>(&out->message) : nullptr) return m;
        }
        return nullptr;
    }
    template <class N> bool notice() const {
        const auto* n = one<Notice>();
        return n && std::holds_alternative<N>(n->notice);
    }
    bool done() const { return one<CallAnswered>() && one<CallAnswered>()->value.has_value(); }
    std::optional<ErrorKind> refused() const {
        const auto* a = one<CallAnswered>();
        return a && !a->value ? std::optional(a->value.error().kind) : std::nullopt;
    }
    StatusReply reply(Stage stage, RunState state, bool accepted = false) {
        return {sent<Status>()->request, stage, state, accepted, false, true};
    }
    RequestId say_word() {
        greet();
        hears(Lease{4});
        call(DstRun{});
        return sent<Word>()->request;
    }
    std::uint64_t calls = 0;
};

TEST_F(ReceiveClient, CommandsWaitForTheGreeting) {
    effects = client.start(now);
    EXPECT_TRUE(sent<Hello>());
    call(DstInspect{});
    EXPECT_TRUE(effects.empty());
    hears(Hello{1, 2, "0.2.0", "host2", {}, {}});
    ASSERT_TRUE(sent<Prepare>());
    hears(Prepared{sent<Prepare>()->request, {}});
    EXPECT_TRUE(done());
}

TEST_F(ReceiveClient, WhatIsInTheWayThereAnswersTheInspection) {
    greet();
    call(DstInspect{});
    const RequestId id = sent<Prepare>()->request;
    hears(Failed{id, {ErrorKind::refused, "no tap", ""}, {{"network-tap", "no tap", "make one"}}});
    ASSERT_TRUE(done());
    const auto* found = std::get_if<DstObstacles>(&*one<CallAnswered>()->value);
    ASSERT_TRUE(found);
    ASSERT_EQ(found->all.size(), 1U);
    EXPECT_EQ(found->all[0].code, "network-tap");
    // Item by item only of that; all else is an error.
    call(DstPrepare{});
    hears(Failed{sent<Settings>()->request, {ErrorKind::refused, "m", ""}, {{"a", "b", "c"}}});
    EXPECT_EQ(refused(), ErrorKind::refused);
}

TEST_F(ReceiveClient, ADestinationThatSpeaksOnlyVersion2IsRefused) {
    effects = client.start(now);
    hears(Hello{2, 2, "0.9.0", "host2", {}, {}});
    ASSERT_TRUE(one<CloseConnection>());
    EXPECT_NE(one<CloseConnection>()->why.find("versions 2 to 2"), std::string::npos);
    EXPECT_TRUE(notice<DstLost>());
}

TEST_F(ReceiveClient, EachLeaseIsQuotedByAPing) {
    greet();
    hears(Lease{1});
    EXPECT_EQ(sent<Ping>()->n, 1U);
    hears(Lease{1});
    EXPECT_TRUE(one<CloseConnection>());  // It must count up.
}

TEST_F(ReceiveClient, TheWordQuotesTheNewestLease) {
    const RequestId id = say_word();
    EXPECT_EQ(sent<Word>()->n, 4U);
    hears(Running{id});
    EXPECT_TRUE(done());
    EXPECT_TRUE(notice<DstResumed>());
}

TEST_F(ReceiveClient, AWordOnAnOldLeaseIsNotEvenSaid) {
    greet();
    hears(Lease{1});
    now = now + milliseconds{301};
    call(DstRun{});
    EXPECT_FALSE(sent<Word>());
    EXPECT_EQ(refused(), ErrorKind::refused);
}

TEST_F(ReceiveClient, ARefusedWordAndAnUnknownOneAreTwoThings) {
    const RequestId id = say_word();
    hears(Refused{id, "old", false});
    EXPECT_EQ(refused(), ErrorKind::refused);
}

TEST_F(ReceiveClient, ARefusedWordOfADeadDestinationIsNotAskedAbout) {
    const RequestId id = say_word();
    hears(Refused{id, "cont was refused", true});
    call(DstReadRunState{});
    EXPECT_TRUE(done());
    EXPECT_FALSE(sent<Status>());
}

TEST_F(ReceiveClient, ADeathBeforeTheWordWasAcceptedWaitsForTheWordsAnswer) {
    const RequestId id = say_word();
    hears(Died{false});
    EXPECT_TRUE(effects.empty());
    hears(Refused{id, "there is no loaded guest", true});
    EXPECT_EQ(refused(), ErrorKind::refused);
    EXPECT_FALSE(notice<DstDied>());
    call(DstKill{});
    EXPECT_TRUE(done());
}

TEST_F(ReceiveClient, AWordWithoutAnswerIsTimedOutAndALateAnswerStillCounts) {
    const RequestId id = say_word();
    now = now + seconds{1};
    hears(Lease{5});
    now = now + seconds{1};
    hears(Lease{6});
    now = now + seconds{1};
    hears(Lease{7});
    now = now + milliseconds{1900};
    hears(Lease{8});
    now = now + milliseconds{100};
    step(ClientTick{});
    EXPECT_EQ(refused(), ErrorKind::timed_out);
    hears(Running{id});
    EXPECT_TRUE(notice<DstResumed>());
}

TEST_F(ReceiveClient, AnErrorIsNeverTakenForARefusedWord) {
    const RequestId id = say_word();
    hears(Failed{id, {ErrorKind::refused, "m", ""}});
    EXPECT_EQ(refused(), ErrorKind::unavailable);
}

TEST_F(ReceiveClient, ALostConnectionLeavesTheWordUnknown) {
    say_word();
    step(ConnectionLost{"end of the stream"});
    EXPECT_EQ(refused(), ErrorKind::unavailable);
    EXPECT_TRUE(notice<DstLost>());
    call(DstReadRunState{});
    EXPECT_EQ(refused(), ErrorKind::unavailable);
}

TEST_F(ReceiveClient, SilenceOfTwoSecondsIsALostConnection) {
    greet();
    hears(Lease{1});
    now = now + seconds{2};
    EXPECT_EQ(client.wake_at(), now);
    step(ClientTick{});
    EXPECT_TRUE(one<CloseConnection>());
    EXPECT_TRUE(notice<DstLost>());
}

TEST_F(ReceiveClient, ARunStateIsAskedAgainWhileTheWordIsBeingDecided) {
    say_word();
    call(DstReadRunState{});
    for (const Stage stage : {Stage::connected, Stage::accepting, Stage::accepted}) {
        hears(reply(stage, RunState::paused));
        EXPECT_FALSE(one<CallAnswered>());
        now = now + milliseconds{10};
        step(ClientTick{});
        ASSERT_TRUE(sent<Status>());
    }
    hears(reply(Stage::running, RunState::running, true));
    EXPECT_EQ(std::get<RunState>(*one<CallAnswered>()->value), RunState::running);
}

TEST_F(ReceiveClient, ADeadDestinationThatHadAcceptedIsNoRunState) {
    say_word();
    call(DstReadRunState{});
    hears(reply(Stage::died, RunState::other, true));
    EXPECT_EQ(refused(), ErrorKind::unavailable);
}

TEST_F(ReceiveClient, AKillIsDoneWhenQemuWasSeenDead) {
    greet();
    call(DstKill{});
    const RequestId id = sent<Abort>()->request;
    hears(Died{false});
    EXPECT_TRUE(done());  // The tombstone need not be waited for: no word was sent.
    hears(Aborted{id});
    EXPECT_FALSE(one<CallAnswered>());
    step(ConnectionLost{"bye"});
    call(DstKill{});
    EXPECT_TRUE(done());
}

TEST_F(ReceiveClient, AfterAnUnknownWordAKillWaitsForAborted) {
    say_word();
    call(DstKill{});
    const RequestId id = sent<Abort>()->request;
    hears(Died{false});
    EXPECT_FALSE(one<CallAnswered>());
    hears(Aborted{id});
    EXPECT_TRUE(done());
}

TEST_F(ReceiveClient, ADeathWithTheGuestNeverAnswersAKill) {
    client = Client{plan(true)};
    greet();
    hears(Died{true});
    EXPECT_TRUE(notice<DstDied>());
    call(DstKill{});
    EXPECT_FALSE(done());
    hears(Refused{sent<Abort>()->request, "accepted", true});
    EXPECT_EQ(refused(), ErrorKind::refused);
}

TEST_F(ReceiveClient, ARecoveringClientFinishesInsteadOfSayingTheWord) {
    client = Client{plan(true)};
    greet();
    call(DstRun{});
    ASSERT_TRUE(sent<Finish>());
    hears(Running{sent<Finish>()->request});
    EXPECT_TRUE(done());
}

TEST_F(ReceiveClient, AnAnswerOfAnotherKindEndsTheConnection) {
    greet();
    call(DstClearAutostart{});
    hears(Aborted{sent<ClearAutostart>()->request});
    EXPECT_TRUE(one<CloseConnection>());
    EXPECT_EQ(refused(), ErrorKind::unavailable);
}

TEST_F(ReceiveClient, ADestinationThatRunsUnaskedIsNotBelieved) {
    greet();
    hears(Running{RequestId{1}});
    EXPECT_TRUE(one<CloseConnection>());
    EXPECT_FALSE(notice<DstResumed>());
}

TEST_F(ReceiveClient, WhatOnlyASourceSaysEndsTheConnection) {
    greet();
    hears(Word{RequestId{1}, 1});
    EXPECT_TRUE(one<CloseConnection>());
}

}  // namespace
}  // namespace segue::receive

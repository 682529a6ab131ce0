// The session against hostile sources: honest up to a random step, then anything, and again in new sessions of
// the same move. The checker is in world_test.cpp.
#include <gtest/gtest.h>

#include "receive/world_test.hpp"

namespace segue::receive::test {
namespace {

using std::chrono::seconds;

Message hostile(std::mt19937_64& random, std::uint64_t newest) {
    const RequestId id{random() % 8};
    switch (random() % 14) {
        case 0: case 1: return Ping{newest};
        case 2: return Word{id, newest};
        case 3: return Word{id, random() % (newest + 3)};
        case 4: return Abort{id, "replayed"};
        case 5: return Prepare{id, "", {"/usr/bin/qemu"}, {}};
        case 6: return Prepare{id, "/run/q.sock", {}, {}};
        case 7: return ClearAutostart{id};
        case 8: return Settings{id};
        case 9: return Listen{id, "h", 0, 0, 0, token};
        case 10: return Finish{id};
        case 11: return Status{id};
        case 12: return PutBack{id};
        default: return random() % 40 == 0 ? Message{Bye{}} : Message{Status{id}};
    }
}

/// Honest up to a random step, then anything; and again in a new session of the same move.
int attacks_with_violation(Bug bug, std::uint64_t seeds) {
    int found = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        World world({.seed = seed, .bug = bug, .fsync_max = 50 * ms});
        for (int round = 0; round < 3; ++round) {
            world.start_session();
            world.say(hello(true));
            const auto pause = [&](Duration d) { world.run_until([] { return false; }, d); };
            pause(5 * ms);
            const auto honest = world.random() % 7;
            const Message script[] = {Prepare{RequestId{1}, "", {"/usr/bin/qemu"}, {}}, ClearAutostart{RequestId{2}},
                                      Settings{RequestId{3}}, Listen{RequestId{4}, "h", 0, 0, 0, token}};
            for (std::size_t i = 0; i < std::size(script) && i < honest; ++i) {
                world.say(script[i]);
                pause(100 * ms);
            }
            if (honest > 4) { world.data_arrives(); world.load(); pause(5 * ms); }
            for (int i = 0; i < 30 && world.session; ++i) {
                std::uint64_t newest = 0;
                for (const auto& m : world.heard) if (const auto* l = std::get_if<Lease>(&m)) newest = l->n;
                world.say(hostile(world.random, newest));
                pause(world.between(Duration{0}, 60 * ms));
            }
            if (world.chance(0.5)) world.disconnect();
            pause(seconds{world.chance(0.5) ? 4 : 0});
            world.heard.clear();
        }
        found += world.violations.empty() ? 0 : 1;
        if (bug != Bug::none) continue;
        for (const auto& what : world.violations) ADD_FAILURE() << "seed " << seed << ": " << what;
        if (testing::Test::HasFailure()) break;
    }
    return found;
}

TEST(ReceiveAttack, ThousandsOfHostileSourcesHarmNothing) { EXPECT_EQ(attacks_with_violation(Bug::none, 3000), 0); }
TEST(ReceiveAttack, AJournalThatForgetsIsFound) { EXPECT_GT(attacks_with_violation(Bug::journal_forgets, 500), 0); }

}  // namespace
}  // namespace segue::receive::test

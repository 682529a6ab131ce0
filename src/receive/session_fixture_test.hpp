#pragma once
/// \file  A session on a quick and faultless host, driven message by message.

#include <gtest/gtest.h>

#include "receive/world_test.hpp"

namespace segue::receive::test {

using std::chrono::seconds;

class ReceiveSession : public testing::Test {
protected:
    World world{Faults{.seed = 1, .fsync_max = Duration{0}}};

    void pass(Duration d) { world.run_until([] { return false; }, d); }
    /// Time goes by with the source answering each lease.
    void pass_alive(Duration d) {
        for (Duration left = d; left > Duration{0}; left -= 50 * ms) {
            pass(std::min(left, Duration{50 * ms}));
            world.say(Ping{newest()});
        }
    }
    std::uint64_t newest() const {
        std::uint64_t n = 0;
        for (const auto& m : world.heard) if (const auto* l = std::get_if<Lease>(&m)) n = l->n;
        return n;
    }
    template <class T> const T* last() const {
        for (auto m = world.heard.rbegin(); m != world.heard.rend(); ++m) {
            if (const auto* t = std::get_if<T>(&*m)) return t;
        }
        return nullptr;
    }
    StatusReply status() {
        world.say(Status{RequestId{99}});
        pass(10 * ms);
        return *last<StatusReply>();
    }
    void greet() { world.start_session(); world.say(hello(true)); pass(10 * ms); }
    void prepare(bool start = true) {
        greet();
        if (!start) world.qemu.alive = true;
        Prepare request{RequestId{1}, start ? "" : "/run/q.sock", {}, {}};
        if (start) request.command = {"/usr/bin/qemu"};
        world.say(request);
        pass(60 * ms);
    }
    void listen(bool start = true) {
        prepare(start);
        world.say(ClearAutostart{RequestId{2}});
        pass(10 * ms);
        world.say(Settings{RequestId{3}});
        pass(10 * ms);
        world.say(Listen{RequestId{4}, "192.0.2.2", 0, 0, 0, token});
        pass(10 * ms);
    }
    void connect(bool start = true) {
        listen(start);
        world.data_arrives();
        pass(1 * ms);
        world.load();
    }
    /// The source goes, and the journal is to say this of the end.
    void expect_end(const Bye& bye, std::string_view outcome, std::string_view why) {
        world.say(bye);
        pass(seconds{1});
        EXPECT_EQ(world.ended.outcome, outcome);
        EXPECT_EQ(world.ended.why, why);
    }
    Stage stage() const { return world.session ? world.session->stage() : Stage::over; }
    void TearDown() override { for (const auto& what : world.violations) ADD_FAILURE() << what; }
};

}  // namespace segue::receive::test

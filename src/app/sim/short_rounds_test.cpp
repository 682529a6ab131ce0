// Rounds so short that a dirty sync lies in every look at the stream, and QEMU writes nothing around each: what the
// link carries is known all the same (migration/copying.cpp, on_stream).
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "app/sim/run_text_test.hpp"
#include "app/sim/runner.hpp"
#include "hypervisor/sim/world.hpp"
#include "policy/policy.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Seen {
    Duration at{0};
    double bandwidth = 0;  ///< MiB/s; 0: not known.
};

/// Says go at once, and writes down what it is shown.
class Onlooker final : public Policy {
public:
    explicit Onlooker(std::vector<Seen>& seen) : seen_(seen) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "onlooker"; }
    [[nodiscard]] Decision decide(const View& view) override {
        const double rate = view.bandwidth ? static_cast<double>(view.bandwidth->per_second) / (1 << 20) : 0;
        seen_.push_back({view.elapsed, rate});
        return {AllowSwitchover{}, {}};
    }

private:
    std::vector<Seen>& seen_;
};

class ShortRounds : public testing::Test {
protected:
    /// 3 MiB are dirty again after each round of 30 ms, and 30 ms of silence follow; the user ends it.
    void run(std::vector<Interference> script) {
        Scenario s = plain_scenario(7);
        s.plan.guest.memory = mebibytes(64);
        s.plan.guest.working_set = mebibytes(3);
        s.plan.guest.rate = mebibytes_per_second(2000);
        s.plan.link.send_buffer = mebibytes(1);
        s.plan.qemu.sync_silence = milliseconds{30};
        s.request.bounds.max_downtime = milliseconds{90};
        s.policy = [this] { return std::make_unique<Onlooker>(seen); };
        s.script = std::move(script);
        s.fault = Fault::user_cancel;
        s.moment = Moment::copying;
        s.offset = seconds{8};
        const RunResult result = run_scenario(s);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
    }

    /// Of the link, as it was shown between two moments; the least and the most.
    [[nodiscard]] std::pair<double, double> shown(Duration from, Duration to) const {
        std::pair<double, double> range{1e9, 0};
        int count = 0;
        for (const Seen& one : seen) {
            if (one.at < from || one.at > to) continue;
            range = {std::min(range.first, one.bandwidth), std::max(range.second, one.bandwidth)};
            ++count;
        }
        EXPECT_GE(count, 5) << "so that rounds are short";
        return range;
    }

    std::vector<Seen> seen;
};

TEST_F(ShortRounds, do_not_make_a_link_look_slower_than_it_is) {
    run({});
    const auto [least, most] = shown(seconds{3}, seconds{7});
    EXPECT_GE(least, 90);
    EXPECT_LE(most, 105);
}

TEST_F(ShortRounds, do_not_hide_a_link_that_becomes_slower) {
    run({{seconds{4}, [](World& world) { world.link_factor(0.7); }}});
    EXPECT_GE(shown(seconds{3}, seconds{4}).first, 90);
    const auto [least, most] = shown(seconds{6}, seconds{7});
    EXPECT_GE(least, 60);
    EXPECT_LE(most, 85) << "after a rest this link lets 10 ms through at once";
}

}  // namespace
}  // namespace segue::sim

// A link faster than QEMU can fill: nothing ever waits in the socket, and what gets through is all that there is to go
// by (migration/copying.cpp, expect_what_is_seen).
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "app/sim/run_text_test.hpp"
#include "app/sim/runner.hpp"
#include "app/sim/scripted_move_test.hpp"
#include "policy/policy.hpp"

namespace segue::sim {
namespace {

using std::chrono::milliseconds;

constexpr double mib = 1 << 20;

struct Seen {
    std::int64_t pass = 0;
    double believed = 0;  ///< MiB/s, for what is to come.
    double blackout = 0;  ///< MiB/s; 0: not known.
};

/// The patient policy, which writes down what it is shown.
class Onlooker final : public Policy {
public:
    explicit Onlooker(std::vector<Seen>& seen) : seen_(seen), patient_(make_patient_policy()) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "onlooker"; }
    [[nodiscard]] Decision decide(const View& view) override {
        seen_.push_back({view.passes.back().number, view.outlook.bandwidth_bytes_per_second.p50 / mib,
                         view.bandwidth ? static_cast<double>(view.bandwidth->per_second) / mib : 0});
        return patient_->decide(view);
    }

private:
    std::vector<Seen>& seen_;
    std::unique_ptr<Policy> patient_;
};

class FastLink : public testing::Test {
protected:
    std::vector<Seen> seen;
    RunResult result;

    /// QEMU writes 60 MiB/s, the link would carry 2 GiB/s; pass 1 takes a second and a half.
    void run(std::optional<ByteRate> cap, std::vector<Interference> script = {}) {
        Scenario s = plain_scenario(11);
        s.plan.link.rate = mebibytes_per_second(2048);
        s.plan.qemu.writes = mebibytes_per_second(60);
        s.request.forecast = true;
        s.request.bounds.max_bandwidth = cap;
        s.script = std::move(script);
        s.policy = [this] { return std::make_unique<Onlooker>(seen); };
        result = run_scenario(s);
        EXPECT_TRUE(result.violations.empty()) << all_of(result);
        EXPECT_EQ(outcome_word(result), "moved") << all_of(result);
    }

    [[nodiscard]] Seen after_pass_1() const {
        const auto at = std::ranges::find_if(seen, [](const Seen& one) { return one.pass == 2; });
        EXPECT_NE(at, seen.end()) << all_of(result);
        return at == seen.end() ? Seen{} : *at;
    }
};

TEST_F(FastLink, with_a_cap_far_above_what_qemu_writes_is_believed_to_carry_what_is_seen) {
    run(mebibytes_per_second(1000));
    EXPECT_GT(seen.front().believed, 900) << "before a byte was sent, what the operator said";
    EXPECT_NEAR(after_pass_1().believed, 60, 6);
    EXPECT_GT(after_pass_1().blackout, 40);
    EXPECT_LT(after_pass_1().blackout, 66) << "a stop is reckoned with what got through, not with the cap";
}

TEST_F(FastLink, with_a_cap_that_qemu_all_but_fills_is_believed_to_carry_it) {
    run(mebibytes_per_second(70));
    EXPECT_NEAR(after_pass_1().believed, 70, 5);
    EXPECT_LT(after_pass_1().blackout, 66);
}

TEST_F(FastLink, that_was_silent_for_a_while_is_judged_by_what_is_seen_since) {
    // All that ever waited in the socket did so in the silence: of that nothing is to be learned.
    run(std::nullopt, {link_at(milliseconds{400}, 0), link_at(milliseconds{1200}, 1)});
    EXPECT_GT(after_pass_1().blackout, 40);
    EXPECT_LT(after_pass_1().blackout, 66);
}

TEST_F(FastLink, of_which_nobody_said_anything_is_judged_by_what_is_seen) {
    run(std::nullopt);
    EXPECT_GT(after_pass_1().blackout, 40);
    EXPECT_LT(after_pass_1().blackout, 66);
}

}  // namespace
}  // namespace segue::sim

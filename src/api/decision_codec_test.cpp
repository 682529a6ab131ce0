#include "api/decision_codec.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <limits>

namespace segue::decision {
namespace {

/// Any double but a NaN, from its bits.
double any_double() {
    double value = 0;
    do {
        value = std::bit_cast<double>(*rc::gen::arbitrary<std::uint64_t>());
    } while (std::isnan(value));
    return value;
}

Outlook any_outlook() {
    Outlook out;
    std::array<double, Curve::points> table{};
    double height = 0;
    for (auto& bytes : table) bytes = height += *rc::gen::inRange(0, 1 << 30) / 3.0;
    out.curve = Curve::recorded(table);
    out.level_sigma = any_double();
    out.round_sigma = any_double();
    out.round_phi = any_double();
    out.busy.ratio = any_double();
    out.busiest = {any_double(), any_double()};
    out.unbraked_ratio = any_double();
    out.bandwidth_bytes_per_second = {any_double(), any_double(), any_double()};
    out.bandwidth_known = *rc::gen::arbitrary<bool>();
    out.memory.count = *rc::gen::arbitrary<std::int64_t>();
    out.first_pass.count = *rc::gen::arbitrary<std::int64_t>();
    out.first_pass_sigma = any_double();
    out.round_overhead = Duration{*rc::gen::arbitrary<std::int64_t>()};
    out.costs = {Duration{*rc::gen::arbitrary<std::int64_t>()}, Duration{3}, Duration{-1}};
    out.passes_seen = *rc::gen::arbitrary<int>();
    out.vcpus = *rc::gen::arbitrary<int>();
    return out;
}

View any_view() {
    View out;
    out.elapsed = Duration{*rc::gen::arbitrary<std::int64_t>()};
    if (*rc::gen::arbitrary<bool>()) out.timeout = Duration{*rc::gen::arbitrary<std::int64_t>()};
    for (int i = 0; i < *rc::gen::inRange(0, 5); ++i) {
        out.passes.push_back({i, Duration{i * 7}, Bytes{i * 11}, Duration{13}, Share{any_double()}});
    }
    if (*rc::gen::arbitrary<bool>()) out.bandwidth = ByteRate{*rc::gen::arbitrary<std::int64_t>()};
    out.budget.count = *rc::gen::arbitrary<std::int64_t>();
    out.allowed = *rc::gen::arbitrary<bool>();
    out.max_downtime = Duration{*rc::gen::arbitrary<std::int64_t>()};
    out.aggression = any_double();
    out.brake.shares = {any_double(), 1.0};
    out.brake.stall_s = {any_double(), any_double()};
    out.brake.cut_by_stall = *rc::gen::arbitrary<bool>();
    out.brake.floor = any_double();
    out.brake.available = *rc::gen::arbitrary<bool>();
    out.share.ratio = any_double();
    out.outlook = any_outlook();
    return out;
}

RC_GTEST_PROP(DecisionCodec, a_view_comes_back_bit_for_bit, ()) {
    const View view = any_view();
    const auto again = parse_view(encode(view));
    RC_ASSERT(again.has_value());
    RC_ASSERT(encode(*again) == encode(view));
    RC_ASSERT(again->outlook.curve == view.outlook.curve);
    RC_ASSERT(std::bit_cast<std::uint64_t>(again->aggression) == std::bit_cast<std::uint64_t>(view.aggression));
    RC_ASSERT(again->timeout == view.timeout);
}

RC_GTEST_PROP(DecisionCodec, an_outlook_comes_back_bit_for_bit, ()) {
    const Outlook outlook = any_outlook();
    const auto again = parse_outlook(encode(outlook));
    RC_ASSERT(again.has_value());
    RC_ASSERT(encode(*again) == encode(outlook));
    RC_ASSERT(again->costs == outlook.costs);
}

RC_GTEST_PROP(DecisionCodec, a_decision_comes_back_bit_for_bit, ()) {
    Decision decision;
    const int action = *rc::gen::inRange(0, 3);
    if (action == 1) decision.action = AllowSwitchover{};
    if (action == 2) decision.action = GiveUp{};
    decision.because = "204 MiB left, \"budget\" 686 MiB";
    if (*rc::gen::arbitrary<bool>()) decision.share = Share{any_double()};
    if (*rc::gen::arbitrary<bool>()) decision.total_s = Band{any_double(), any_double(), any_double()};
    const auto again = parse_decision(encode(decision));
    RC_ASSERT(again.has_value());
    RC_ASSERT(again->action.index() == decision.action.index());
    RC_ASSERT(again->share == decision.share);
    RC_ASSERT(again->total_s == decision.total_s);
    RC_ASSERT(encode(*again) == encode(decision));
}

TEST(DecisionCodec, infinity_is_kept) {
    Decision decision;
    decision.total_s = Band{1, 2, std::numeric_limits<double>::infinity()};
    EXPECT_EQ(parse_decision(encode(decision))->total_s->p90, std::numeric_limits<double>::infinity());
}

TEST(DecisionCodec, what_is_missing_or_of_another_type_is_named) {
    std::string text = encode(View{});
    const auto at = text.find("\"budget_bytes\":0");
    ASSERT_NE(at, std::string::npos);
    text.replace(at, 16, "\"budget_bytes\":\"\"");
    const auto view = parse_view(text);
    ASSERT_FALSE(view.has_value());
    EXPECT_NE(view.error().message.find("budget_bytes"), std::string::npos);
    EXPECT_FALSE(parse_view(encode(Decision{})).has_value());
    EXPECT_FALSE(parse_view("{").has_value());
}

TEST(DecisionCodec, a_curve_that_falls_is_refused) {
    std::string text = encode(Outlook{});
    const auto at = text.find("\"0\"");
    ASSERT_NE(at, std::string::npos);
    text.replace(at, 3, "\"5\"");
    EXPECT_FALSE(parse_outlook(text).has_value());
}

}  // namespace
}  // namespace segue::decision

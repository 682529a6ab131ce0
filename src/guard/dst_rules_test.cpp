#include "guard/dst_rules.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace segue::guard {
namespace {

using std::chrono::milliseconds;

constexpr Instant at_ms(std::int64_t ms) { return {milliseconds{ms}}; }

/// At 3000 ms, armed, the source last heard of at 2500: the deadline is at 4500.
DstView armed() {
    DstView view;
    view.now = at_ms(3000);
    view.armed = true;
    view.alive_at = at_ms(2500);
    return view;
}

struct Row {
    const char* what;
    DstView view;
    DstAction action;
};

DstView with(DstView view, auto change) {
    change(view);
    return view;
}

TEST(DstRules, follow_the_table) {
    const DstView unarmed = with(armed(), [](DstView& v) { v.armed = false; });
    const std::vector<Row> rows = {
        {"the source lives", armed(), DstAction::wait},
        {"at the deadline", with(armed(), [](DstView& v) { v.now = at_ms(4500); }), DstAction::kill},
        {"just before", with(armed(), [](DstView& v) { v.now = at_ms(4499); }), DstAction::wait},
        {"receive died", with(armed(), [](DstView& v) { v.receive_alive = false; }), DstAction::kill},
        {"untouched, at any age", with(unarmed, [](DstView& v) { v.now = at_ms(99'000); }), DstAction::wait},
        {"untouched, receive died", with(unarmed, [](DstView& v) { v.receive_alive = false; }), DstAction::leave},
        {"claimed, receive died", with(armed(), [](DstView& v) {
             v.claim = DstClaim::claimed;
             v.receive_alive = false;
         }), DstAction::leave},
        {"claimed, silent for ever", with(armed(), [](DstView& v) {
             v.claim = DstClaim::claimed;
             v.now = at_ms(99'000);
         }), DstAction::leave},
        {"its QEMU ended", with(armed(), [](DstView& v) { v.qemu_alive = false; }), DstAction::leave},
        {"released", with(armed(), [](DstView& v) { v.released = true; }), DstAction::leave},
        {"a kill that was decided is brought to its end", with(armed(), [](DstView& v) {
             v.claim = DstClaim::killed;
             v.released = true;
         }), DstAction::kill},
    };
    for (const Row& row : rows) EXPECT_EQ(advise(row.view).action, row.action) << row.what;
}

TEST(DstRules, wake_at_the_deadline_or_when_told) {
    EXPECT_EQ(advise(armed()).wake_at, at_ms(4500));
    EXPECT_EQ(advise(with(armed(), [](DstView& v) { v.armed = false; })).wake_at, at_ms(3000) + dst_no_deadline);
}

TEST(DstBoard, is_decided_once) {
    DstBoard accepted;
    EXPECT_TRUE(decide(accepted, DstClaim::claimed));
    EXPECT_TRUE(decide(accepted, DstClaim::claimed));
    EXPECT_FALSE(decide(accepted, DstClaim::killed));
    DstBoard killed;
    EXPECT_TRUE(decide(killed, DstClaim::killed));
    EXPECT_FALSE(decide(killed, DstClaim::claimed));
}

}  // namespace
}  // namespace segue::guard

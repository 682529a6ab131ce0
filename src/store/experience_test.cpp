#include "store/experience.hpp"

#include <gtest/gtest.h>

#include <limits>

#include <algorithm>

#include "store/experience_codec.hpp"

namespace segue {
namespace {

using std::chrono::days;
using std::chrono::milliseconds;
using std::chrono::seconds;

const WallTime now{seconds{1'800'000'000}};

FixedCosts costs(int stop_ms) { return {milliseconds{stop_ms}, milliseconds{20}, milliseconds{5}}; }

TEST(GuestKey, is_the_uuid_unless_it_says_nothing) {
    EXPECT_EQ(guest_key("0F1E2D3C-aaaa-bbbb-cccc-0123456789ab", "web-7", "/run/a"),
              "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab");
    EXPECT_EQ(guest_key("00000000-0000-0000-0000-000000000000", "web-7", "/run/a"), "name-web-7");
    EXPECT_EQ(guest_key("", "web-7", "/run/a"), "name-web-7");
    EXPECT_EQ(guest_key("../../../../../../../../../../etc/pas", "web-7", "/run/a"), "name-web-7");
}

TEST(GuestKey, is_always_a_plain_file_name_and_keeps_names_apart) {
    const std::string slash = guest_key("", "../a/b", "");
    const std::string other = guest_key("", "../a_b", "");
    EXPECT_NE(slash, other);
    EXPECT_TRUE(slash.starts_with("name-.._a_b-")) << slash;
    for (const std::string& name : {std::string("/"), std::string(".."), std::string(5000, 'x'), std::string("a\0b", 3),
                                    std::string("gr\xc3\xbc\xc3\x9f")}) {
        const std::string key = guest_key("", name, "");
        EXPECT_LE(key.size(), 100U);
        EXPECT_EQ(key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."),
                  std::string::npos) << key;
    }
    EXPECT_NE(guest_key("", std::string(65, 'x'), ""), guest_key("", std::string(66, 'x'), ""));
}

TEST(GuestKey, is_the_monitor_for_a_guest_without_a_name) {
    EXPECT_EQ(guest_key("", "", ""), "monitor-cbf29ce484222325");
    EXPECT_EQ(guest_key("", "", "a"), "monitor-af63dc4c8601ec8c") << "FNV-1a, the same for ever";
    EXPECT_NE(guest_key("", "", "/run/a.qmp"), guest_key("", "", "/run/b.qmp"));
}

TEST(Remembered, is_read_back_as_it_was_written) {
    Remembered r;
    r.costs = {{now, costs(4)}, {now - days{1}, costs(7)}};
    r.rollbacks = {{now, milliseconds{13}}};
    const std::string text = render_remembered(r, "key");
    EXPECT_EQ(
        text,
        R"({"schema":1,"guest":"key","costs":[{"at_unix_seconds":1800000000,"stop_ns":4000000,"load_ns":20000000,)"
        R"("handover_ns":5000000},{"at_unix_seconds":1799913600,"stop_ns":7000000,"load_ns":20000000,)"
        R"("handover_ns":5000000}],"rollbacks":[{"at_unix_seconds":1800000000,"rollback_ns":13000000}]})"
        "\n");
    const auto back = parse_remembered(text);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->costs, r.costs);
    EXPECT_EQ(back->rollbacks, r.rollbacks);
}

TEST(Remembered, keeps_how_the_guest_dirties_bit_for_bit_and_forgets_it_when_old) {
    GuestMemory memory;
    memory.curve = {{0.1, 1.0 / 3, 0.07, CurveEvidence::remembered, 12.5}, {3, 2e8, 0.1, CurveEvidence::remembered, 0}};
    memory.busy = 0.9;
    memory.round_sigma = 0.123456789012345678;
    memory.bandwidth_bytes_per_second = {9e7, 1e8, 1.1e8};
    memory.first_pass = {123'456'789};
    memory.round_overhead = std::chrono::milliseconds{7};
    Remembered remembered;
    const WallTime then{std::chrono::seconds{1'700'000'000}};
    add_lesson(remembered, {std::nullopt, std::nullopt, memory}, then);
    auto back = parse_remembered(render_remembered(remembered, "k"));
    ASSERT_TRUE(back && back->guest);
    EXPECT_EQ(back->guest->memory, memory);
    forget_old(*back, then + experience::age_max + std::chrono::seconds{1});
    EXPECT_FALSE(back->guest);
    memory.busy = std::numeric_limits<double>::quiet_NaN();
    Remembered none;
    add_lesson(none, {std::nullopt, std::nullopt, memory}, then);
    EXPECT_FALSE(none.guest) << "what could not be read back is not written";
}

TEST(Remembered, that_is_damaged_or_cannot_be_true_is_corrupt) {
    for (const char* text : {
             "", "{", "[]", "null", "{}", R"({"schema":2,"costs":[],"rollbacks":[]})", R"({"schema":1,"costs":[]})",
             R"({"schema":1,"costs":{},"rollbacks":[]})", R"({"schema":1,"costs":[1],"rollbacks":[]})",
             R"({"schema":1,"costs":[{"at_unix_seconds":1,"stop_ns":-1,"load_ns":1,"handover_ns":1}],"rollbacks":[]})",
             R"({"schema":1,"costs":[{"at_unix_seconds":1,"stop_ns":1.5,"load_ns":1,"handover_ns":1}],"rollbacks":[]})",
             R"({"schema":1,"costs":[{"at_unix_seconds":1,"stop_ns":1,"load_ns":1}],"rollbacks":[]})",
             R"({"schema":1,"costs":[{"stop_ns":1,"load_ns":1,"handover_ns":1}],"rollbacks":[]})",
             R"({"schema":1,"costs":[],"rollbacks":[{"at_unix_seconds":1,"rollback_ns":9000000000000000000}]})",
             R"({"schema":1,"costs":[],"rollbacks":[{"at_unix_seconds":99999999999999,"rollback_ns":1}]})"}) {
        const auto parsed = parse_remembered(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().kind, ErrorKind::corrupt);
    }
    EXPECT_FALSE(parse_remembered(std::string(100'000, '[')));
    EXPECT_TRUE(parse_remembered(R"({"schema":1,"new":true,"costs":[],"rollbacks":[]})"));
}

TEST(Remembered, forgets_what_is_old_from_the_future_or_too_much) {
    Remembered r;
    for (int i = 0; i < 8; ++i) add_lesson(r, {costs(i), milliseconds{i}}, now + seconds{i});
    r.costs.push_back({now - days{31}, costs(100)});
    r.costs.insert(r.costs.begin(), {now + days{2}, costs(200)});
    forget_old(r, now);
    ASSERT_EQ(r.costs.size(), 5U);
    EXPECT_EQ(r.costs.front().costs, costs(7));
    EXPECT_EQ(r.costs.back().costs, costs(3));
    EXPECT_EQ(r.rollbacks.size(), 5U);
    forget_old(r, now + days{40});
    EXPECT_TRUE(r.costs.empty() && r.rollbacks.empty());
}

TEST(Remembered, takes_no_lesson_that_it_could_not_read_back) {
    Remembered r;
    add_lesson(r, {FixedCosts{Duration{-1}, {}, {}}, std::chrono::hours{2}}, now);
    EXPECT_TRUE(r.costs.empty() && r.rollbacks.empty());
}

}  // namespace
}  // namespace segue

#include "app/segue/move/policy_process.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "app/segue/move/policy_choice.hpp"
#include "io/loop.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

/// Says give up at every view, and counts them.
struct Fallback final : Policy {
    explicit Fallback(int& views) : seen(&views) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "fallback"; }
    [[nodiscard]] Decision decide(const View&) override {
        ++*seen;
        return {GiveUp{}, "own reason"};
    }
    int* seen;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// A policy in sh: `answer` is run for every view, $n counts them from 1.
Words script(const std::string& answer) {
    return {"sh", "-c", "n=0; while read -r view; do n=$((n + 1)); " + answer + "; done"};
}
std::string says(const std::string& rest) { return R"(echo "{\"segue_policy\":1,\"view\":$n,)" + rest + "}\""; }
const std::string carries_on = says(R"(\"action\":\"carry-on\")");

/// For a process that answers at once, on however loaded a host; and for one that does not.
constexpr Duration patient = std::chrono::seconds{5};
constexpr Duration late_max = std::chrono::seconds{1};
constexpr Duration as_shipped = policy_process_limits::default_answer_wait;

struct PolicyProcessTest : testing::Test {
    int seen_by_fallback = 0;
    Words troubles;
    Words notes;
    std::unique_ptr<PolicyProcess> policy;

    void start(const Words& command, Duration answer_wait = patient) {
        auto started =
            PolicyProcess::start(command, std::make_unique<Fallback>(seen_by_fallback),
                                 {[this](const std::string& sentence) { troubles.push_back(sentence); },
                                  [this](const std::string& line) { notes.push_back(line); }},
                                 answer_wait);
        ASSERT_TRUE(started) << to_string(started.error());
        policy = std::move(*started);
    }
    static View view() {
        View out;
        out.bandwidth = mebibytes_per_second(100);
        out.budget = mebibytes(20);
        out.brake = {{0.05, 0.5, 1.0}, {0.1, 0.01, 0.0}};
        out.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(500));
        for (int i = 1; i <= 4; ++i) out.passes.push_back({i, std::chrono::seconds{i}, mebibytes(i == 1 ? 512 : 200)});
        return out;
    }
    bool fallback_ruled(const View& v = view()) {
        return policy->decide(v).because == "fallback instead of exec: own reason";
    }
};

TEST_F(PolicyProcessTest, rules_while_its_process_answers) {
    start(script(says(R"(\"action\":\"carry-on\",\"share_ratio\":0.5,\"because\":\"view $n\")")));
    for (int i = 1; i <= 5; ++i) {
        const auto decision = policy->decide(view());
        EXPECT_TRUE(std::holds_alternative<CarryOn>(decision.action));
        EXPECT_EQ(decision.because, "view " + std::to_string(i));
        EXPECT_EQ(decision.share, Share{0.5});
    }
    EXPECT_EQ(troubles, Words{});
    EXPECT_EQ(seen_by_fallback, 5) << "it must be ready to take over";
}

TEST_F(PolicyProcessTest, never_waits_longer_than_it_may_and_gives_up_after_three_silences) {
    start(script("sleep 60"), as_shipped);
    for (int i = 1; i <= 3; ++i) {
        const Instant before = now_on_this_host();
        EXPECT_TRUE(fallback_ruled());
        const Duration took = now_on_this_host() - before;
        EXPECT_GE(took, as_shipped);
        EXPECT_LT(took, late_max);
    }
    EXPECT_EQ(troubles, (Words{"the policy's process has not answered within 20 ms: fallback decides this time",
                               "the policy's process has not answered within 20 ms: fallback decides this time",
                               "the policy's process has not answered within 20 ms, for the third time in a row: "
                               "fallback decides from now on"}));
    EXPECT_FALSE(policy->asked());
    EXPECT_TRUE(fallback_ruled());
    EXPECT_EQ(troubles.size(), 3U);
}

TEST_F(PolicyProcessTest, drops_an_answer_that_comes_too_late) {
    start(script("if [ $n = 1 ]; then sleep 1; fi; " + says(R"(\"action\":\"carry-on\",\"because\":\"view $n\")")),
          std::chrono::milliseconds{500});
    EXPECT_TRUE(fallback_ruled());
    std::this_thread::sleep_for(std::chrono::seconds{1});
    EXPECT_EQ(policy->decide(view()).because, "view 2");
    EXPECT_EQ(policy->decide(view()).because, "view 3");
    EXPECT_EQ(troubles.size(), 1U);
}

TEST_F(PolicyProcessTest, is_overruled_for_nonsense_and_asked_again) {
    start(script("if [ $n = 1 ]; then echo nonsense; else " + carries_on + "; fi"));
    EXPECT_TRUE(fallback_ruled());
    ASSERT_EQ(troubles.size(), 1U);
    EXPECT_TRUE(contains(troubles[0], "sent a line that is no JSON")) << troubles[0];
    EXPECT_FALSE(fallback_ruled());
    EXPECT_EQ(troubles.size(), 1U);
}

TEST_F(PolicyProcessTest, is_ended_at_its_tenth_trouble_even_with_good_answers_between_them) {
    start(script("if [ $((n % 2)) = 1 ]; then echo nonsense; else " + carries_on + "; fi"));
    int views = 0;
    while (policy->asked() && views < 100) {
        static_cast<void>(policy->decide(view()));
        ++views;
    }
    EXPECT_EQ(views, 19);
    EXPECT_EQ(troubles.size(), 10U);
}

TEST_F(PolicyProcessTest, is_overruled_when_it_answers_what_it_was_not_told) {
    start({"sh", "-c", R"(read -r view; echo '{"segue_policy":1,"view":2,"action":"give-up"}'; cat >/dev/null)"});
    EXPECT_TRUE(fallback_ruled());
    EXPECT_EQ(troubles, Words{"the policy's process answered a view that it was not told: fallback decides this time"});
}

TEST_F(PolicyProcessTest, gives_way_for_good_when_its_process_ends) {
    start({"sh", "-c", "read -r view; exit 7"});
    EXPECT_TRUE(fallback_ruled());
    EXPECT_EQ(troubles, Words{"the policy's process ended with status 7: fallback decides from now on"});
    EXPECT_TRUE(fallback_ruled());
    EXPECT_EQ(troubles.size(), 1U);
}

TEST_F(PolicyProcessTest, hears_the_last_answer_of_a_process_that_ends) {
    start({"sh", "-c", R"(read -r view; echo '{"segue_policy":1,"view":1,"action":"carry-on"}')"});
    EXPECT_FALSE(fallback_ruled());
    EXPECT_TRUE(fallback_ruled());
    EXPECT_EQ(troubles, Words{"the policy's process ended with status 0: fallback decides from now on"});
}

TEST_F(PolicyProcessTest, gives_way_for_good_when_its_process_closes_its_output) {
    start({"sh", "-c", "exec >&-; exec sleep 60"}, std::chrono::milliseconds{500});
    EXPECT_TRUE(fallback_ruled());
    EXPECT_EQ(troubles, Words{"the policy's process closed its output: fallback decides from now on"});
}

TEST_F(PolicyProcessTest, survives_a_process_that_reads_nothing) {
    start({"sh", "-c", "sleep 60"}, as_shipped);
    View large = view();
    large.passes.resize(64, {1, std::chrono::seconds{1}, mebibytes(100), Duration{1'234'567'890}});
    large.brake.shares.resize(64, 0.123456789);
    large.brake.stall_s.resize(64, 0.123456789);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(fallback_ruled(large));
    EXPECT_FALSE(policy->asked());
}

TEST_F(PolicyProcessTest, survives_a_process_that_never_stops_talking) {
    start({"sh", "-c", "exec yes"}, as_shipped);
    for (int i = 0; i < 3; ++i) {
        const Instant before = now_on_this_host();
        EXPECT_TRUE(fallback_ruled());
        EXPECT_LT(now_on_this_host() - before, late_max);
    }
    EXPECT_FALSE(policy->asked());
}

TEST_F(PolicyProcessTest, may_not_go_below_the_floor) {
    start(script(says(R"(\"action\":\"carry-on\",\"share_ratio\":0.01)")));
    EXPECT_EQ(policy->decide(view()).share, Share{0.05});
    EXPECT_EQ(policy->decide(view()).share, Share{0.05});
    EXPECT_EQ(troubles, Words{"the policy's process asked for 1 % of the CPU where 5 % is the least: 5 % it is"});
    View no_brake = view();
    no_brake.brake = {};
    EXPECT_EQ(policy->decide(no_brake).share, all_of_it);
}

TEST_F(PolicyProcessTest, passes_its_standard_error_on_as_it_may_be_shown) {
    start(script("printf 'view \\033[2J%d\\n' $n >&2; " + carries_on));
    EXPECT_FALSE(fallback_ruled());
    EXPECT_FALSE(fallback_ruled());
    ASSERT_FALSE(notes.empty());
    EXPECT_EQ(notes[0], "view ?[2J1");
}

TEST_F(PolicyProcessTest, keeps_a_noisy_standard_error_short) {
    start({"sh", "-c", "yes >&2 & " + script(carries_on)[2]});
    for (int i = 0; i < 20; ++i) static_cast<void>(policy->decide(view()));
    ASSERT_EQ(notes.size(), static_cast<std::size_t>(policy_process_limits::notes_max) + 1);
    EXPECT_EQ(notes.back(), "says too much; the rest is left out");
}

TEST_F(PolicyProcessTest, takes_what_its_process_has_started_with_it) {
    start({"sh", "-c", "sleep 60 & echo $! >&2; " + script(carries_on)[2]});
    EXPECT_FALSE(fallback_ruled());
    ASSERT_EQ(notes.size(), 1U);
    pid_t grandchild = 0;
    std::from_chars(notes[0].data(), notes[0].data() + notes[0].size(), grandchild);
    ASSERT_GT(grandchild, 1);
    EXPECT_EQ(::kill(grandchild, 0), 0);
    policy.reset();
    const Instant end = now_on_this_host() + std::chrono::seconds{5};
    std::string state = "?";
    while (now_on_this_host() < end && std::filesystem::exists("/proc/" + notes[0]) && state != "Z") {
        std::ifstream stat("/proc/" + notes[0] + "/stat");
        std::string pid, name;
        stat >> pid >> name >> state;
    }
    EXPECT_TRUE(!std::filesystem::exists("/proc/" + notes[0]) || state == "Z");
}

TEST_F(PolicyProcessTest, can_be_the_example_of_the_documentation) {
    const char* root = std::getenv("SEGUE_SOURCE_DIR");
    if (root == nullptr) root = "../..";
    start({std::string(root) + "/docs/examples/policy.py"});
    const auto brakes = policy->decide(view());
    EXPECT_EQ(troubles, Words{}) << "the example must be quick and right";
    EXPECT_TRUE(std::holds_alternative<CarryOn>(brakes.action));
    EXPECT_EQ(brakes.share, Share{0.05}) << brakes.because;
    View near = view();
    near.passes.back().backlog = mebibytes(30);
    EXPECT_TRUE(std::holds_alternative<AllowSwitchover>(policy->decide(near).action));
    near.allowed = true;
    EXPECT_TRUE(std::holds_alternative<CarryOn>(policy->decide(near).action));
    EXPECT_EQ(troubles, Words{});
}

TEST(PolicyCommand, is_split_into_words_without_a_shell) {
    EXPECT_EQ(parse_policy_command("exec:./policy --fast 'two words'"), (Words{"./policy", "--fast", "two words"}));
    const auto message = [](std::string_view text) {
        const auto words = parse_policy_command(text);
        return words ? "(no error)" : words.error().message;
    };
    EXPECT_EQ(message("exec:"),
              "--policy exec: names no program: write for example --policy 'exec:./my-policy --fast'");
    EXPECT_TRUE(contains(message("exec:-x"), "begins with a dash"));
    EXPECT_TRUE(contains(message("exec:./a | b"), "--policy holds |"));
    const auto nobody = [](const std::string&) {};
    const auto gone = PolicyProcess::start({"/no/such/policy"}, make_patient_policy(), {nobody, nobody});
    ASSERT_FALSE(gone);
    EXPECT_EQ(to_string(gone.error()), "/no/such/policy could not be started: No such file or directory");
}

TEST(PolicyChoice, knows_our_policies_and_starts_others) {
    const auto nobody = [](const std::string&) {};
    const auto name = [&](std::string_view words) -> std::string {
        const auto policy = choose_policy(words, {nobody, nobody});
        return policy ? std::string((*policy)->name()) : policy.error().message;
    };
    EXPECT_EQ(name("converge"), "converge");
    EXPECT_EQ(name("patient"), "patient");
    EXPECT_EQ(name("exec:cat"), "exec");
    EXPECT_EQ(name("exec:/no/such/policy -x"), "/no/such/policy could not be started");
    EXPECT_EQ(name("patent"), "--policy \"patent\" is not known: give converge, patient or exec:COMMAND");
}

}  // namespace
}  // namespace segue

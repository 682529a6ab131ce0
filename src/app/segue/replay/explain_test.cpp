// The record of decisions: written, read back, explained, replayed.
#include "app/segue/replay/explain.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "api/decision_codec.hpp"
#include "base/folder_test.hpp"
#include "policy/converge/converge.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

View shown(std::int64_t pass, Duration elapsed, Bytes backlog) {
    View view;
    view.elapsed = elapsed;
    view.passes = {{1, Duration{0}, mebibytes(512), {}, {}}, {pass, elapsed, backlog, milliseconds{900}, {}}};
    view.memory = mebibytes(512);
    view.bandwidth = mebibytes_per_second(90);
    view.budget = mebibytes(12);
    view.max_downtime = milliseconds{300};
    view.reserve = milliseconds{40};
    view.brake = {{0.05, 0.3, 1.0}, {0.08, 0.02, 0}};
    view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(400));
    view.outlook.bandwidth_bytes_per_second = {9e7, 9.5e7, 1e8};
    view.outlook.bandwidth_known = true;
    view.outlook.memory = mebibytes(512);
    return view;
}

/// As the converge policy decides them.
RecordedMove recorded() {
    RecordedMove move{7, "web1", "converge", {}};
    const auto policy = make_converge_policy();
    for (const auto& view : {shown(2, seconds{6}, mebibytes(200)), shown(3, seconds{8}, mebibytes(190))}) {
        move.decisions.push_back({view, policy->decide(view)});
    }
    return move;
}

class Folder : public TestFolder {
public:
    Folder() { std::filesystem::create_directories(path() + "/decisions"); }
    void write(const RecordedMove& move, const std::string& tail) const {
        std::ofstream file(decision_record_path(path(), move.job));
        file << R"({"type":"move","job":7,"vm":"web1","policy":"converge"})" << '\n';
        for (const auto& one : move.decisions) {
            file << decision::encode(one.view) << '\n' << decision::encode(one.decision) << '\n';
        }
        file << tail;
    }
};

TEST(DecisionRecord, is_read_back_without_a_last_line_that_was_cut_short) {
    const Folder folder;
    const RecordedMove move = recorded();
    folder.write(move, decision::encode(move.decisions[0].view) + "\n{\"type\":\"deci");
    const auto back = read_decision_record(folder.path(), 7);
    ASSERT_TRUE(back) << to_string(back.error());
    EXPECT_EQ(back->vm, "web1");
    ASSERT_EQ(back->decisions.size(), 2U);
    EXPECT_EQ(decision::encode(back->decisions[1].view), decision::encode(move.decisions[1].view));
}

TEST(DecisionRecord, that_is_missing_or_none_is_an_error) {
    const Folder folder;
    EXPECT_EQ(read_decision_record(folder.path(), 8).error().kind, ErrorKind::invalid);
    std::ofstream(decision_record_path(folder.path(), 9)) << "hello\n";
    EXPECT_EQ(read_decision_record(folder.path(), 9).error().kind, ErrorKind::corrupt);
}

TEST(DecisionRecord, keeps_the_newest_by_their_jobs) {
    const Folder folder;
    for (const int job : {2, 10, 9, 100}) std::ofstream(decision_record_path(folder.path(), job)) << "x";
    std::ofstream(folder.path() + "/decisions/notes.txt") << "x";
    thin_decision_records(folder.path(), 2);
    const auto there = [&](int job) { return std::filesystem::exists(decision_record_path(folder.path(), job)); };
    EXPECT_FALSE(there(2) || there(9));
    EXPECT_TRUE(there(10) && there(100));
    EXPECT_TRUE(std::filesystem::exists(folder.path() + "/decisions/notes.txt"));
    thin_decision_records(folder.path() + "/nowhere", 2);
}

TEST(Replay, of_the_policy_that_steered_is_the_same_bit_for_bit) {
    const RecordedMove move = recorded();
    const auto again = make_converge_policy();
    const Replay same = replay(move, *again);
    EXPECT_EQ(same.same, 2U);
    EXPECT_TRUE(same.different.empty());
    EXPECT_EQ(render_replay(move, "converge", same),
              "job 7, web1, steered by converge: converge decides the same at 2 of 2 moments");
}

TEST(Replay, shows_where_another_policy_decides_otherwise) {
    const RecordedMove move = recorded();
    const auto patient = make_patient_policy();
    const Replay other = replay(move, *patient);
    EXPECT_EQ(other.same + other.different.size(), 2U);
    EXPECT_FALSE(other.different.empty());
    EXPECT_NE(render_replay(move, "patient", other).find("\n             now    "), std::string::npos);
}

TEST(Explain, has_a_line_for_each_decision_and_all_that_was_known_at_one) {
    const RecordedMove move = recorded();
    const std::string all = render_decisions(move);
    EXPECT_NE(all.find("web1: 2 decisions of the policy converge\n    6.000 s  pass 2"), std::string::npos) << all;
    const std::string one = render_knowledge(move.decisions[0]);
    for (const char* words : {"max downtime 0.3 s, of it 40 ms kept", "12 MiB may be pending", "dirty curve",
                              "in 0.1 s", "brake from 5% (stalls 80 ms)", "stop costs"}) {
        EXPECT_NE(one.find(words), std::string::npos) << words << " is not in: " << one;
    }
}

}  // namespace
}  // namespace segue

#pragma once
/// \file  The record of what the policy of a move was shown and decided: for `segue explain` and `segue replay`.
///
/// $SEGUE_STATE/decisions/JOB.jsonl: a line that names the move, then for each decision a line of what was shown and
/// one of what was decided (api/decision_codec.hpp). It is a record and no journal: nothing depends on it, so it is
/// written without fsync, on the journal's thread, and a move never fails for it.
/// Size: 3 to 8 KiB a decision; after `decisions_max` the rest is left out.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "migration/event.hpp"
#include "store/sqlite/journal_thread.hpp"

namespace segue {

class DecisionRecord {
public:
    static constexpr std::size_t decisions_max = 4096;
    static constexpr std::size_t records_max = 200;  ///< The oldest go when a new one begins.

    /// \param on_trouble  Told once, with a sentence, when it cannot be written.
    DecisionRecord(JournalThread& thread, std::string state_folder, std::int64_t job, std::string vm,
                   std::function<void(const std::string&)> on_trouble);

    void note(const PolicyReport& report);

private:
    void write(std::string text);

    JournalThread& thread_;
    std::string state_folder_;
    std::string path_;
    std::int64_t job_;
    std::string vm_;
    std::function<void(const std::string&)> on_trouble_;
    std::size_t count_ = 0;
    bool trouble_told_ = false;
};

/// Removes the oldest records, by their job, until `keep` are left. Errors are nothing to a move.
void thin_decision_records(const std::string& state_folder, std::size_t keep);

[[nodiscard]] std::string decision_record_path(const std::string& state_folder, std::int64_t job);

struct RecordedDecision {
    View view;
    Decision decision;
};
struct RecordedMove {
    std::int64_t job = 0;
    std::string vm;
    std::string policy;
    std::vector<RecordedDecision> decisions;  ///< In their order. A last line cut short by a crash is left out.
};
/// `invalid` where there is no such record, `corrupt` where it is none.
[[nodiscard]] Result<RecordedMove> read_decision_record(const std::string& state_folder, std::int64_t job);

}  // namespace segue

#pragma once
/// \file  Bringing a move to its end whose segue died, or that ended with exit status 10: a state machine of
///        the shape of Migration, in which time is an argument.
///
/// It reads both sides, then finishes or undoes; docs/journal-format.md ("What recovery makes of it") is its
/// table. It owns these invariants: the source is never continued while a word may count (it ends that by an
/// abort that was answered, by the operator's word, or because the source never came to `completed`); the
/// destination is continued only where it has durably accepted a word; a QEMU that runs is never ended; nothing
/// is done that the journal did not take, and after its `conflict` nothing at all.
///
/// The shell has taken the move over before, so nobody else works on it but perhaps the guardian, which touches
/// nothing after a word. Every step of the journal is asked for durably, so that each is answered. A command to
/// a side that cannot be reached is answered with an error; to a destination of this host whose QEMU is proven
/// gone: DstReadTruth with `alive` false, DstKill with Done.
///
/// Thread: none of its own; not re-entrant. Errors: none; failures of the world are events.
/// Where to read: what is to be done in recovery.cpp, the destination in recovery_dst.cpp, making the source run
/// in recovery_src.cpp, the ends and their sentences in recovery_end.cpp.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "migration/event.hpp"
#include "store/journal.hpp"

namespace segue {

/// Rows of the table, by what the source's journal says.
enum class RecoveryRow {
    nothing_changed,  ///< 1, 2.
    source_owns,      ///< 3 to 6: no word was sent.
    word,             ///< 7: nobody knows.
    moved,            ///< 8, 12.
    rolling_back,     ///< 9, 10: no word will count any more.
    rolled_back,      ///< 11.
    fenced,           ///< 14.
};
[[nodiscard]] RecoveryRow row_of(const std::vector<MoveStep>& steps);

struct RecoveryCase {
    enum class Source {
        reachable,
        gone,    ///< Its QEMU is proven to have ended.
        silent,  ///< Its monitor could not be opened, and it may live.
    };

    MoveRecord record;
    bool remote = false;  ///< The destination is behind `segue receive`.
    Source source = Source::reachable;
    std::string source_trouble;  ///< Why it is silent.
    bool fenced = false;         ///< The operator said so, with words that match the record.
};

class Recovery {
public:
    explicit Recovery(RecoveryCase what);

    /// Call once, before any `step`.
    [[nodiscard]] Effects start(Instant now);
    [[nodiscard]] Effects step(const Event& event, Instant now);

    /// When to call `step(Tick{})` next, if no event comes before.
    [[nodiscard]] Instant wake_at() const { return wake_at_; }
    [[nodiscard]] bool finished() const { return finished_; }

private:
    // ---- plumbing and what is to be done (recovery.cpp)
    using OnAnswer = void (Recovery::*)(const Result<AnswerValue>&);
    using Then = void (Recovery::*)();
    void submit(Command command, Duration timeout, OnAnswer handler);
    void later(Duration pause, Then then);
    void record(StepKind step, Then then);
    void on_recorded(const Result<AnswerValue>& answer);
    void enter(std::string_view stage);
    void decided(std::string what, std::string because);
    void on(const Answer& answer);
    void on(const GuestNotice& notice);
    void on(const GuardNotice&) {}
    void on(const Tick&);
    void on(const CancelRequested&);
    void on_src_facts(const Result<AnswerValue>& answer);
    void look_at_source();
    void decide();
    void decide_word();
    void decide_moved();
    void source_ended();
    [[nodiscard]] bool was(StepKind kind) const;
    [[nodiscard]] bool source_here() const { return what_.source == RecoveryCase::Source::reachable; }
    [[nodiscard]] bool source_gone() const { return what_.source == RecoveryCase::Source::gone; }

    // ---- the destination (recovery_dst.cpp)
    /// Why it is asked. `word`: it decides. `clear`: what is left there is ended, as far as it can be reached.
    /// `look`: only for the sentence.
    enum class Purpose { word, clear, look };
    void ask_destination(Purpose purpose);
    void read_truth();
    void on_truth(const Result<AnswerValue>& answer);
    void judge_far(const DstTruth& truth);
    void judge_near(const DstTruth& truth);
    void on_near_facts(const Result<AnswerValue>& answer);
    void no_destination(const std::string& why);
    void last_look();
    void on_last_look(const Result<AnswerValue>& answer);
    void nobody_knows();
    void read_again(const std::string& why);
    void end_destination();
    void on_ended(const Result<AnswerValue>& answer);
    void destination_settled(bool gone, const std::string& why);
    void destination_has_it();
    void finish_there();
    void on_finished_there(const Result<AnswerValue>& answer);
    void owned_there();
    void word_will_not_count(const std::string& why);
    void destination_lost_it();
    void fence();
    void fence_now();
    void fenced();

    // ---- making the source run (recovery_src.cpp)
    void roll_back();
    void push();
    void on_push_state(const Result<AnswerValue>& answer);
    void on_push_progress(const Result<AnswerValue>& answer);
    void on_pushed(const Result<AnswerValue>& answer);
    void push_ended(MigrationStatus status);
    [[nodiscard]] bool paused_by_us() const;
    void push_again() { later(push_pause, &Recovery::push); }
    void source_stays();
    void put_back();
    void next_put_back();
    void on_put_back(const Result<AnswerValue>& answer);
    [[nodiscard]] std::optional<std::string> put_back_script() const;

    // ---- the ends (recovery_end.cpp)
    void moved();
    void run_on_success();
    void on_success_ended(const Result<AnswerValue>& answer);
    void end_source();
    void on_source_ended(const Result<AnswerValue>& answer);
    void finish_moved();
    void finish_rolled_back();
    void finish_crashed(const std::string& why);
    void finish_unknown(GuestOn guest, const std::string& why, const std::string& next);
    void refuse(const std::string& why);
    void taken_over(const Error& error);
    void finish();
    [[nodiscard]] std::string job_words() const;
    [[nodiscard]] std::string recover_words() const;
    [[nodiscard]] std::string fence_words() const;
    [[nodiscard]] std::string destination_words() const;

    static constexpr Duration push_pause = std::chrono::milliseconds{20};

    RecoveryCase what_;
    RecoveryRow row_;
    Instant now_;
    Instant began_;
    Instant wake_at_;
    Effects effects_;
    std::uint64_t next_id_ = 1;
    std::map<CommandId, OnAnswer> pending_;
    std::map<CommandId, std::pair<StepKind, Then>> recording_;
    std::multimap<Instant, Then> timers_;
    Summary summary_;
    bool finished_ = false;
    bool decided_ = false;  ///< Something was changed, or is about to be: too late for Ctrl-C.

    // The source.
    std::optional<GuestFacts> src_;
    bool not_ours_ = false;  ///< Another QEMU listens where the source's did.
    Instant push_began_;
    bool stood_ = false;
    bool stays_stopped_ = false;  ///< Somebody paused it, or it is in a state of its own.
    int put_back_step_ = 0;

    // The destination.
    Purpose purpose_ = Purpose::look;
    enum class Destination { unasked, asked, settled };
    Destination dst_ = Destination::unasked;
    bool dst_gone_ = false;       ///< Its QEMU is seen dead, or it never will run a guest of this move.
    bool dst_ended_since_ = false;
    std::string dst_trouble_;     ///< Why it could not be settled.
    int reads_ = 0;
    std::string journal_trouble_;
    std::vector<std::string> left_undone_;
};

}  // namespace segue

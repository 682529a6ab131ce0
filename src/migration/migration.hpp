#pragma once
/// \file  One migration from request to end: a state machine in which time is an argument.
///
/// It owns the invariants: the source is never continued once the word may have been sent, the
/// destination is never continued before the word was claimed, everything changed is put back, and every
/// path ends in `Finish` with the place where the guest runs. docs/life-of-a-migration.md walks through it
/// and docs/safety.md lists, state by state, who may die there.
///
/// Thread: none of its own; not re-entrant. Errors: none; failures of the world are events.
/// Where to read: up to `migrate` in prepare.cpp, page sampling in sampling.cpp, pre-copy in copying.cpp, the budget
/// and go in go.cpp, the stop of a braked guest in stopping.cpp, the blackout in switchover.cpp, rollback in undo.cpp,
/// unasked news in notices.cpp, plumbing in migration.cpp.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/event.hpp"
#include "model/bandwidth.hpp"
#include "policy/policy.hpp"

namespace segue {

/// In order of the life of a move. `undoing` can follow any of them up to `loaded`.
enum class MigrationStage {
    inspecting,    ///< Reading both sides.
    sampling,      ///< Page sampling for the forecast.
    guarding,      ///< The guardian is being started.
    preparing,     ///< Settings, listening, connecting.
    copying,       ///< Pre-copy; go may have been said.
    held,          ///< pre-switchover: the guest stands, the last check.
    continued,     ///< The blackout's bytes are on their way; QEMU answers nothing.
    loaded,        ///< The destination holds a whole, paused copy.
    handing_over,  ///< The word may have been sent.
    undoing,       ///< The word will never be sent; the source is made to run.
    closing,       ///< The guest runs; putting things back.
    finished,
};

[[nodiscard]] std::string_view to_string(MigrationStage stage) noexcept;

class Migration {
public:
    Migration(Request request, std::unique_ptr<Policy> policy);

    /// Call once, before any `step`.
    [[nodiscard]] Effects start(Instant now);
    [[nodiscard]] Effects step(const Event& event, Instant now);

    /// When to call `step(Tick{})` next, if no event comes before.
    [[nodiscard]] Instant wake_at() const { return wake_at_; }
    [[nodiscard]] MigrationStage stage() const { return stage_; }
    [[nodiscard]] bool finished() const { return stage_ == MigrationStage::finished; }

private:
    /// What may be pending at a stop: one that QEMU makes of a free guest, one that we make of a braked one, and one
    /// that QEMU makes of a braked one, which the brake delays.
    struct Budgets {
        Bytes free;
        Bytes braked;
        Bytes delayed;
    };

    // ---- plumbing (migration.cpp)
    using OnAnswer = void (Migration::*)(const Result<AnswerValue>&);
    void submit(Command command, Duration timeout, OnAnswer handler);
    void tell(Command command);  ///< A command that has no answer.
    void note(GuardNote note) { tell(GuardCommand{std::move(note)}); }
    void journal(StepKind step, JournalDetail detail = {}) {
        tell(JournalStep{step, Durability::soon, std::move(detail)});
    }
    void report(Report report) { effects_.emplace_back(std::move(report)); }
    void enter(MigrationStage stage);
    void decided(std::string what, std::string because);
    void on(const Answer& answer);
    void on(const GuestNotice& notice);
    void on(const GuardNotice& notice);
    void on(const Tick& tick);
    void on(const CancelRequested& request);
    [[nodiscard]] Duration elapsed() const;
    [[nodiscard]] Outcome late() const;
    void finish();
    void refuse(std::vector<Finding> findings);

    // ---- before the start (prepare.cpp)
    void on_src_facts(const Result<AnswerValue>& answer);
    void on_dst_facts(const Result<AnswerValue>& answer);
    void facts_complete();
    [[nodiscard]] std::optional<Duration> clock_ahead() const;
    void on_flushed_first(const Result<AnswerValue>& answer);
    void after_first_flush();
    void start_guard();
    void on_guard_ready(const Result<AnswerValue>& answer);
    void look_at_brake();
    void on_brake_looked(const Result<AnswerValue>& answer);
    void watch_vcpus();
    void on_vcpus_watched(const Result<AnswerValue>& answer);
    [[nodiscard]] std::optional<Finding> no_brake(const Result<AnswerValue>& answer);
    void open_brake();
    void on_brake_ready(const Result<AnswerValue>& answer);
    void prepare();
    void on_preparing_journaled(const Result<AnswerValue>& answer);
    void next_prepare_step();
    void on_prepared(const Result<AnswerValue>& answer);
    void journal_migrate();
    void on_migrate_journaled(const Result<AnswerValue>& answer);

    // ---- page sampling, before the start and beside pass 1 (sampling.cpp)
    void sample_or_start();
    void sample_next();
    void on_sample_clock(const Result<AnswerValue>& answer);
    void on_sample(const Result<AnswerValue>& answer);
    void on_sample_clocked(const Result<AnswerValue>& answer);
    [[nodiscard]] Duration work_between(const BrakeSample& from, const BrakeSample& to) const;
    void learn_work(const BrakeSample& sample, Share granted);
    void sampled(std::optional<Duration> worked);
    void look_longer();
    void learn_sample(std::optional<Duration> worked);
    void forecast();
    [[nodiscard]] std::optional<ByteRate> expected_rate() const;
    [[nodiscard]] std::optional<ByteRate> rate_of_pass() const;
    void expect_what_is_seen();
    [[nodiscard]] std::size_t windows() const;
    void run_free();
    void on_granted_again(const Result<AnswerValue>& answer);
    void heed_slow_round();
    void expect_round(Bytes left);
    void sample_beside_pass();
    void on_sample_beside_pass(const Result<AnswerValue>& answer);

    // ---- pre-copy (copying.cpp) and go (go.cpp)
    void start_copying();
    void stop_source();
    void on_source_stopped(const Result<AnswerValue>& answer);
    void on_started(const Result<AnswerValue>& answer);
    void on_looked_again(const Result<AnswerValue>& answer);
    void poll();
    void on_progress(const Result<AnswerValue>& answer);
    void on_stream(const Result<AnswerValue>& answer);
    void on_pass(Bytes backlog, std::int64_t number, Bytes remaining_before);
    void ask_policy();
    void obey(const Decision& decision);
    void allow_switchover(const std::string& because);
    void keep_images_flushed();
    void flush_images();
    void on_flushed(const Result<AnswerValue>& answer);
    [[nodiscard]] Budgets budgets_now() const;
    [[nodiscard]] Bytes told_budget(ByteRate cap) const;
    void await_images();
    void send_allowance();
    void on_allowed(const Result<AnswerValue>& answer);
    void refresh_budget();
    void note_answer_time(Duration took);
    [[nodiscard]] Duration stop_charge() const;
    [[nodiscard]] Bytes queue_lately() const;
    void report_progress();
    [[nodiscard]] std::optional<ByteRate> blackout_bandwidth() const;
    [[nodiscard]] Duration blackout_forecast(Bytes pending) const;

    // ---- stopping a braked guest (stopping.cpp)
    void stop_when_it_fits();
    [[nodiscard]] std::optional<Bytes> dirtied_since_sync() const;
    void on_stop_reached(const Result<AnswerValue>& answer);
    void on_stopped_braked(const Result<AnswerValue>& answer);
    void heed_what_is_left();
    [[nodiscard]] bool stop_may_come() const;
    /// Before pre-switchover: QEMU has come to our `stop`, not only been told.
    [[nodiscard]] bool surely_standing() const { return stopping_braked() && (stop_reached_ || stopped_by_us_); }
    [[nodiscard]] bool stopping_braked() const { return stop_sent_ && !request_.non_live; }

    // ---- the brake (braking.cpp)
    void read_brake();
    void heed_silence(const StreamSample& sample);
    void on_brake_sample(const Result<AnswerValue>& answer);
    void grant(Share share);
    void on_granted(const Result<AnswerValue>& answer);
    void let_go();
    [[nodiscard]] BrakeRange brake_range() const;
    [[nodiscard]] Duration stall_charge() const;
    [[nodiscard]] Outlook outlook() const;
    [[nodiscard]] View view() const;

    // ---- notices of both sides (notices.cpp)
    void on_src_status(MigrationStatus status);
    void on_src_stopped();
    void on_src_resumed();
    void on_src_lost(const Error& error);
    void on_src_died();
    void on_dst_resumed();
    void on_dst_lost(const Error& error);
    void on_dst_died();

    // ---- the blackout (switchover.cpp)
    void on_held();
    void on_held_progress(const Result<AnswerValue>& answer);
    void on_held_stream(const Result<AnswerValue>& answer);
    void last_check();
    [[nodiscard]] std::optional<std::string> stands_too_long(Bytes pending) const;
    void pace_for_blackout();
    void on_continue_answer(const Result<AnswerValue>& answer);
    void read_blackout_stream();
    void on_blackout_stream(const Result<AnswerValue>& answer);
    void on_completed();
    void journal_word();
    void on_word_journaled(const Result<AnswerValue>& answer);
    void claim_word();
    void on_word_claim(const Result<AnswerValue>& answer);
    void on_word_answer(const Result<AnswerValue>& answer);
    void on_word_truth(const Result<AnswerValue>& answer);
    void on_moved();
    void word_lost(const std::string& why);
    void take_back_refused_word(const std::string& why);

    // ---- rolling back (undo.cpp)
    void undo(Outcome outcome, const std::string& why);
    void on_rollback_claim(const Result<AnswerValue>& answer);
    void make_source_run();
    void on_undo_state(const Result<AnswerValue>& answer);
    void on_undo_progress(const Result<AnswerValue>& answer);
    void on_undo_nudge(const Result<AnswerValue>& answer);
    void on_undo_killed(const Result<AnswerValue>& answer);
    void on_undo_run(const Result<AnswerValue>& answer);
    void on_undo_stopped(const Result<AnswerValue>& answer);
    void undo_again_soon();
    void undo_again();
    void source_runs();
    void close();
    void next_closing_step();
    void on_closing_step(const Result<AnswerValue>& answer);
    void give_up_undoing();
    [[nodiscard]] std::string undo_sentence() const;

    /// How stale the proof that the guest runs may become once it may stop.
    static constexpr Duration progress_every_switching = std::chrono::milliseconds{5};

    Request request_;
    std::unique_ptr<Policy> policy_;
    MigrationStage stage_ = MigrationStage::inspecting;
    Instant now_;
    Instant wake_at_;
    Effects effects_;
    std::uint64_t next_id_ = 1;
    std::map<CommandId, OnAnswer> pending_;
    Summary summary_;

    // What was found.
    std::optional<GuestFacts> src_;
    std::optional<GuestFacts> dst_;
    Instant src_read_at_;
    Instant dst_read_at_;
    std::optional<Error> src_error_;
    std::optional<Error> dst_error_;
    std::vector<Obstacle> dst_obstacles_;  ///< Because of which there is no destination.
    Duration flush_{0};
    int flushes_ = 0;
    bool flush_in_flight_ = false;
    Instant next_flush_;
    std::vector<DirtySample> samples_;
    struct Sampling {
        std::vector<Duration> intervals;
        std::size_t next = 0;          ///< Which of them.
        std::size_t before_start = 0;  ///< So many of them.
        bool looked_longer = false;    ///< Or decided not to.
        bool beside = false;           ///< One is under way beside pass 1.
        bool braked = false;           ///< Since that one began.
        ByteRate rate;                 ///< The newest answer.
        std::optional<BrakeSample> clock;  ///< When it began.
    };
    Sampling sampling_;
    std::optional<DirtyCurve> curve_;  ///< Of two samples: for the plain forecast in the report alone.
    std::optional<GuestModel> model_;
    GuardReady guard_;
    Duration reserve_{0};
    FixedCosts costs_;

    // Preparing, as a list of steps.
    std::size_t prepare_step_ = 0;
    Instant prepare_asked_at_;
    bool guard_started_ = false;
    bool src_changed_ = false;
    bool dst_changed_ = false;
    bool dst_listens_ = false;
    DataAddress listening_;

    // Pre-copy.
    Instant began_;
    bool migrate_sent_ = false;
    bool go_wanted_ = false;         ///< The policy said go.
    Instant go_wanted_at_;
    bool stopping_allowed_ = false;  ///< The source was told.
    bool allow_in_flight_ = false;
    bool progress_in_flight_ = false;
    bool stream_in_flight_ = false;
    Instant progress_asked_at_;
    Instant next_progress_;
    Instant next_stream_;
    Instant pass_heard_at_;  ///< The newest dirty sync's end, by QEMU's own word.
    Instant next_report_;
    Instant ran_at_;  ///< Last proof that a vCPU ran on the source.
    SrcProgress progress_;
    std::optional<StreamSample> stream_;
    BandwidthEstimate bandwidth_;  ///< Busy windows only.
    BandwidthEstimate seen_;       ///< All windows within a pass: a lower bound.
    bool blackout_known_ = false;  ///< From then on progress says what a switchover would cost.
    std::vector<Pass> passes_;
    Budgets budgets_;
    bool brake_asked_ = false;   ///< There may be something to take away.
    bool brake_open_ = false;
    bool brake_in_flight_ = false;
    bool vcpus_watched_ = false;  ///< Their run times can be read.
    Instant next_watch_;          ///< Where nothing is braked.
    BrakeReady brake_;
    Share share_;                ///< Granted.
    std::optional<BrakeSample> worked_;          ///< The newest reading.
    std::optional<BrakeSample> worked_at_sync_;  ///< The first after the last dirty sync.
    Share share_least_;  ///< Granted since the last reading of the vCPUs.
    Share pass_share_;   ///< Since the last dirty sync.
    Bytes flowed_;       ///< Acknowledged when something last got through, or nothing waited.
    Instant flowed_at_;
    std::optional<Share> share_before_silence_;  ///< The brake is off only because nothing gets through.
    int grants_in_flight_ = 0;
    bool let_go_in_pass_ = false;  ///< By silence, a slow link or a slow disk.
    int slow_rounds_ = 0;          ///< In a row under the brake.
    ByteRate fastest_;             ///< That the stream ever was.
    ByteRate seen_most_;           ///< The same while nothing was ever waiting.
    std::optional<Instant> round_due_;  ///< A brake that holds the guest for longer than this waits for a slow link.
    Bytes acked_at_sync_;
    Bytes allowed_budget_;  ///< The one the source was told last.
    ByteRate allowed_cap_;
    struct AnswerTime {
        Instant at;
        Duration took{0};
    };
    std::deque<AnswerTime> answer_times_;  ///< Of the last second.
    struct QueueSeen {
        Instant at;
        Bytes waiting;
    };
    std::deque<QueueSeen> queues_;  ///< The same of the stream's queue.

    // The blackout.
    std::optional<Instant> held_at_;
    std::optional<Instant> drained_at_;
    std::optional<Instant> completed_at_;
    enum class WordRecord { none, asked, durable };
    WordRecord word_record_ = WordRecord::none;  ///< Of `word-may-be-sent`.
    Instant word_sent_at_;
    std::string word_error_;
    bool word_refused_ = false;
    int word_reads_ = 0;

    // Undoing.
    MigrationStage undo_from_ = MigrationStage::inspecting;
    Outcome undo_outcome_ = Outcome::failed;
    std::string undo_why_;
    Instant undo_began_;
    Instant undo_next_;
    Instant undo_beat_;          ///< When the guardian is next shown that we live.
    bool undo_waiting_ = false;  ///< An answer or a pause is outstanding.
    bool dst_dead_ = false;
    bool run_tried_ = false;  ///< The source was continued before the destination was ended (adr/0003).
    bool stopped_by_us_ = false;  ///< STOP was seen since the start.
    bool stop_sent_ = false;      ///< `stop`: where the guest is paused, it is by us.
    Instant stop_sent_at_;        ///< To a braked guest.
    std::int64_t syncs_at_stop_ = 0;   ///< Dirty syncs seen by then.
    bool stop_reached_ = false;        ///< QEMU's main loop has come to it.
    bool stop_answered_ = false;       ///< Done, or refused, or its monitor is gone: no stop can come of it any more.
    std::optional<Instant> stood_at_;  ///< When it was done.
    bool source_running_ = true;
    bool source_lost_ = false;  ///< Its monitor is gone.
    bool source_dead_ = false;
    bool crashed_ = false;          ///< The source's QEMU ended while it owned the guest.
    bool migration_ended_ = false;  ///< failed or cancelled was seen.
    bool paused_by_somebody_ = false;
    std::vector<std::string> left_undone_;
    std::size_t closing_step_ = 0;
    bool moved_recorded_ = false;  ///< `moved` is durable: without it the source's QEMU is not ended.
    bool on_success_failed_ = false;  ///< Nor with this: something might start it again.
};

}  // namespace segue

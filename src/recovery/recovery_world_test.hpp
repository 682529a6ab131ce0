#pragma once
/// \file  Both sides of an interrupted move, the journal and the clock, for tests of recovery: performs its effects,
///        loses and delays answers if told to, and objects to whatever must never be done.

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "recovery/recovery.hpp"
#include "store/journal_memory.hpp"

namespace segue {

struct RecoveryWorld {
    // ---- the source
    RecoveryCase::Source source = RecoveryCase::Source::reachable;
    RunState src_state = RunState::postmigrate;
    MigrationStatus src_status = MigrationStatus::completed;
    std::string src_uuid = "guest-1";
    int runs_by_itself_after = -1;  ///< So many more readings of its state: the guardian brings it back.
    int runs_refused = 0;  ///< So many `cont` fail first: image locks.
    bool ended = false;    ///< By SrcEnd.
    std::string put_back;  ///< The script that was used.
    bool announced = false;

    // ---- the destination
    bool remote = true;
    bool reachable = true;
    bool forgotten = false;
    bool accepted = false;
    bool barred = false;
    bool alive = true;
    RunState dst_state = RunState::paused;
    std::string dst_uuid = "guest-1";
    int undecided_reads = 0;
    bool finish_refused = false;  ///< `cont` fails there: killed, recorded as refused.
    bool accepts_late = false;    ///< The first abort comes just too late.

    // ---- the operator and the rest
    bool fenced = false;
    double lost = 0;        ///< Share of answers that never come; half of them of commands that were not performed.
    Duration slowest{0};    ///< Answers take up to this.
    std::mt19937_64 chance{1};
    std::optional<Error> journal_breaks;
    std::string prepared_with = R"({"put_back":"script"})";  ///< The detail of `preparing`.
    std::string begun_with = "{}";  ///< The detail of `begun`.
    std::vector<std::string> on_success;  ///< What was run.
    bool on_success_fails = false;
    int steal_after = -1;   ///< Another process takes the move over before this step.

    MemoryJournal journal;
    JobId job{};
    MoveOwner self{100, 1, "boot"};
    Summary summary;
    bool finished = false;
    int source_runs = 0, destination_runs = 0, kills = 0;
    std::string objection;

    [[nodiscard]] bool src_runs() const {
        return source != RecoveryCase::Source::gone && src_state == RunState::running;
    }
    [[nodiscard]] bool dst_runs() const { return alive && dst_state == RunState::running && dst_uuid == "guest-1"; }

    void object(const std::string& to) {
        if (objection.empty()) objection = to;
    }

    void begin(const std::vector<StepKind>& steps) {
        NewMove move;
        move.id = {1, 2};
        move.vm = "qmp:/run/a.qmp";
        move.guest = {"guest-1", "web-7"};
        move.src = {"host1", "qmp:/run/a.qmp"};
        move.dst = {"host2", "qmp:/run/b.qmp"};
        if (remote) move.transport = "ssh://root@host2";
        move.owner = self;
        const auto step = [this](StepKind kind) {
            const bool first = kind == StepKind::begun;
            const std::string none = "{}";
            const std::string& other = kind == StepKind::preparing ? prepared_with : none;
            return MoveStep{kind, {{}, "boot", {}}, first ? begun_with : other};
        };
        job = *journal.create(move, step(StepKind::begun));
        for (const StepKind kind : steps) {
            const auto written = journal.append(job, self, step(kind), Durability::durable);
            ASSERT_TRUE(written) << to_string(written.error());
        }
    }

    [[nodiscard]] bool has(StepKind kind) {
        const auto record = journal.load(job);
        return std::ranges::find(record->steps, kind, &MoveStep::kind) != record->steps.end();
    }

    // ---- one recovery, from start to end

    void recover() {
        RecoveryCase what;
        what.record = *journal.load(job);
        what.remote = remote;
        what.source = source;
        what.source_trouble = "held by somebody";
        what.fenced = fenced;
        finished = false;
        summary = {};
        machine_.emplace(what);
        perform(machine_->start(now_));
        for (int turns = 0; !finished && turns < 20'000; ++turns) turn();
        EXPECT_TRUE(finished) << "it never ends";
        queue_.clear();
        if (finished && !summary.unfinished && !journal_breaks) {
            EXPECT_TRUE(journal.close(job, self, {}, {}));
        }
    }

private:
    using Time = Instant;

    void turn() {
        const Instant wake = machine_->wake_at();
        if (!queue_.empty() && queue_.begin()->first <= wake) {
            const auto [at, event] = *queue_.begin();
            queue_.erase(queue_.begin());
            now_ = std::max(now_, at);
            return perform(machine_->step(event, now_));
        }
        now_ = std::max(now_, wake);
        perform(machine_->step(Tick{}, now_));
    }

    void perform(const Effects& effects) {
        for (const auto& effect : effects) {
            if (const auto* submit = std::get_if<Submit>(&effect)) take(*submit);
            if (const auto* end = std::get_if<Finish>(&effect)) {
                summary = end->summary;
                finished = true;
            }
        }
        if (src_runs() && dst_runs() && !two_from_the_start) object("two copies run");
    }

    void take(const Submit& submit) {
        const bool to_journal = std::holds_alternative<JournalStep>(submit.command);
        const bool is_lost = !to_journal && std::uniform_real_distribution<>(0, 1)(chance) < lost;
        const bool performed = !is_lost || chance() % 2 == 0;
        Result<AnswerValue> value = fail(ErrorKind::timed_out, "no answer");
        if (performed) {
            auto real = std::visit([this](const auto& command) { return answer(command); }, submit.command);
            if (!is_lost) value = std::move(real);
        }
        const Duration took = is_lost ? submit.timeout
                                      : Duration{static_cast<std::int64_t>(
                                            chance() % static_cast<std::uint64_t>(slowest.count() + 1))};
        queue_.emplace(now_ + std::min(took, submit.timeout), Answer{submit.id, std::move(value)});
    }

    Result<AnswerValue> done() { return AnswerValue(GuestAnswer(Done{})); }

    Result<AnswerValue> answer(const SrcCommand& command) {
        if (source != RecoveryCase::Source::reachable) return fail(ErrorKind::unavailable, "gone");
        if (std::holds_alternative<SrcInspect>(command)) {
            GuestFacts facts;
            facts.uuid = src_uuid;
            facts.run_state = src_state;
            facts.migration = src_status;
            return AnswerValue(GuestAnswer(facts));
        }
        if (std::holds_alternative<SrcReadRunState>(command)) {
            if (runs_by_itself_after-- == 0) src_state = RunState::running;
            return AnswerValue(GuestAnswer(src_state));
        }
        if (std::holds_alternative<SrcReadProgress>(command)) {
            SrcProgress progress;
            progress.status = src_status;
            return AnswerValue(GuestAnswer(progress));
        }
        if (std::holds_alternative<SrcCancel>(command)) return cancel();
        if (std::holds_alternative<SrcYank>(command)) return yank();
        if (std::holds_alternative<SrcRun>(command)) return run_source();
        if (std::holds_alternative<SrcEnd>(command)) return end_source();
        if (std::holds_alternative<SrcAnnounce>(command)) announced = true;
        if (const auto* back = std::get_if<SrcPutBack>(&command)) put_back = back->script;
        return done();
    }

    Result<AnswerValue> cancel() {
        using enum MigrationStatus;
        if (src_status == setup || src_status == active || src_status == pre_switchover) {
            src_status = cancelled;
            if (src_state == RunState::finish_migrate) src_state = RunState::running;
        }
        return done();
    }

    Result<AnswerValue> yank() {
        if (src_status != MigrationStatus::device) return done();
        src_status = MigrationStatus::failed;
        src_state = RunState::running;
        return done();
    }

    Result<AnswerValue> run_source() {
        ++source_runs;
        if (dst_runs()) object("the source is continued while the destination runs");
        const bool fence = has(StepKind::destination_fenced);
        if (remote && accepted && !barred && !fence) object("continued after an accepted word");
        if (!remote && word_may_wait && alive) object("continued beside a destination that may have been told to run");
        if (!has(StepKind::undoing)) object("continued before the journal said so");
        if (runs_refused > 0 && runs_refused-- > 0) return fail(ErrorKind::refused, "locked");
        if (src_state == RunState::postmigrate || src_state == RunState::paused) src_state = RunState::running;
        return done();
    }

    Result<AnswerValue> end_source() {
        if (src_runs()) object("a running source is ended");
        if (!has(StepKind::moved)) object("the source is ended before the journal said moved");
        ended = true;
        source = RecoveryCase::Source::gone;
        queue_.emplace(now_, GuestNotice(SrcDied{}));
        return done();
    }

    Result<AnswerValue> answer(const DstCommand& command) {
        if (!reachable) return fail(ErrorKind::unavailable, "host2 does not answer");
        if (std::holds_alternative<DstReadTruth>(command)) return truth();
        if (std::holds_alternative<DstKill>(command)) return kill();
        if (std::holds_alternative<DstRun>(command)) return run_destination();
        if (std::holds_alternative<DstInspect>(command) && alive) {
            GuestFacts facts;
            facts.uuid = dst_uuid;
            facts.run_state = dst_state;
            return AnswerValue(GuestAnswer(facts));
        }
        return fail(ErrorKind::unavailable, "its QEMU is gone");
    }

    Result<AnswerValue> truth() {
        DstTruth truth;
        if (remote && undecided_reads > 0) {
            --undecided_reads;
            truth.undecided = true;
            return AnswerValue(GuestAnswer(truth));
        }
        truth.forgotten = remote && forgotten;
        truth.accepted = remote && accepted;
        truth.barred = remote && barred;
        truth.alive = alive;
        truth.run_state = dst_state;
        return AnswerValue(GuestAnswer(truth));
    }

    Result<AnswerValue> kill() {
        ++kills;
        if (!remote && (dst_runs() || dst_uuid != "guest-1")) object("a QEMU is ended that is not ours to end");
        if (remote && std::exchange(accepts_late, false)) accepted = true;
        if (remote && accepted && !barred) return fail(ErrorKind::refused, "a word was accepted");
        alive = false;
        barred = remote;
        return done();
    }

    Result<AnswerValue> run_destination() {
        ++destination_runs;
        if (!remote || !accepted || barred) object("the destination is continued without an accepted word");
        if (src_runs()) object("the destination is continued while the source runs");
        if (!alive) return fail(ErrorKind::unavailable, "its QEMU ended");
        if (finish_refused) {
            alive = false;
            barred = true;
            return fail(ErrorKind::refused, "cont was refused");
        }
        dst_state = RunState::running;
        return done();
    }

    Result<AnswerValue> answer(const JournalStep& command) {
        if (steal_after-- == 0) {
            EXPECT_TRUE(journal.take_over(job, self, {200, 1, "boot"}));
        }
        if (journal_breaks) return std::unexpected(*journal_breaks);
        EXPECT_EQ(command.durability, Durability::durable);
        const auto written = journal.append(job, self, {command.step, {{}, "boot", now_}, "{}"}, command.durability);
        if (!written) return std::unexpected(written.error());
        return AnswerValue(Journaled{});
    }

    Result<AnswerValue> answer(const StreamCommand&) { return unasked("a stream command"); }
    Result<AnswerValue> answer(const GuardCommand&) { return unasked("a guardian command"); }
    Result<AnswerValue> answer(const BrakeCommand&) { return unasked("a brake command"); }
    Result<AnswerValue> answer(const FlushImages&) { return unasked("a flush"); }
    Result<AnswerValue> answer(const RunOnSuccess& asked) {
        if (ended) object("the source was ended before --on-success ran");
        on_success.push_back(asked.command);
        if (on_success_fails) return fail(ErrorKind::refused, "it ended with status 1");
        return done();
    }
    Result<AnswerValue> unasked(const std::string& what) {
        object("recovery asks for " + what);
        return fail(ErrorKind::unsupported, what);
    }

public:
    bool two_from_the_start = false;
    bool word_may_wait = false;  ///< Local: the dead segue may have said the word.

private:
    Instant now_{std::chrono::seconds{100}};
    std::multimap<Instant, Event> queue_;
    std::optional<Recovery> machine_;
};

}  // namespace segue

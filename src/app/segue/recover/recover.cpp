// Performs the effects of recovery/ on real parts.
#include "app/segue/recover/recover.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <memory>
#include <utility>

#include "app/segue/jobs/job_socket.hpp"
#include "app/segue/jobs/source_job.hpp"
#include "app/segue/move/on_success.hpp"
#include "app/segue/output/output.hpp"
#include "app/segue/output/sink.hpp"
#include "app/segue/process/signals.hpp"
#include "app/segue/recover/recover_ports.hpp"
#include "app/segue/vm/vm_folder.hpp"
#include "base/assert.hpp"
#include "base/fault_point.hpp"
#include "io/loop.hpp"
#include "recovery/recovery.hpp"
#include "store/sqlite/journal_thread.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {
namespace {

constexpr Duration close_journal_max = std::chrono::seconds{5};

/// From the moment at which the move is ours to its end.
class Recoverer {
public:
    struct Told {
        std::function<void(const Report&)> on_report;
        std::function<void(const std::string&)> on_note;
        std::function<void(const Summary&)> on_finish;
    };

    Recoverer(Loop& loop, JournalThread& journal, std::string state_folder, MoveOwner owner, std::string version,
              RecoveryCase what, Told told)
        : loop_(loop),
          journal_(journal),
          state_folder_(std::move(state_folder)),
          owner_(std::move(owner)),
          version_(std::move(version)),
          what_(std::move(what)),
          told_(std::move(told)) {}
    ~Recoverer() {
        if (timer_) loop_.cancel(*timer_);
    }
    Recoverer(const Recoverer&) = delete;
    Recoverer& operator=(const Recoverer&) = delete;

    void start() {
        const auto on_notice = [this](const GuestNotice& notice) { feed(notice); };
        dst_ = std::make_unique<LateDst>(loop_, what_.record, version_, on_notice, told_.on_note);
        opener_ = std::make_unique<SourceOpener>(
            loop_, what_.record, [this](SourceOpener::Opened opened) { on_source(std::move(opened)); }, on_notice);
    }

    void cancel() {
        if (machine_) return feed(CancelRequested{});
        Summary summary;
        summary.outcome = Outcome::cancelled;
        summary.guest_on = GuestOn::unknown;
        summary.unfinished = true;
        const auto number = static_cast<std::int64_t>(what_.record.job);
        summary.error = fmt::format(
            "cancelled before anything was decided; job {} stays unfinished. Next: segue recover {}", number, number);
        finish(summary);
    }

private:
    void on_source(SourceOpener::Opened opened) {
        if (ended_) return;
        src_ = std::move(opened.guest);
        using Source = RecoveryCase::Source;
        what_.source = src_ ? Source::reachable : opened.gone ? Source::gone : Source::silent;
        what_.source_trouble = std::move(opened.trouble);
        machine_.emplace(what_);
        perform(machine_->start(loop_.now()));
        pump();
    }

    void feed(Event event) {
        events_.push_back(std::move(event));
        pump();
    }

    /// Never re-entered: what an effect causes at once waits in the queue for its turn.
    void pump() {
        if (draining_ || !machine_) return;
        draining_ = true;
        while (!events_.empty() && !machine_->finished()) {
            const Event next = std::move(events_.front());
            events_.pop_front();
            perform(machine_->step(next, loop_.now()));
        }
        draining_ = false;
        arm();
    }

    void arm() {
        if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
        if (machine_->finished()) return;
        timer_ = loop_.at(machine_->wake_at(), [this] {
            timer_.reset();
            feed(Tick{});
        });
    }

    void perform(Effects effects) {
        for (auto& effect : effects) {
            if (const auto* submit = std::get_if<Submit>(&effect)) {
                std::visit([&](const auto& command) { perform(*submit, command); }, submit->command);
            } else if (const auto* report = std::get_if<Report>(&effect)) {
                told_.on_report(*report);
            } else if (const auto* end = std::get_if<Finish>(&effect)) {
                finish(end->summary);
            }
        }
    }

    template <class T>
    void answer(CommandId id, Result<T> value) {
        feed(Answer{id, value ? Result<AnswerValue>(AnswerValue(std::move(*value)))
                              : std::unexpected(std::move(value).error())});
    }

    void perform(const Submit& submit, const SrcCommand& command) {
        SEGUE_ASSERT(src_ != nullptr);
        if (std::holds_alternative<SrcRun>(command)) SEGUE_FAULT_POINT("recover:run");
        const auto act = [this, submit, command] {
            src_->submit(command, submit.timeout,
                         [this, id = submit.id](Result<GuestAnswer> value) { answer(id, std::move(value)); });
        };
        // Who would start its definition again finds the QEMU or the mark.
        if (std::holds_alternative<SrcEnd>(command)) return mark_moved_then(act);
        act();
    }

    /// Of a VM by name; any other has no definition here. Done again where an earlier attempt did not come so far.
    void mark_moved_then(std::function<void()> then) {
        const NewMove& move = what_.record.move;
        if (std::exchange(marked_, true) || move.vm.starts_with("qmp:")) return then();
        journal_.ask<void>(
            [state = state_folder_, name = move.vm, host = move.dst.host, job = what_.record.job](Journal&) {
                return mark_moved(state, name, host, job, stamp_now().wall);
            },
            [this, then = std::move(then)](const Result<void>& marked) {
                if (!marked) {
                    unmarked_ = true;
                    told_.on_note("its definition could not be marked as moved, and the move stays unfinished: " +
                                  to_string(marked.error()));
                }
                then();
            });
    }

    /// The mark first: who would start the definition again is told so in any case.
    void perform(const Submit& submit, const RunOnSuccess& command) {
        const OnSuccess what = on_success_of(what_.record, command.command);
        mark_moved_then([this, id = submit.id, what] {
            journal_.ask<void>([what](Journal&) { return run_on_success(what); }, [this, id](const Result<void>& ran) {
                answer(id, ran ? Result<GuestAnswer>(Done{}) : std::unexpected(ran.error()));
            });
        });
    }

    void perform(const Submit& submit, const DstCommand& command) {
        dst_->submit(command, submit.timeout,
                     [this, id = submit.id](Result<GuestAnswer> value) { answer(id, std::move(value)); });
    }

    void perform(const Submit& submit, const JournalStep& command) {
        const MoveStep step{command.step, stamp_now(), encode_detail(command.detail)};
        journal_.append(what_.record.job, owner_, step, command.durability,
                        [this, id = submit.id](const Result<void>& done) {
                            answer(id, done ? Result<Journaled>(Journaled{}) : std::unexpected(done.error()));
                        });
    }

    /// Recovery has neither a stream nor a guardian, flushes nothing and brakes nobody.
    void perform(const Submit&, const StreamCommand&) { SEGUE_ASSERT(false); }
    void perform(const Submit&, const GuardCommand&) { SEGUE_ASSERT(false); }
    void perform(const Submit&, const FlushImages&) { SEGUE_ASSERT(false); }
    void perform(const Submit&, const BrakeCommand&) { SEGUE_ASSERT(false); }

    void finish(const Summary& summary) {
        if (std::exchange(ended_, true)) return;
        // An open record keeps the definition from starting here until it is marked.
        const auto tell = [this, told = summary]() mutable {
            told.unfinished = told.unfinished || unmarked_;
            told_.on_finish(told);
        };
        // A source that had ended already was not asked to.
        if (summary.outcome == Outcome::moved) return mark_moved_then([this, tell] { loop_.post(tell); });
        loop_.post(tell);
    }

    Loop& loop_;
    JournalThread& journal_;
    std::string state_folder_;
    MoveOwner owner_;
    std::string version_;
    RecoveryCase what_;
    Told told_;
    std::optional<Recovery> machine_;
    std::deque<Event> events_;  ///< Bounded by the commands outstanding and the notices of two monitors.
    bool draining_ = false;
    bool ended_ = false;
    bool marked_ = false;    ///< Or tried to.
    bool unmarked_ = false;  ///< It failed.
    std::optional<Loop::TimerId> timer_;
    std::unique_ptr<SourceOpener> opener_;
    std::unique_ptr<qemu::SrcGuest> src_;
    std::unique_ptr<LateDst> dst_;
};

int refuse(Output& output, const Error& error) {
    output.refuse(error);
    output.close();
    return exit_status(Outcome::refused);
}

int nothing_to_do(const Recover& wanted, Output& output, Sink& out) {
    Summary summary;
    summary.outcome = Outcome::planned;
    summary.guest_on = GuestOn::unknown;
    summary.error = "nothing is unfinished in the journal of this host";
    if (wanted.output.json) {
        output.show(summary);
    } else {
        out.write("segue: " + summary.error + "\n", Weight::result);
    }
    output.close();
    return exit_status(summary.outcome);
}

JsonContext context_of(const MoveRecord& record) {
    const MoveBounds& bounds = record.move.bounds;
    return {record.move.vm,
            {bounds.max_downtime, bounds.timeout, bounds.max_bandwidth, bounds.switchover_bandwidth},
            false,
            static_cast<std::int64_t>(record.job)};
}

/// The move is ours from here on.
int run(const Recover& wanted, const MoveRecord& record, const std::string& state_folder, const MoveOwner& self,
        const std::string& version, std::unique_ptr<Journal> journal, FdSink& out, FdSink& err) {
    Output output(detect_style(wanted.output), context_of(record), out, err);
    // Before anything else: whichever way the move ends, its guest must not be held by a Segue that is dead.
    if (auto undone = undo_recorded_brake(record); !undone) {
        output.note("the brake of this move was not taken away: " + to_string(undone.error()));
    }
    Loop loop;
    std::unique_ptr<Recoverer> recoverer;
    const auto cancel = [&] {
        if (recoverer) recoverer->cancel();
    };
    // Before the journal has its thread, which would take the signals otherwise.
    const Signals signals(loop, false, cancel, cancel);
    JournalThread thread(loop, std::move(journal));
    int status = exit_status(Outcome::unknown);
    const auto on_finish = [&](const Summary& summary) {
        if (wanted.output.json) {
            output.show(summary);
        } else {
            out.write(render_recovered(summary, record) + "\n", Weight::result);
        }
        status = exit_status(summary.outcome);
        if (summary.unfinished) return loop.stop();
        // A disk that stands still must not hold the operator's prompt for ever.
        loop.at(loop.now() + close_journal_max, [&] {
            output.note("the journal's disk does not answer: the record of this move stays open");
            loop.stop();
        });
        thread.ask<void>([id = record.job, self, ending = ending_of(summary), at = stamp_now()](
                             Journal& j) { return j.close(id, self, ending, at); },
                         [&](const Result<void>& closed) {
                             if (!closed) output.note("the journal was not closed: " + to_string(closed.error()));
                             loop.stop();
                         });
    };
    RecoveryCase what;
    what.record = record;
    what.remote = !record.move.transport.empty();
    what.fenced = wanted.fenced.has_value();
    recoverer = std::make_unique<Recoverer>(
        loop, thread, state_folder, self, version, std::move(what),
        Recoverer::Told{[&](const Report& report) { output.show(report); },
                        [&](const std::string& line) { output.note(line); }, on_finish});
    recoverer->start();
    loop.run();
    recoverer.reset();
    output.close();
    return status;
}

}  // namespace

int recover(const Recover& wanted, const std::string& state_folder, const std::string& version) {
    FdSink out(STDOUT_FILENO);
    FdSink err(STDERR_FILENO);
    Output output(detect_style(wanted.output), {}, out, err);
    const std::string path = journal_path(state_folder);
    // Where no journal is, nothing is unfinished, and none is made.
    const bool none = ::access(path.c_str(), F_OK) != 0 && errno == ENOENT;
    auto journal = none ? open_journal_read_only(path) : open_journal(path);
    if (!journal) return refuse(output, journal.error());
    auto chosen = choose_move(**journal, wanted);
    if (!chosen) return refuse(output, chosen.error());
    if (!*chosen) return nothing_to_do(wanted, output, out);
    const MoveRecord& record = **chosen;
    output.know_job(static_cast<std::int64_t>(record.job));
    if (auto fits = check_fence(wanted, record); !fits) return refuse(output, fits.error());
    const auto self = this_process();
    if (!self) return refuse(output, self.error());
    if (auto taken = (*journal)->take_over(record.job, record.move.owner, *self); !taken) {
        return refuse(output, taken.error());
    }
    // The dead process could not take its socket away.
    ::unlink(job_socket_path(state_folder, static_cast<std::int64_t>(record.job)).c_str());
    return run(wanted, record, state_folder, *self, version, std::move(*journal), out, err);
}

}  // namespace segue

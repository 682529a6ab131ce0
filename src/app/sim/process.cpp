#include "app/sim/process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "app/sim/words.hpp"
#include "units/text.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// More steps at one instant than any chain of causes has: the machine turns on the spot.
constexpr int steps_at_once_max = 2000;

bool has(const MoveRecord& record, StepKind kind) {
    return std::ranges::any_of(record.steps, [kind](const MoveStep& step) { return step.kind == kind; });
}

/// The step that must be on the disk before this is done.
std::optional<StepKind> must_be_written(const Command& command) {
    if (const auto* src = std::get_if<SrcCommand>(&command)) {
        if (std::holds_alternative<SrcPrepare>(*src)) return StepKind::preparing;
        if (std::holds_alternative<SrcStop>(*src)) return StepKind::stop_may_be_sent;
        if (std::holds_alternative<SrcStart>(*src)) return StepKind::migrate_may_be_sent;
        if (std::holds_alternative<SrcEnd>(*src)) return StepKind::moved;
    }
    if (const auto* dst = std::get_if<DstCommand>(&command)) {
        if (std::holds_alternative<DstClearAutostart>(*dst) || std::holds_alternative<DstPrepare>(*dst) ||
            std::holds_alternative<DstListen>(*dst)) {
            return StepKind::preparing;
        }
        if (std::holds_alternative<DstRun>(*dst)) return StepKind::word_may_be_sent;
    }
    return std::nullopt;
}

MoveEnding ending_of(const Summary& summary) {
    MoveEnding ending;
    ending.outcome = to_string(summary.outcome);
    ending.exit_status = exit_status(summary.outcome);
    ending.guest_on = to_string(summary.guest_on);
    ending.error = summary.error;
    ending.total = summary.total;
    return ending;
}

}  // namespace

JournalStamp stamp_at(Instant now, const std::string& boot_id) { return {WallInstant{now.since_boot}, boot_id, now}; }

Process::Process(World& world, HostDisk& disk, Machine machine, Job job, Rng rng, Callbacks callbacks)
    : world_(world), disk_(disk), machine_(std::move(machine)), job_(std::move(job)), rng_(rng),
      callbacks_(std::move(callbacks)), writer_(std::make_unique<JournalWriter>(disk)) {}

Process::~Process() { *here_ = false; }

void Process::start(std::unique_ptr<RemoteClient> remote) {
    remote_ = std::move(remote);
    if (remote_) remote_->start();
    auto effects = machine_.start(now());
    callbacks_.on_stepped();
    act(std::move(effects));
    schedule_tick();
}

void Process::deliver(Event event) {
    if (!alive_ || finished()) return;
    if (stalled_) {
        inbox_.push_back(std::move(event));
        return;
    }
    step(event);
}

void Process::step(const Event& event) {
    if (!alive_ || finished()) return;
    steps_at_once_ = now() == last_step_ ? steps_at_once_ + 1 : 0;
    last_step_ = now();
    if (steps_at_once_ > steps_at_once_max) {
        callbacks_.violation("it turns on the spot");
        return kill();
    }
    auto effects = machine_.step(event, now());
    callbacks_.on_stepped();
    act(std::move(effects));
    schedule_tick();
}

void Process::schedule_tick() {
    const auto number = ++tick_;
    if (!alive_ || finished() || machine_.wake_at() - now() > std::chrono::hours{1}) return;
    // A timer is never early and often a little late.
    agenda().at(machine_.wake_at() + rng_.between(microseconds{0}, microseconds{300}), [this, here = here_, number] {
        if (*here && number == tick_) deliver(Tick{});
    });
}

void Process::act(Effects effects) {
    for (auto& effect : effects) {
        if (!alive_) return;
        if (auto* submit = std::get_if<Submit>(&effect)) {
            perform(*submit);
        } else if (auto* report = std::get_if<Report>(&effect)) {
            if (const auto* decision = std::get_if<DecisionReport>(report)) {
                callbacks_.log("segue", fmt::format("{}: {}", decision->what, decision->because));
            } else if (const auto* forecast = std::get_if<ForecastReport>(report)) {
                std::string spans;
                for (const auto& sample : forecast->samples) spans += " " + to_text(sample.interval);
                callbacks_.log("segue", "forecast by samples of" + spans);
            } else if (const auto* progress = std::get_if<ProgressReport>(report)) {
                const auto& cost = progress->blackout_now;
                callbacks_.log("segue", "progress: blackout now " + (cost ? to_text(*cost) : "unknown"));
            }
        } else if (auto* done = std::get_if<Finish>(&effect)) {
            finish(done->summary);
        }
    }
}

// ---- The end ---------------------------------------------------------------------------------------

void Process::finish(const Summary& summary) {
    if (std::exchange(finish_said_, true)) callbacks_.violation("it finished twice");
    bye_ = {std::string(to_string(summary.outcome)), summary.error};
    callbacks_.on_finish(summary);
    if (!alive_) return;
    callbacks_.on_step(StepKind::closed);
    const auto closed = std::make_shared<Result<void>>();
    const auto work = [this, summary, closed](Journal& journal) {
        if (!summary.unfinished) {
            *closed = journal.close(job_.id, job_.owner, ending_of(summary), stamp_at(now(), job_.owner.boot_id));
        }
    };
    writer_->ask(JournalWriter::Cost::durable, work, [this, closed] {
        if (!*closed) callbacks_.log("segue", "the journal could not be closed: " + to_string(closed->error()));
        leave();
    });
}

void Process::leave() {
    if (!std::exchange(alive_, false)) return;
    if (remote_) remote_->say_bye(bye_);
    // Not from inside of its own callbacks.
    agenda().after(Duration{0}, [this, here = here_] {
        if (*here) remote_.reset();
    });
    callbacks_.on_gone();
}

void Process::kill() {
    if (!std::exchange(alive_, false)) return;
    writer_->kill();
    agenda().after(Duration{0}, [this, here = here_] {
        if (*here) remote_.reset();
    });
    if (remote_) remote_->freeze(true);
}

void Process::vanish() {
    if (!std::exchange(alive_, false)) return;
    if (remote_) remote_->vanish();
    remote_.reset();
}

void Process::stall(Duration length) {
    stalled_ = true;
    if (remote_) remote_->freeze(true);
    agenda().after(length, [this, here = here_] {
        if (!*here || !alive_) return;
        callbacks_.log("fault", "Segue goes on");
        stalled_ = false;
        while (!inbox_.empty() && alive_) {
            const Event event = std::move(inbox_.front());
            inbox_.pop_front();
            step(event);
        }
        if (alive_ && remote_) remote_->freeze(false);
    });
}

// ---- Effects ---------------------------------------------------------------------------------------

void Process::answer(CommandId id, Result<AnswerValue> value) {
    if (open_.erase(id) == 0) return;
    deliver(Answer{id, std::move(value)});
}

template <class T>
std::function<void(const Result<T>&)> Process::answerer(CommandId id, Duration late) {
    return [this, here = here_, id, late](const Result<T>& value) {
        if (!*here) return;
        Result<AnswerValue> wide = std::unexpected(value ? Error{} : value.error());
        if (value) wide = AnswerValue{*value};
        if (late.count() == 0) return answer(id, std::move(wide));
        agenda().after(late, [this, here = here_, id, wide = std::move(wide)] {
            if (*here) answer(id, wide);
        });
    };
}

void Process::perform(const Submit& submit) {
    const bool answered = submit.timeout.count() > 0;
    if (answered) {
        if (!ids_.insert(submit.id).second) callbacks_.violation("a command number was used twice");
        open_.insert(submit.id);
        agenda().after(submit.timeout, [this, here = here_, id = submit.id, name = name_of(submit.command)] {
            if (*here) answer(id, fail(ErrorKind::timed_out, fmt::format("{}: no answer in time", name)));
        });
    }
    const auto* step = std::get_if<JournalStep>(&submit.command);
    callbacks_.log("segue", step ? fmt::format("writes {}", to_string(step->step))
                                 : std::string(name_of(submit.command)));
    check_written_ahead(submit.command);
    const auto harm = answered ? callbacks_.on_command(submit.command) : Harm{};
    if (!harm.happens || !alive_) return;
    plant(submit.command);
    // Lost: served, and the answer never comes.
    perform_in_world(submit, harm.lost ? CommandId{0} : submit.id, harm.late);
}

void Process::perform_in_world(const Submit& submit, CommandId id, Duration late) {
    const Command& command = submit.command;
    if (const auto* src = std::get_if<SrcCommand>(&command)) {
        world_.submit(*src, answerer<GuestAnswer>(id, late));
    } else if (const auto* dst = std::get_if<DstCommand>(&command)) {
        auto on_answer = [this, command, next = answerer<GuestAnswer>(id, late)](Result<GuestAnswer> value) {
            plant_in_recover(command, value);
            next(value);
        };
        if (remote_) return remote_->submit(*dst, submit.timeout, std::move(on_answer));
        if (job_.owner.pid != 1 && !world_.truth().dst_alive) return answer_of_the_gone(*dst, std::move(on_answer));
        world_.submit(*dst, std::move(on_answer));
    } else if (const auto* stream = std::get_if<StreamCommand>(&command)) {
        world_.submit(*stream, answerer<StreamSample>(id, late));
    } else if (const auto* guard = std::get_if<GuardCommand>(&command)) {
        world_.submit(*guard, answerer<GuardAnswer>(id, late));
    } else if (const auto* brake = std::get_if<BrakeCommand>(&command)) {
        world_.submit(*brake, answerer<BrakeAnswer>(id, late));
    } else if (const auto* step = std::get_if<JournalStep>(&command)) {
        perform(*step, id, late);
    } else if (std::holds_alternative<RunOnSuccess>(command)) {
        agenda().after(milliseconds{20}, [answer = answerer<GuestAnswer>(id, late)] { answer(GuestAnswer{Done{}}); });
    } else {
        const Duration usual = rng_.between(milliseconds{1}, milliseconds{8});
        const Duration took = world_.image_flush().count() > 0 ? world_.image_flush() : usual;
        agenda().after(took, [answer = answerer<Flushed>(id, late), took] { answer(Flushed{took}); });
    }
}

/// The shell of `segue recover` sees that a QEMU of this host is gone.
void Process::answer_of_the_gone(const DstCommand& command, std::function<void(Result<GuestAnswer>)> on_answer) {
    Result<GuestAnswer> value = fail(ErrorKind::unavailable, "the destination's QEMU is gone");
    if (std::holds_alternative<DstReadTruth>(command)) value = GuestAnswer{DstTruth{}};
    if (std::holds_alternative<DstKill>(command)) value = GuestAnswer{Done{}};
    agenda().after(microseconds{20}, [on_answer = std::move(on_answer), value] { on_answer(value); });
}

void Process::append(const JournalStep& step, std::function<void(Result<void>)> then) {
    const auto result = std::make_shared<Result<void>>();
    const auto work = [this, step, result](Journal& journal) {
        const MoveStep record{step.step, stamp_at(now(), job_.owner.boot_id), encode_detail(step.detail)};
        *result = journal.append(job_.id, job_.owner, record, step.durability);
        // The last net held, and nothing should have fallen into it.
        const bool conflict = !*result && result->error().kind == ErrorKind::conflict;
        if (conflict && alive_ && !disk_.ever_failed()) {
            callbacks_.violation("the source's journal refused: " + to_string(result->error()));
        }
    };
    const bool durable = step.durability == Durability::durable;
    writer_->ask(durable ? JournalWriter::Cost::durable : JournalWriter::Cost::soon, work,
                 [then = std::move(then), result] { then(*result); });
}

void Process::perform(const JournalStep& step, CommandId id, Duration late) {
    callbacks_.on_step(step.step);
    const bool durable = step.durability == Durability::durable;
    const auto told = [this, durable, next = answerer<Journaled>(id, late)](const Result<void>& done) {
        if (!done) callbacks_.log("segue", "the journal could not be written: " + to_string(done.error()));
        if (durable) next(done ? Result<Journaled>(Journaled{}) : std::unexpected(done.error()));
    };
    if (durable && world_.plan().planted == Planted::journal_after_act) {
        agenda().after(Duration{0}, [told] { told({}); });
        agenda().after(milliseconds{50}, [this, here = here_, step] {
            if (*here && alive_) append(step, [](const Result<void>&) {});
        });
    } else {
        append(step, told);
    }
}

// ---- What must never be ----------------------------------------------------------------------------

void Process::check_written_ahead(const Command& command) {
    const auto step = must_be_written(command);
    if (!step) return;
    const auto record = disk_.journal().load(job_.id);
    if (record && has(*record, *step)) return;
    callbacks_.violation(fmt::format("{} before {} was in the journal", name_of(command), to_string(*step)));
}

// ---- Bugs planted in Segue, for proving the checks -------------------------------------------------

void Process::plant(const Command& command) {
    const Planted planted = world_.plan().planted;
    const auto* src = std::get_if<SrcCommand>(&command);
    const auto* dst = std::get_if<DstCommand>(&command);
    const auto nobody = [](const Result<GuestAnswer>&) {};
    if (planted == Planted::dst_run_when_held && src && std::holds_alternative<SrcContinue>(*src)) {
        world_.submit(DstCommand{DstRun{}}, nobody);
    }
    const bool word = dst && std::holds_alternative<DstRun>(*dst);
    if (planted == Planted::src_run_after_word && word) world_.submit(SrcCommand{SrcRun{}}, nobody);
    if (planted == Planted::src_ended_early && word) world_.submit(SrcCommand{SrcEnd{}}, nobody);
}

void Process::plant_in_recover(const Command& command, Result<GuestAnswer>& value) const {
    const auto& dst = std::get<DstCommand>(command);
    if (world_.plan().planted == Planted::recover_guesses_dead && job_.owner.pid != 1) {
        if (std::holds_alternative<DstKill>(dst) && !value) value = GuestAnswer{Done{}};
        if (std::holds_alternative<DstReadTruth>(dst) && !value) value = GuestAnswer{DstTruth{.barred = true}};
    }
    if (world_.plan().planted != Planted::recover_ignores_accepted || job_.owner.pid == 1) return;
    if (std::holds_alternative<DstKill>(dst)) value = GuestAnswer{Done{}};
    auto* truth = value ? std::get_if<DstTruth>(&*value) : nullptr;
    if (truth != nullptr) *truth = DstTruth{.barred = true};
}

}  // namespace segue::sim

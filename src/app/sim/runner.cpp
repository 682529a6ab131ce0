#include "app/sim/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <utility>

#include "app/sim/checks.hpp"
#include "app/sim/words.hpp"
#include "hypervisor/sim/world.hpp"
#include "policy/policy.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// More steps at one instant than any chain of causes has: the machine turns on the spot.
constexpr int steps_at_once_max = 2000;
/// What is still on its way when Segue has ended gets this long to show.
constexpr Duration settle = seconds{4};

class Runner {
public:
    Runner(const Scenario& scenario, std::function<void(const std::string&)> on_line)
        : scenario_(scenario), on_line_(std::move(on_line)), world_(scenario.plan, hooks()), rng_(world_.rng("runner")),
          migration_(scenario.request, make_patient_policy()) {}

    RunResult run() {
        began_ = now();
        agenda().after(user_patience, [this] {
            if (!migration_.finished()) cancel("the user's patience ends");
        });
        agenda().after(healed_after, [this] { heal(); });
        if (scenario_.moment == Moment::any_time) agenda().after(scenario_.offset, [this] { strike(); });
        act(migration_.start(now()));
        entered(migration_.stage());
        while (!agenda().empty() && agenda().next_at() <= until_) agenda().run_one();
        if (!finished_at_ && segue_alive_) {
            violation(agenda().empty() ? "nothing will ever happen again, and it has not finished"
                                       : "not finished although the world has long been healed");
        }
        return conclude();
    }

private:
    [[nodiscard]] Agenda& agenda() { return world_.agenda(); }
    [[nodiscard]] Instant now() { return agenda().now(); }

    Hooks hooks() {
        Hooks hooks;
        hooks.guest = [this](const GuestNotice& notice) { deliver(notice); };
        hooks.guard = [this](const GuardNotice& notice) { deliver(notice); };
        hooks.segue_killed = [this] {
            killed_by_guardian_ = true;
            end_segue("killed by the guardian");
        };
        hooks.violation = [this](std::string what) { violation(std::move(what)); };
        hooks.log = [this](std::string_view who, const std::string& what) {
            log(who, what);
            if (who == "src" && what == "STOP") stage_begins(Moment::stopping);
        };
        return hooks;
    }

    void log(std::string_view who, const std::string& what) {
        const double at = to_seconds(now() - began_) * 1e3;
        const auto stage = to_string(migration_stage_);
        result_.transcript.push_back(fmt::format("{:>11.3f} ms  {:<12} {:<8} {}", at, stage, who, what));
        if (on_line_) on_line_(result_.transcript.back());
    }

    void violation(std::string what) {
        log("CHECK", what);
        result_.violations.push_back(std::move(what));
    }

    // ---- Segue as a process

    void deliver(Event event) {
        if (!segue_alive_ || migration_.finished()) return;
        if (stalled_) {
            inbox_.push_back(std::move(event));
            return;
        }
        step(event);
    }

    void step(const Event& event) {
        if (migration_.finished()) return;
        steps_at_once_ = now() == last_step_ ? steps_at_once_ + 1 : 0;
        last_step_ = now();
        if (steps_at_once_ > steps_at_once_max) {
            violation("it turns on the spot");
            end_segue("turned on the spot");
            return;
        }
        const auto before = migration_.stage();
        auto effects = migration_.step(event, now());
        const auto after = migration_.stage();
        if (after != before) entered(after);
        act(std::move(effects));
        schedule_tick();
    }

    void entered(MigrationStage stage) {
        migration_stage_ = stage;
        log("segue", fmt::format("-> {}", to_string(stage)));
        if (stage == MigrationStage::copying && scenario_.hurts_undo) {
            agenda().after(scenario_.cancel_first, [this] { cancel("the user cancels"); });
        }
        stage_begins(moment_of(stage));
    }

    void stage_begins(Moment moment) {
        if (moment != scenario_.moment || moment == Moment::any_time || moment_seen_) return;
        moment_seen_ = true;
        agenda().after(scenario_.offset, [this] { strike(); });
    }

    void schedule_tick() {
        const auto number = ++tick_;
        if (migration_.finished() || migration_.wake_at() - now() > std::chrono::hours{1}) return;
        // A timer is never early and often a little late.
        agenda().at(migration_.wake_at() + rng_.between(microseconds{0}, microseconds{300}), [this, number] {
            if (number == tick_) deliver(Tick{});
        });
    }

    void act(Effects effects) {
        for (auto& effect : effects) {
            if (!segue_alive_) return;
            if (auto* submit = std::get_if<Submit>(&effect)) {
                perform(*submit);
            } else if (auto* report = std::get_if<Report>(&effect)) {
                if (const auto* decision = std::get_if<DecisionReport>(report)) {
                    log("segue", fmt::format("{}: {}", decision->what, decision->because));
                }
            } else if (auto* finish = std::get_if<Finish>(&effect)) {
                finished(finish->summary);
            }
        }
    }

    void finished(const Summary& summary) {
        if (finished_at_) violation("it finished twice");
        finished_at_ = now();
        summary_ = summary;
        at_finish_ = world_.truth();
        log("segue", fmt::format("{}, guest on {}, stood {:.3f} ms{}{}", to_string(summary.outcome),
                                 to_string(summary.guest_on), to_seconds(summary.downtime) * 1e3,
                                 summary.error.empty() ? "" : ": ", summary.error));
        until_ = now() + settle;
        // The process ends; that is its death for the guardian, unless it was released.
        agenda().after(milliseconds{1}, [this] { world_.segue_exits(); });
    }

    void end_segue(const std::string& how) {
        if (!segue_alive_ || finished_at_) return;
        segue_alive_ = false;
        log("fault", "Segue ends: " + how);
        until_ = std::min(until_, now() + seconds{20} + settle);
        if (!killed_by_guardian_) world_.kill_segue();
    }

    void cancel(const std::string& why) {
        if (!segue_alive_ || migration_.finished()) return;
        log("user", why);
        deliver(CancelRequested{});
    }

    // ---- effects

    void answer(CommandId id, Result<AnswerValue> value) {
        if (open_.erase(id) == 0) return;
        deliver(Answer{id, std::move(value)});
    }

    template <class T>
    auto answerer(CommandId id, Duration late) {
        return [this, id, late](const Result<T>& value) {
            Result<AnswerValue> wide = std::unexpected(value ? Error{} : value.error());
            if (value) wide = AnswerValue{*value};
            if (late.count() == 0) return answer(id, std::move(wide));
            agenda().after(late, [this, id, wide = std::move(wide)] { answer(id, wide); });
        };
    }

    void perform(const Submit& submit) {
        const bool answered = submit.timeout.count() > 0;
        if (answered) {
            if (!ids_.insert(submit.id).second) violation("a command number was used twice");
            open_.insert(submit.id);
            agenda().after(submit.timeout, [this, id = submit.id, name = name_of(submit.command)] {
                answer(id, fail(ErrorKind::timed_out, fmt::format("{}: no answer in time", name)));
            });
        }
        log("segue", std::string(name_of(submit.command)));
        const auto harm = answered ? harm_of(submit.command) : Harm{};
        if (!harm.happens) return;
        plant(submit.command);
        if (harm.lost) {
            // Served, and the answer never comes.
            perform_in_world(submit.command, CommandId{0}, {});
        } else {
            perform_in_world(submit.command, submit.id, harm.late);
        }
    }

    struct Harm {
        bool happens = true;
        bool lost = false;
        Duration late{0};
    };

    /// What the armed fault does to this command.
    Harm harm_of(const Command& command) {
        if (std::holds_alternative<GuardCommand>(command)) return {};  // Shared memory, not a connection.
        if (!harm_armed_) return {};
        if (harm_in_++ < scenario_.which) return {};
        harm_armed_ = false;
        if (scenario_.fault == Fault::late_answer) {
            log("fault", fmt::format("the answer to {} comes late", name_of(command)));
            return {true, false, std::min<Duration>(scenario_.length, seconds{20})};
        }
        log("fault", fmt::format("the answer to {} is lost, {}", name_of(command),
                                 scenario_.effect_happens ? "its effect is not" : "as is its effect"));
        return {scenario_.effect_happens, true, {}};
    }

    void perform_in_world(const Command& command, CommandId id, Duration late) {
        if (const auto* src = std::get_if<SrcCommand>(&command)) {
            world_.submit(*src, answerer<GuestAnswer>(id, late));
        } else if (const auto* dst = std::get_if<DstCommand>(&command)) {
            world_.submit(*dst, answerer<GuestAnswer>(id, late));
        } else if (const auto* stream = std::get_if<StreamCommand>(&command)) {
            world_.submit(*stream, answerer<StreamSample>(id, late));
        } else if (const auto* guard = std::get_if<GuardCommand>(&command)) {
            world_.submit(*guard, answerer<GuardAnswer>(id, late));
        } else if (std::holds_alternative<JournalStep>(command)) {
            agenda().after(rng_.between(microseconds{100}, milliseconds{3}),
                           [this, id, late] { answerer<Journaled>(id, late)(Journaled{}); });
        } else {
            const Duration took = rng_.between(milliseconds{1}, milliseconds{8});
            agenda().after(took, [this, id, late, took] { answerer<Flushed>(id, late)(Flushed{took}); });
        }
    }

    /// Bugs planted in Segue, for proving the checks.
    void plant(const Command& command) {
        const auto* src = std::get_if<SrcCommand>(&command);
        const auto* dst = std::get_if<DstCommand>(&command);
        if (scenario_.plan.planted == Planted::dst_run_when_held && src && std::holds_alternative<SrcContinue>(*src)) {
            world_.submit(DstCommand{DstRun{}}, [](const Result<GuestAnswer>&) {});
        }
        if (scenario_.plan.planted == Planted::src_run_after_word && dst && std::holds_alternative<DstRun>(*dst)) {
            world_.submit(SrcCommand{SrcRun{}}, [](const Result<GuestAnswer>&) {});
        }
    }

    // ---- faults

    void strike() {
        if (scenario_.fault == Fault::none || !segue_alive_ || finished_at_) return;
        result_.struck = true;
        result_.struck_in = moment_of(migration_stage_);
        struck_at_ = now();
        log("fault", std::string(to_string(scenario_.fault)));
        const auto ends = [this](std::function<void()> what) { agenda().after(scenario_.length, std::move(what)); };
        switch (scenario_.fault) {
            case Fault::none:
            case Fault::timeout_short: break;
            case Fault::link_collapse:
                world_.link_factor(0.01);
                ends([this] { world_.link_factor(1); });
                break;
            case Fault::black_hole:
                world_.link_factor(0);
                ends([this] { world_.link_factor(1); });
                break;
            case Fault::return_path_lost: world_.lose_return_path(); break;
            case Fault::dst_frozen:
                world_.freeze_dst(true);
                ends([this] { world_.freeze_dst(false); });
                break;
            case Fault::dst_dies: world_.kill_dst(); break;
            case Fault::src_dies: world_.kill_src(); break;
            case Fault::src_monitor_lost: world_.lose_src_monitor(); break;
            case Fault::slow_flush: world_.slow_flush(scenario_.length); break;
            case Fault::segue_killed: end_segue("SIGKILL"); break;
            case Fault::segue_stalled: stall(); break;
            case Fault::guardian_killed: world_.kill_guardian(); break;
            case Fault::user_cancel: cancel("the user cancels"); break;
            case Fault::lost_answer:
            case Fault::late_answer: harm_armed_ = true; break;
            case Fault::cont_refused: world_.refuse_dst_cont(); break;
        }
    }

    void stall() {
        stalled_ = true;
        agenda().after(scenario_.length, [this] {
            if (!segue_alive_) return;
            log("fault", "Segue goes on");
            stalled_ = false;
            while (!inbox_.empty() && segue_alive_) {
                const Event event = std::move(inbox_.front());
                inbox_.pop_front();
                step(event);
            }
        });
    }

    void heal() {
        world_.link_factor(1);
        if (scenario_.fault == Fault::dst_frozen) world_.freeze_dst(false);
    }

    RunResult conclude() {
        Evidence evidence{scenario_, world_, summary_, at_finish_, result_.struck, struck_at_.value_or(Instant{}),
                          finished_at_.value_or(now()), now()};
        for (auto& what : check_promises(evidence)) violation(std::move(what));
        result_.summary = summary_;
        result_.virtual_time = (finished_at_ ? *finished_at_ : now()) - began_;
        for (const auto& standing : world_.truth().standings) {
            const Duration stood = standing.to.value_or(now()) - standing.from;
            result_.stood = std::max(result_.stood.value_or(Duration{0}), stood);
        }
        return std::move(result_);
    }

    const Scenario scenario_;
    const std::function<void(const std::string&)> on_line_;
    RunResult result_;
    MigrationStage migration_stage_ = MigrationStage::inspecting;
    Instant began_;
    World world_;
    Rng rng_;
    Migration migration_;
    Instant until_{std::chrono::seconds{1000} + over_after};

    bool segue_alive_ = true;
    bool killed_by_guardian_ = false;
    bool stalled_ = false;
    std::deque<Event> inbox_;
    std::uint64_t tick_ = 0;
    int steps_at_once_ = 0;
    Instant last_step_;

    std::set<CommandId> ids_;
    std::set<CommandId> open_;
    bool moment_seen_ = false;
    bool harm_armed_ = false;
    int harm_in_ = 0;
    std::optional<Instant> struck_at_;
    std::optional<Instant> finished_at_;
    std::optional<Summary> summary_;
    Truth at_finish_;
};

}  // namespace

RunResult run_scenario(const Scenario& scenario, std::function<void(const std::string&)> on_line) {
    const auto runner = std::make_unique<Runner>(scenario, std::move(on_line));
    return runner->run();
}

std::string outcome_word(const RunResult& result) {
    return result.summary ? std::string(to_string(result.summary->outcome)) : "segue-ended";
}

}  // namespace segue::sim

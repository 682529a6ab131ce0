#include "app/segue/move/engine.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <expected>
#include <utility>

#include "app/segue/destination/dst_port.hpp"
#include "app/segue/destination/remote_dst.hpp"
#include "app/segue/move/brake_port.hpp"
#include "app/segue/move/flusher.hpp"
#include "app/segue/move/guard_client.hpp"
#include "base/assert.hpp"
#include "base/fault_point.hpp"
#include "channel/tcp/stream.hpp"
#include "hypervisor/qemu/src_guest.hpp"
#include "io/chance.hpp"
#include "io/zero_scan.hpp"
#include "migration/migration.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

/// Segue itself must not wait behind busy guests while one of them stands still. Threads and processes that
/// it starts do not inherit this. Not allowed in every cgroup; then a better nice value has to do.
void raise_priority() {
    sched_param lowest{};
    lowest.sched_priority = 1;
    if (::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) != 0) ::setpriority(PRIO_PROCESS, 0, -20);
}

/// Where the tests stop this process (named in tests/system; nothing in a shipped build).
void pass_fault_points(const GuardNote& note) {
    if (note.pass && *note.pass == 1) SEGUE_FAULT_POINT("segue:pass-1");
    if (note.pass && *note.pass == 3) SEGUE_FAULT_POINT("segue:pass-3");
    if (!note.stage) return;
    if (*note.stage == guard::Stage::copying) SEGUE_FAULT_POINT("segue:setup");
    if (*note.stage == guard::Stage::held) SEGUE_FAULT_POINT("segue:held");
    if (*note.stage == guard::Stage::loaded) SEGUE_FAULT_POINT("segue:loaded");
}

}  // namespace

struct Engine::Impl {
    Loop& loop;
    Request request;
    Where where;
    Callbacks callbacks;
    std::optional<Migration> migration;
    std::optional<qemu::SrcGuest> src;
    std::unique_ptr<DstPort> dst;
    std::string token;  ///< Of the data connection; empty: none.
    TcpStream stream;
    GuardClient guard;
    Flusher flusher;
    BrakePort brake;
    std::deque<Event> events;  ///< Bounded by the commands outstanding and the notices of two monitors.
    bool draining = false;
    std::optional<Loop::TimerId> timer;
    std::optional<Result<void>> src_ready;
    std::optional<std::expected<void, Finding>> dst_ready;
    bool dst_waits = false;    ///< Its command is still to be made.
    bool ended_early = false;  ///< Refused or cancelled before the migration began.
    bool journal_trouble = false;  ///< Told once.
    bool unmarked = false;         ///< The definition could not be marked as moved.

    Impl(Loop& l, Request r, Where w, Callbacks c)
        : loop(l),
          request(std::move(r)),
          where(std::move(w)),
          callbacks(std::move(c)),
          stream(l),
          guard(l, {where.guard_program, where.src_monitor, where.guard_monitor},
                [this](const GuardNotice& notice) { feed(notice); }),
          flusher(l),
          brake(l, where.move_id.empty() ? std::to_string(::getpid()) : where.move_id.substr(0, 12)) {}

    ~Impl() {
        if (timer) loop.cancel(*timer);
    }

    // ---- opening both monitors -----------------------------------------------------------------------

    void start() {
        src.emplace(
            loop, where.src_monitor,
            [this](Result<void> r) {
                src_ready = std::move(r);
                if (*src_ready && dst_waits) return build_command();
                if (dst_waits) dst_ready.emplace();  // What is wrong with the source is told alone.
                opened();
            },
            [this](const GuestNotice& notice) { on_notice(notice); });
        dst_waits = where.remote && where.remote->build_command;
        if (!dst_waits) open_destination();
    }

    /// Of a VM that somebody else started: the destination is made after what the source is now.
    void build_command() {
        src->submit(SrcInspect{}, std::chrono::seconds{10}, [this](Result<GuestAnswer> answer) {
            if (ended_early) return;
            const auto* facts = answer ? std::get_if<GuestFacts>(&*answer) : nullptr;
            auto command = facts != nullptr ? where.remote->build_command(*facts)
                           : answer         ? fail(ErrorKind::corrupt, "the source gave no facts")
                                            : Result<std::vector<std::string>>(std::unexpected(answer.error()));
            if (!command) {
                return refuse({{to_string(command.error()),
                                "or start the destination's QEMU yourself, and give --dst-qmp", "foreign"}});
            }
            where.remote->dst_command = std::move(*command);
            open_destination();
        });
    }

    void open_destination() {
        DstPortCallbacks told;
        told.on_ready = [this](std::expected<void, Finding> r) {
            dst_ready = std::move(r);
            opened();
        };
        told.on_notice = [this](const GuestNotice& notice) { on_notice(notice); };
        told.on_note = [this](const std::string& line) {
            if (callbacks.on_note) callbacks.on_note(line);
        };
        if (!where.remote) {
            dst = make_local_dst(loop, where.dst_monitor, std::move(told), request.data_address);
            return;
        }
        const Remote& remote = *where.remote;
        token = draw_hex();
        receive::ClientPlan plan;
        plan.hello = our_hello(remote.segue_version, receive::MoveId{where.move_id});
        if (remote.dst_command.empty() && !remote.vm) plan.prepare.monitor = where.dst_monitor;
        plan.prepare.vm = remote.vm;
        plan.prepare.command = remote.dst_command;
        plan.prepare.data = receive::DataPlace{request.data_address.host, request.data_address.port,
                                               remote.port_first, remote.port_last};
        plan.prepare.only_looks = request.dry_run;
        plan.token = {token};
        if (remote.build_command) plan.needs = receive::sockets_feature;
        plan.port_first = remote.port_first;
        plan.port_last = remote.port_last;
        dst = make_remote_dst(loop, remote.host, std::move(plan), std::move(told));
    }

    void opened() {
        if (!src_ready || !dst_ready || migration || ended_early) return;
        std::vector<Finding> findings;
        if (!*src_ready) {
            findings.push_back(
                {to_string(src_ready->error()), "check qmp:PATH, the QMP socket of the QEMU that runs the guest"});
        }
        if (!*dst_ready) {
            findings.push_back(dst_ready->error());
        }
        if (!findings.empty()) return refuse(std::move(findings));
        request.control_round_trip = dst->round_trip();
        request.zero_scan = zero_scan_rate();
        if (!callbacks.recall) return begin();
        src->submit(SrcInspect{}, std::chrono::seconds{10}, [this](Result<GuestAnswer> answer) {
            // What cannot be read now is reported by the migration's own inspection.
            if (answer) {
                if (const auto* facts = std::get_if<GuestFacts>(&*answer)) {
                    request.experience = callbacks.recall(*facts);
                    if (auto finding = where.check ? where.check(*facts) : std::nullopt) {
                        return refuse({std::move(*finding)});
                    }
                    if (auto obstacle = identify(*facts)) return refuse({std::move(*obstacle)});
                }
            }
            begin();
        });
    }

    void refuse(std::vector<Finding> findings) {
        if (std::exchange(ended_early, true)) return;
        Summary summary;
        summary.outcome = Outcome::refused;
        summary.findings = std::move(findings);
        for (const auto& finding : summary.findings) {
            summary.error += (summary.error.empty() ? "" : "; ") + finding.what + " (" + finding.remedy + ")";
        }
        // The guest was not seen: nothing was asked of it, and where it runs is the operator's knowledge.
        if (!*src_ready) summary.guest_on = GuestOn::unknown;
        end(std::move(summary));
    }

    /// Not from inside of what ended it: who is told may destroy this.
    void end(Summary summary) {
        loop.post([this, summary = std::move(summary)] {
            const auto on_left = [this](bool ended) { callbacks.on_left(ended); };
            if (dst) dst->leave(std::string(to_string(summary.outcome)), summary.error, on_left);
            else loop.post([on_left] { on_left(true); });
            callbacks.on_finish(summary);
        });
    }

    [[nodiscard]] std::optional<Finding> identify(const GuestFacts& facts) {
        if (!where.job) return std::nullopt;
        if (auto obstacle = where.job->obstacle(facts)) return obstacle;
        const auto work = [id = where.job->id, owner = where.job->owner,
                           guest = GuestIdentity{facts.uuid, facts.name}](Journal& journal) {
            return journal.identify(id, owner, guest);
        };
        where.job->journal->ask<void>(work, [this](Result<void> done) { note_trouble(done); });
        return std::nullopt;
    }

    /// Of a record that nothing waits for; what must be there is asked for durably.
    void note_trouble(const Result<void>& done) {
        if (done || std::exchange(journal_trouble, true) || !callbacks.on_note) return;
        callbacks.on_note("the journal could not be written: " + to_string(done.error()));
    }

    /// The way to another host, or a monitor that hangs, can take long to fail; nothing was changed yet.
    void cancel_opening() {
        if (std::exchange(ended_early, true)) return;
        Summary summary;
        summary.outcome = Outcome::cancelled;
        summary.error = "cancelled before anything was changed; the guest runs on the source";
        end(std::move(summary));
    }

    void begin() {
        if (ended_early) return;
        migration.emplace(request, where.policy ? std::move(where.policy) : make_patient_policy());
        perform(migration->start(loop.now()));
        arm();
    }

    // ---- events in -------------------------------------------------------------------------------------

    void on_notice(const GuestNotice& notice) {
        if (std::holds_alternative<SrcStopped>(notice)) SEGUE_FAULT_POINT("segue:stopped");
        if (!migration) return;  // Before the start only the inspection's answers matter.
        feed(notice);
    }

    void feed(Event event) {
        events.push_back(std::move(event));
        pump();
    }

    /// Never re-entered: what an effect causes at once waits in the queue for its turn.
    void pump() {
        if (draining || !migration) return;
        draining = true;
        while (!events.empty() && !migration->finished()) {
            const Event next = std::move(events.front());
            events.pop_front();
            perform(migration->step(next, loop.now()));
        }
        draining = false;
        arm();
    }

    void arm() {
        if (timer) loop.cancel(*timer);
        timer.reset();
        if (migration->finished()) return;
        timer = loop.at(migration->wake_at(), [this] {
            timer.reset();
            feed(Tick{});
        });
    }

    void answer(CommandId id, Result<AnswerValue> value) { feed(Answer{id, std::move(value)}); }

    /// Answers that are known at once still come as events of their own (port rule 1).
    void answer_soon(CommandId id, Result<AnswerValue> value) {
        events.push_back(Answer{id, std::move(value)});
        if (!draining) loop.post([this] { pump(); });
    }

    // ---- effects out -----------------------------------------------------------------------------------

    void perform(Effects effects) {
        for (auto& effect : effects) {
            if (auto* submit = std::get_if<Submit>(&effect)) {
                std::visit([&](const auto& command) { perform(*submit, command); }, submit->command);
            } else if (auto* report = std::get_if<Report>(&effect)) {
                callbacks.on_report(*report);
            } else if (auto* finish = std::get_if<Finish>(&effect)) {
                // The record stays open: until `segue recover` has marked it, it keeps the definition from starting.
                finish->summary.unfinished = finish->summary.unfinished || unmarked;
                end(std::move(finish->summary));
            }
        }
    }

    void perform(const Submit& submit, const SrcCommand& command) {
        if (std::holds_alternative<SrcTakeStream>(command)) src->set_stream(stream.fd());
        src->submit(command, submit.timeout, [this, id = submit.id](Result<GuestAnswer> value) {
            answer(id, value ? Result<AnswerValue>(AnswerValue(std::move(*value)))
                             : std::unexpected(std::move(value).error()));
        });
        if (std::holds_alternative<SrcStop>(command)) SEGUE_FAULT_POINT("segue:told-to-stop");
        if (std::holds_alternative<SrcContinue>(command)) SEGUE_FAULT_POINT("segue:blackout");
    }

    void perform(const Submit& submit, const DstCommand& command) {
        const bool word = std::holds_alternative<DstRun>(command);
        dst->submit(command, submit.timeout, [this, id = submit.id, word](Result<GuestAnswer> value) {
            if (word) SEGUE_FAULT_POINT("segue:answered");
            answer(id, value ? Result<AnswerValue>(AnswerValue(std::move(*value)))
                             : std::unexpected(std::move(value).error()));
        });
        if (word) SEGUE_FAULT_POINT("segue:word");
    }

    void perform(const Submit& submit, const StreamCommand& command) {
        const CommandId id = submit.id;
        if (const auto* connect = std::get_if<StreamConnect>(&command)) {
            StreamConnect with_token = *connect;
            with_token.token = token;
            stream.connect(with_token, submit.timeout, [this, id](Result<StreamSample> sample) {
                answer(id,
                       sample ? Result<AnswerValue>(AnswerValue(*sample)) : std::unexpected(std::move(sample).error()));
            });
        } else if (const auto* pace = std::get_if<StreamPace>(&command)) {
            stream.pace(pace->cap);
        } else if (const auto* limit = std::get_if<StreamLimitSilence>(&command)) {
            stream.limit_silence(limit->silence);
        } else if (std::holds_alternative<StreamCut>(command)) {
            stream.cut();
        } else {
            auto sample = stream.read();
            answer_soon(
                id, sample ? Result<AnswerValue>(AnswerValue(*sample)) : std::unexpected(std::move(sample).error()));
        }
    }

    void perform(const Submit& submit, const BrakeCommand& command) {
        const auto* set = std::get_if<BrakeSet>(&command);
        const bool braked = set != nullptr && set->share < all_of_it;
        // Its files are the kernel's and answer in microseconds; one that hangs must not hold up the move all the same.
        const auto open = std::make_shared<bool>(true);
        const auto late = loop.at(loop.now() + submit.timeout, [this, id = submit.id, open] {
            if (std::exchange(*open, false)) answer(id, fail(ErrorKind::timed_out, "the brake did not answer in time"));
        });
        brake.submit(command, [this, id = submit.id, open, late, braked](Result<BrakeAnswer> value) {
            loop.cancel(late);
            if (braked) SEGUE_FAULT_POINT("segue:braked");
            if (!std::exchange(*open, false)) return;
            answer(id, value ? Result<AnswerValue>(AnswerValue(std::move(*value)))
                             : std::unexpected(std::move(value).error()));
        });
    }

    void perform(const Submit& submit, const GuardCommand& command) {
        const CommandId id = submit.id;
        if (std::holds_alternative<GuardStart>(command)) {
            raise_priority();
            const int dst_pidfd = dst->duplicate_pidfd();
            guard.start(dst_pidfd, submit.timeout, [this, id, dst_pidfd](Result<GuardReady> ready) {
                if (dst_pidfd >= 0) ::close(dst_pidfd);
                answer(id, ready ? Result<AnswerValue>(AnswerValue(GuardAnswer(*ready)))
                                 : std::unexpected(std::move(ready).error()));
            });
        } else if (const auto* brief = std::get_if<GuardBrief>(&command)) {
            guard.brief(brief->put_back_script);
        } else if (std::holds_alternative<GuardTakeStream>(command)) {
            guard.take_stream(stream.fd());
        } else if (std::holds_alternative<GuardTakeBrake>(command)) {
            if (!guard.take_brake(brake.held())) feed(GuardDied{});
        } else if (std::holds_alternative<GuardClaimWord>(command)) {
            answer_soon(id, AnswerValue(GuardAnswer(guard.claim_word())));
        } else if (std::holds_alternative<GuardClaimRollback>(command)) {
            answer_soon(id, AnswerValue(GuardAnswer(guard.claim_rollback())));
        } else if (const auto* note = std::get_if<GuardNote>(&command)) {
            guard.note(*note);
            pass_fault_points(*note);
        } else {
            guard.release();
        }
    }

    void perform(const Submit& submit, const JournalStep& command) {
        SEGUE_ASSERT(where.job.has_value());
        const MoveStep step{command.step, stamp_now(), encode_detail(command.detail)};
        const bool durable = command.durability == Durability::durable;
        const bool moved = command.step == StepKind::moved && where.job->mark;
        where.job->journal->append(where.job->id, where.job->owner, step, command.durability,
                                   [this, id = submit.id, durable, moved](Result<void> done) {
                                       if (!durable) return note_trouble(done);
                                       if (moved) return mark_moved(id, std::move(done));
                                       journaled(id, std::move(done));
                                   });
    }

    void journaled(CommandId id, Result<void> done) {
        answer(id, done ? Result<AnswerValue>(AnswerValue(Journaled{})) : std::unexpected(std::move(done).error()));
    }

    /// Behind the record and before SrcEnd: who would start the definition again finds the QEMU or the mark.
    void mark_moved(CommandId id, Result<void> recorded) {
        const std::string host = dst->host_name();
        where.job->journal->ask<void>([mark = where.job->mark, host](Journal&) { return mark(host); },
                                      [this, id, recorded = std::move(recorded)](const Result<void>& marked) {
                                          unmarked = !marked;
                                          if (!marked && callbacks.on_note) {
                                              callbacks.on_note("that it was moved could not be remembered: " +
                                                                to_string(marked.error()) +
                                                                ". Next: segue recover, which tries again");
                                          }
                                          journaled(id, recorded);
                                      });
    }

    /// Nothing else is written meanwhile: the move has one command outstanding.
    void perform(const Submit& submit, const RunOnSuccess& command) {
        SEGUE_ASSERT(where.job && where.job->on_success);
        SEGUE_FAULT_POINT("segue:on-success");
        where.job->journal->ask<void>(
            [run = where.job->on_success, command, host = dst->host_name()](Journal&) { return run(command, host); },
            [this, id = submit.id](const Result<void>& ran) {
                answer(id, ran ? Result<AnswerValue>(AnswerValue(GuestAnswer(Done{}))) : std::unexpected(ran.error()));
            });
    }

    void perform(const Submit& submit, const FlushImages& command) {
        flusher.flush(command.images,
                      [this, id = submit.id](Duration took) { answer(id, AnswerValue(Flushed{took})); });
    }
};

Engine::Engine(Loop& loop, Request request, Where where, Callbacks callbacks)
    : impl_(std::make_unique<Impl>(loop, std::move(request), std::move(where), std::move(callbacks))) {}
Engine::~Engine() = default;

void Engine::start() {
    impl_->start();
}

void Engine::cancel() {
    if (impl_->migration) return impl_->feed(CancelRequested{});
    impl_->cancel_opening();
}

}  // namespace segue

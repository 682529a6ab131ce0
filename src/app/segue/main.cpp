/// \file  The command `segue`: words, engine, output, exit status.

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "app/segue/cli/cli.hpp"
#include "app/segue/cli/completion.hpp"
#include "app/segue/doctor/doctor.hpp"
#include "app/segue/jobs/decision_record.hpp"
#include "app/segue/jobs/job_service.hpp"
#include "app/segue/jobs/jobs.hpp"
#include "app/segue/jobs/source_job.hpp"
#include "app/segue/move/engine.hpp"
#include "app/segue/move/guard_client.hpp"
#include "app/segue/move/on_success.hpp"
#include "app/segue/move/policy_choice.hpp"
#include "app/segue/move/supervisor.hpp"
#include "app/segue/output/output.hpp"
#include "app/segue/output/sink.hpp"
#include "app/segue/process/signals.hpp"
#include "app/segue/receive/receive_shell.hpp"
#include "app/segue/recover/recover.hpp"
#include "app/segue/replay/explain.hpp"
#include "app/segue/settings/config_commands.hpp"
#include "app/segue/settings/settings_files.hpp"
#include "app/segue/vm/foreign_vm.hpp"
#include "app/segue/vm/vm_commands.hpp"
#include "app/segue/vm/vm_folder.hpp"
#include "app/segue/vm/vm_source.hpp"
#include "app/segue/words/host_name.hpp"
#include "io/chance.hpp"
#include "io/loop.hpp"
#include "store/file/experience_file.hpp"
#include "store/sqlite/owner_process.hpp"

namespace segue {
namespace {

constexpr Duration close_journal_max = std::chrono::seconds{5};

WallTime wall_time() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string state_folder() {
    const char* named = std::getenv("SEGUE_STATE");
    return named != nullptr && *named != '\0' ? named : default_state_folder;
}

const char* at_first_interrupt(bool dry_run) {
    if (dry_run) return "still looking; press Ctrl-C once more to end, nothing was changed";
    return "still moving; press Ctrl-C once more to cancel, the guest then stays on the source";
}

int refuse(const Error& error, const Migrate& wanted) {
    FdSink out(STDOUT_FILENO);
    FdSink err(STDERR_FILENO);
    Output output(detect_style(wanted.output), {wanted.request.vm, wanted.request.bounds, wanted.request.dry_run}, out,
                  err);
    output.refuse(error);
    output.close();
    return exit_status(Outcome::refused);
}

NewMove new_move(const Migrate& wanted, const std::string& move_id) {
    NewMove move;
    move.id = parse_move_id(move_id).value_or(MoveId{});
    move.vm = wanted.request.vm;
    move.src = {this_host_name(), "qmp:" + wanted.src_qmp};
    move.dst = {wanted.to ? wanted.to->name : move.src.host, wanted.dst_qmp.empty() ? "" : "qmp:" + wanted.dst_qmp};
    if (wanted.to) move.transport = wanted.to->as_written;
    const Bounds& bounds = wanted.request.bounds;
    move.bounds = {bounds.max_downtime, bounds.timeout, bounds.max_bandwidth, bounds.switchover_bandwidth};
    return move;
}

/// What recover must know before anything else.
JournalDetail begun_with(const Migrate& wanted) {
    const std::string& on_success = wanted.request.on_success;
    return on_success.empty() ? JournalDetail{} : JournalDetail{{"on_success", on_success}};
}

job::Identity identity_of(const Migrate& wanted, const SourceJob& opened) {
    const Bounds& bounds = wanted.request.bounds;
    const std::string here = this_host_name();
    return {static_cast<std::int64_t>(opened.id()), wanted.request.vm, here + " qmp:" + wanted.src_qmp,
            (wanted.to ? wanted.to->name : here) + (wanted.dst_qmp.empty() ? "" : " qmp:" + wanted.dst_qmp),
            bounds.max_downtime, bounds.timeout};
}

/// What is still to be done once the result is known: this host's record is closed, and the other host ends what it had
/// for the move, so that nobody who acts on the result meets the rest of it there. Then the loop stops.
class LastThings {
public:
    LastThings(Loop& loop, SourceJob* job, Output& output) : loop_(loop), job_(job), output_(output) {}

    void close_record(const Summary& end) {
        if (job_ == nullptr) return record_done();
        // A disk that stands still must not hold the operator's prompt for ever.
        const auto late = loop_.at(loop_.now() + close_journal_max, [this] {
            output_.note("the journal's disk does not answer: the record of this move stays open");
            record_done();
        });
        job_->close(end, [this, late](const Result<void>& closed) {
            loop_.cancel(late);
            if (!closed) output_.note("the journal was not closed: " + to_string(closed.error()));
            record_done();
        });
    }
    void other_host_left(bool ended) {
        if (!ended) output_.note("the other host is still at it after 5 s: segue status there says what is left there");
        left_ = true;
        if (closed_) loop_.stop();
    }

private:
    void record_done() {
        closed_ = true;
        if (left_) loop_.stop();
    }
    Loop& loop_;
    SourceJob* job_;
    Output& output_;
    bool closed_ = false;
    bool left_ = false;
};

/// Its command is in the journal from the first step on: `segue recover` runs it where this process died before.
std::function<Result<void>(const RunOnSuccess&, const std::string&)> on_success_of(const Migrate& wanted, JobId job) {
    if (wanted.request.on_success.empty()) return {};
    OnSuccess what;
    what.job = static_cast<std::int64_t>(job);
    what.vm = wanted.request.vm;
    what.src_qmp = wanted.src_qmp;
    what.dst_host = wanted.to ? wanted.to->name : this_host_name();
    return [what](const RunOnSuccess& asked, const std::string& host) mutable {
        what.command = asked.command;
        what.src_pid = asked.src_pid;
        if (!host.empty()) what.dst_host = host;
        return run_on_success(what);
    };
}

/// Only for a VM that has a definition here.
std::function<Result<void>(const std::string&)> mark_of(const Migrate& wanted, JobId job) {
    if (wanted.vm_name.empty()) return {};
    const std::string named = wanted.to->name;
    return [name = wanted.vm_name, named, job](const std::string& host) {
        return mark_moved(state_folder(), name, host.empty() ? named : host, job, stamp_now().wall);
    };
}

/// With QEMU's own brake nobody else steers: the guest may stop as soon as QEMU has brought it to the budget.
Result<std::unique_ptr<Policy>> policy_of(const Migrate& wanted, Output& output) {
    if (wanted.request.brake == BrakeKind::auto_converge) return make_patient_policy();
    const auto tell = [&output](const std::string& line) { output.note(line); };
    return choose_policy(wanted.policy, {tell, tell});
}

/// What this host says against moving the guest, besides what both QEMUs say.
std::optional<Finding> in_the_way(const Migrate& wanted, const GuestFacts& src, Output& output) {
    if (!wanted.request.on_success.empty()) return std::nullopt;
    auto found = find_supervisor(src.pid);
    if (!found.note.empty()) output.note(found.note);
    return std::move(found.finding);
}

/// \param job  None: a dry run.
Engine::Where where_of(const Migrate& wanted, const std::string& move_id, SourceJob* job, Output& output) {
    Engine::Where where{wanted.src_qmp, wanted.src_guard_qmp, wanted.dst_qmp, find_guard_program(), {}};
    if (wanted.to) {
        where.remote =
            Engine::Remote{*wanted.to,        wanted.dst_command, wanted.definition,
                           wanted.port_first, wanted.port_last,   SEGUE_VERSION};
        if (wanted.foreign) {
            where.remote->build_command = [&wanted](const GuestFacts& src) {
                return command_of_foreign(src, wanted.src_qmp, wanted.path_map);
            };
        }
    }
    where.move_id = move_id;
    where.check = [&wanted, &output](const GuestFacts& src) { return in_the_way(wanted, src, output); };
    if (job != nullptr) {
        where.job = Engine::Job{&job->journal(), job->id(), job->owner(),
                                [job](const GuestFacts& src) { return job->obstacle(src); },
                                mark_of(wanted, job->id()), on_success_of(wanted, job->id())};
    }
    return where;
}

PlanQuestion question_of(const Migrate& wanted, const ForecastReport& forecast) {
    const Bounds& bounds = wanted.request.bounds;
    return {forecast.outlook, bounds.max_downtime, bounds.timeout,
            forecast.brake,   forecast.reserve,    bounds.switchover_bandwidth};
}

/// \param guest  Empty: nothing is to be learned; a guest that stood teaches nothing about one that runs.
void remember(ExperienceFile& memory, const std::string& guest, const Summary& end, Output& output) {
    if (guest.empty()) return;
    Lesson lesson{end.learned, std::nullopt, end.guest};
    // The next move may take another path.
    if (lesson.guest) lesson.guest->bandwidth_bytes_per_second = {};
    if (end.rollback.count() > 0) lesson.rollback = end.rollback;
    const std::string warning = memory.remember(guest, lesson, wall_time());
    if (!warning.empty()) output.note(warning);
}

/// What the policy expects of this move: only of its own steering, and of a link whose bandwidth is known.
std::optional<PlanRow> expected_of(const Migrate& wanted, const ForecastReport& forecast) {
    const bool steers = wanted.policy == "converge" && wanted.request.brake != BrakeKind::auto_converge;
    // A link that is faster than QEMU is never measured.
    if (!steers || !forecast.bandwidth_known || !forecast.outlook.bandwidth_known) return std::nullopt;
    return plan_row(question_of(wanted, forecast), wanted.request.aggression);
}

/// `segue plan` shows its table in place of the forecast's words.
void show(const Migrate& wanted, const Report& report, Output& output) {
    const auto* forecast = std::get_if<ForecastReport>(&report);
    if (forecast == nullptr) return output.show(report);
    if (!wanted.plan) return output.show(*forecast, expected_of(wanted, *forecast));
    const PlanQuestion question = question_of(wanted, *forecast);
    output.show(question.outlook.bandwidth_known ? make_plan(question)
                                                 : plan_over_links(question, wanted.request.aggression));
}

int refuse(const Error& error, Output& output) {
    output.refuse(error);
    output.close();
    return exit_status(Outcome::refused);
}

int migrate(const Migrate& wanted) {
    FdSink out(STDOUT_FILENO);
    FdSink err(STDERR_FILENO);
    Output output(detect_style(wanted.output), {wanted.request.vm, wanted.request.bounds, wanted.request.dry_run}, out,
                  err);
    output.begin(wanted);

    auto policy = policy_of(wanted, output);
    if (!policy) return refuse(policy.error(), output);
    Loop loop;
    Engine* running = nullptr;
    const auto cancel = [&] { if (running != nullptr) running->cancel(); };
    // Before the journal has its thread, which would take the signals otherwise, and before the move has a record.
    const Signals signals(
        loop, ::isatty(STDIN_FILENO) == 1,
        [&] { output.note(at_first_interrupt(wanted.request.dry_run)); },
        cancel);
    const std::string move_id = draw_hex();
    std::unique_ptr<SourceJob> job;
    std::optional<JobService> service;
    if (!wanted.request.dry_run) {
        auto opened = SourceJob::open(loop, state_folder(), new_move(wanted, move_id), begun_with(wanted));
        if (!opened) return refuse(opened.error(), output);
        job = std::move(*opened);
        output.begin_job(static_cast<std::int64_t>(job->id()));
        service.emplace(loop, state_folder(), identity_of(wanted, *job),
                        JobService::Callbacks{cancel, [&](const std::string& line) { output.note(line); }});
    }
    std::optional<DecisionRecord> record;
    if (job) {
        record.emplace(job->journal(), state_folder(), static_cast<std::int64_t>(job->id()), wanted.request.vm,
                       [&](const std::string& line) { output.note(line); });
    }
    ExperienceFile memory(state_folder());
    std::string guest;
    const auto recall = [&](const GuestFacts& src) {
        guest = guest_key(src.uuid, src.name, wanted.src_qmp);
        auto known = memory.load(guest, wall_time());
        if (!known.warning.empty()) output.note(known.warning);
        return Experience{std::move(known.fixed_costs), known.rollback_worst, std::move(known.guest)};
    };
    Summary summary;
    int status = exit_status(Outcome::unknown);
    LastThings last(loop, job.get(), output);
    Engine::Where where = where_of(wanted, move_id, job.get(), output);
    where.policy = std::move(*policy);
    Engine engine(loop, wanted.request, std::move(where),
                  {[&](const Report& report) {
                       show(wanted, report, output);
                       if (service) service->note(report);
                       const auto* decided = std::get_if<PolicyReport>(&report);
                       if (decided != nullptr && record) record->note(*decided);
                   },
                   recall, [&](const std::string& line) { output.note(line); },
                   [&](const Summary& end) {
                       output.show(end);
                       summary = end;
                       status = exit_status(end.outcome);
                       last.close_record(end);
                   },
                   [&](bool ended) { last.other_host_left(ended); }});
    running = &engine;
    engine.start();
    loop.run();
    service.reset();
    // The guest runs; now there is time for the disk.
    remember(memory, wanted.request.non_live ? "" : guest, summary, output);
    output.close();
    return status;
}

int migrate_named_or_not(Migrate wanted) {
    const VmPlaces places = vm_places();
    if (!wanted.vm_name.empty()) {
        if (auto known = take_named_vm(places, wanted); !known) return refuse(known.error(), wanted);
    }
    if (auto applied = apply_settings(places, wanted); !applied) return refuse(applied.error(), wanted);
    return migrate(wanted);
}

int receive_on_stdio() {
    FdSink err(STDERR_FILENO);
    Loop loop;
    int status = exit_status(Outcome::unknown);
    std::unique_ptr<ReceiveShell> shell;
    const auto stop = [&] {
        if (shell) shell->stop();
    };
    // Before the journal has its thread, which would take the signals otherwise.
    const Signals signals(loop, false, stop, stop);
    auto opened = ReceiveShell::open(loop, {SEGUE_VERSION, find_guard_program(), state_folder()}, err, [&](int ended) {
        status = ended;
        loop.stop();
    });
    if (!opened) {
        err.write("segue receive: " + to_string(opened.error()) + "\n", Weight::result);
        err.drain(std::chrono::seconds{1});
        return exit_status(Outcome::refused);
    }
    shell = std::move(*opened);
    loop.run();
    shell.reset();
    err.drain(std::chrono::seconds{1});
    return status;
}

int run(int argc, char** argv) {
    // A reader that goes away (segue ... | head) must not end a move.
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, nullptr);
    if (argc > 1 && std::string_view(argv[1]) == "__complete") return run_completion(argc, argv);
    const auto invocation = parse_command_line(argc, argv);
    if (!invocation) {
        FdSink out(STDOUT_FILENO);
        FdSink err(STDERR_FILENO);
        Output output(detect_style({asks_for_json(argc, argv), false}), {}, out, err);
        output.refuse(invocation.error());
        output.close();
        return exit_status(Outcome::refused);
    }
    if (const auto* wanted = std::get_if<Migrate>(&*invocation)) return migrate_named_or_not(*wanted);
    if (const auto* wanted = std::get_if<Recover>(&*invocation)) return recover(*wanted, state_folder(), SEGUE_VERSION);
    if (std::holds_alternative<Receive>(*invocation)) return receive_on_stdio();
    if (const auto* asked = std::get_if<JobsCommand>(&*invocation)) return run_jobs_command(*asked, state_folder());
    if (const auto* words = std::get_if<VmWords>(&*invocation)) return run_vm(*words);
    if (const auto* asked = std::get_if<ExplainJob>(&*invocation)) return run_explain(*asked, state_folder());
    if (const auto* asked = std::get_if<ReplayJob>(&*invocation)) return run_replay(*asked, state_folder());
    if (const auto* words = std::get_if<ConfigWords>(&*invocation)) return run_config(*words);
    if (const auto* words = std::get_if<DoctorWords>(&*invocation)) return run_doctor(*words, SEGUE_VERSION);
    const auto* help = std::get_if<Help>(&*invocation);
    std::fputs(help ? help->text.c_str() : "segue " SEGUE_VERSION "\n", stdout);
    return 0;
}

}  // namespace
}  // namespace segue

int main(int argc, char** argv) {
    return segue::run(argc, argv);
}

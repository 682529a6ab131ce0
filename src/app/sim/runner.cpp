#include "app/sim/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/sim/run.hpp"
#include "app/sim/words.hpp"
#include "policy/policy.hpp"
#include "policy/converge/converge.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

const receive::MoveId move_id{"0123456789abcdef0123456789abcdef"};
const receive::Token token{"ffffffffffffffff0000000000000000"};

std::unique_ptr<Policy> policy_for(const Scenario& scenario) {
    if (scenario.policy) return scenario.policy();
    return scenario.controlled ? make_converge_policy() : make_patient_policy();
}

}  // namespace

Run::Run(const Scenario& scenario, std::function<void(const std::string&)> on_line)
    : scenario_(scenario), on_line_(std::move(on_line)), world_(scenario.plan, hooks()), rng_(world_.rng("runner")),
      src_disk_(world_.agenda(), scenario.plan.src_disk, world_.rng("src-disk")),
      migration_(scenario.request, policy_for(scenario)) {}

RunResult Run::run() {
    began_ = now();
    agenda().after(user_patience, [this] { cancel("the user's patience ends"); });
    agenda().after(healed_after, [this] { heal(); });
    if (scenario_.moment == Moment::any_time) agenda().after(scenario_.offset, [this] { strike(); });
    if (scenario_.refuses_word) world_.refuse_dst_cont();
    create_job();
    start_segue();
    while (!agenda().empty() && agenda().next_at() <= until_) agenda().run_one();
    if (!finished_at_ && segue_->alive()) {
        violation(agenda().empty() ? "nothing will ever happen again, and it has not finished"
                                   : "not finished although the world has long been healed");
    }
    return conclude();
}

Hooks Run::hooks() {
    Hooks hooks;
    hooks.guest = [this](const GuestNotice& notice) {
        segue_->deliver(notice);
        if (!recovers_.empty()) recovers_.back()->deliver(notice);
    };
    hooks.guard = [this](const GuardNotice& notice) { segue_->deliver(notice); };
    hooks.segue_killed = [this] {
        killed_by_guardian_ = true;
        end_segue("killed by the guardian");
    };
    if (scenario_.plan.remote.used) {
        hooks.dst_guest = [this](const GuestNotice& notice) { dst_host_->on_qemu(notice); };
        hooks.take_stream = [this] { return dst_host_->take_stream(); };
    }
    hooks.violation = [this](std::string what) { violation(std::move(what)); };
    hooks.log = [this](std::string_view who, const std::string& what) {
        log(who, what);
        if (who == "src" && what == "STOP") stage_begins(Moment::stopping);
    };
    return hooks;
}

void Run::log(std::string_view who, const std::string& what) {
    const double at = to_seconds(now() - began_) * 1e3;
    result_.transcript.push_back(
        fmt::format("{:>11.3f} ms  {:<12} {:<9} {}", at, to_string(stage_), who == "segue" ? who_ : who, what));
    if (on_line_) on_line_(result_.transcript.back());
}

void Run::violation(std::string what) {
    log("CHECK", what);
    result_.violations.push_back(std::move(what));
}

// ---- Segue as a process ----------------------------------------------------------------------------

void Run::create_job() {
    NewMove move;
    move.id = *parse_move_id(move_id.hex);
    move.role = MoveRole::source;
    move.vm = scenario_.request.vm;
    move.guest = {"5e60e000-0000-4000-8000-000000000001", "sim"};
    move.src = {"host1", "qmp:/run/sim/a.qmp"};
    move.dst = {"host2", "qmp:/run/sim/b.qmp"};
    if (scenario_.plan.remote.used) move.transport = "cmd:sim";
    move.bounds.max_downtime = scenario_.request.bounds.max_downtime;
    move.owner = {1, 1, boot_id_};
    const auto job = src_disk_.journal().create(move, {StepKind::begun, stamp_at(now(), boot_id_), "{}"});
    SEGUE_ASSERT(job.has_value());
    job_ = *job;
}

void Run::start_segue() {
    Machine machine{[this](Instant at) { return migration_.start(at); },
                    [this](const Event& event, Instant at) { return migration_.step(event, at); },
                    [this] { return migration_.wake_at(); }, [this] { return migration_.finished(); }};
    segue_ = std::make_unique<Process>(world_, src_disk_, std::move(machine),
                                       Process::Job{job_, {1, 1, boot_id_}}, rng_.stream("segue"), callbacks(false));
    stage_begins(moment_of(stage_));
    segue_->start(connect(false));
}

Process::Callbacks Run::callbacks(bool recover) {
    Process::Callbacks out;
    out.log = [this](std::string_view who, const std::string& what) { log(who, what); };
    out.violation = [this](std::string what) { violation(std::move(what)); };
    out.on_stepped = [this, recover] {
        if (!recover) stepped();
    };
    out.on_command = [this, recover](const Command& command) { return recover ? Harm{} : harm_of(command); };
    out.on_step = [this](StepKind step) {
        if (const auto moment = moment_of(step)) stage_begins(*moment);
    };
    out.on_finish = [this, recover](const Summary& summary) { recover ? recovered(summary) : finished(summary); };
    out.on_gone = [this, recover] {
        if (!recover) segue_gone();
        else if (recover_needed()) recover_again(seconds{3});
    };
    return out;
}

std::unique_ptr<RemoteClient> Run::connect(bool recovering) {
    const auto& remote = scenario_.plan.remote;
    if (!remote.used) return nullptr;
    if (!dst_host_) {
        dst_host_ = std::make_unique<DstHost>(
            world_, world_.plan(),
            DstHost::Callbacks{[this](std::string_view who, const std::string& what) { log(who, what); },
                               [this](std::string what) { violation(std::move(what)); },
                               [this](StepKind step) {
                                   if (const auto moment = moment_of(step)) stage_begins(*moment);
                               }});
    }
    control_ = std::make_shared<ControlLink>(agenda(), remote.delay,
                                             rng_.stream(recovering ? "control-recover" : "control"));
    if (recovering && dst_unreachable()) {
        for (const Way way : {Way::to_dst, Way::to_src}) control_->lose(way);
    } else {
        dst_host_->connect(control_);
    }
    receive::ClientPlan plan{{receive::version_min, receive::version_max, "0.1.0", "host1", {}, move_id},
                             {}, token, 0, 0, recovering};
    if (remote.by_command) plan.prepare.command = {"/usr/bin/qemu", "-S", "-incoming", "defer"};
    else plan.prepare.monitor = "/run/sim/b.qmp";
    return std::make_unique<RemoteClient>(
        agenda(), control_, std::move(plan),
        RemoteClient::Callbacks{
            [this, recovering](const GuestNotice& notice) {
                if (!recovering) segue_->deliver(notice);
                else if (!recovers_.empty()) recovers_.back()->deliver(notice);
            },
            [this](const std::string& what) { log("client", what); },
            [this](std::string what) { violation(std::move(what)); }});
}

void Run::stepped() {
    if (migration_.stage() == stage_) return;
    stage_ = migration_.stage();
    log("segue", fmt::format("-> {}", to_string(stage_)));
    if (stage_ == MigrationStage::copying && scenario_.hurts_undo) {
        agenda().after(scenario_.cancel_first, [this] { cancel("the user cancels"); });
    }
    if (stage_ == MigrationStage::copying) {
        for (const auto& each : scenario_.script) agenda().after(each.at, [this, &each] { each.act(world_); });
    }
    stage_begins(moment_of(stage_));
}

void Run::stage_begins(Moment moment) {
    if (moment != scenario_.moment || moment == Moment::any_time || moment_seen_) return;
    moment_seen_ = true;
    const bool disk = scenario_.fault == Fault::src_fsync_slow || scenario_.fault == Fault::dst_fsync_slow ||
                      scenario_.fault == Fault::src_journal_fails || scenario_.fault == Fault::dst_journal_fails;
    // This very write.
    if (disk && is_step(moment)) return strike();
    agenda().after(scenario_.offset, [this] { strike(); });
}

void Run::cancel(const std::string& why) {
    if (!segue_->alive() || migration_.finished()) return;
    log("user", why);
    segue_->deliver(CancelRequested{});
}

void Run::finished(const Summary& summary) {
    finished_at_ = now();
    summary_ = summary;
    at_finish_ = world_.truth();
    log("segue", fmt::format("{}, guest on {}, stood {:.3f} ms{}{}", to_string(summary.outcome),
                             to_string(summary.guest_on), to_seconds(summary.downtime) * 1e3,
                             summary.error.empty() ? "" : ": ", summary.error));
}

/// By itself.
void Run::segue_gone() {
    gone_at_ = now();
    // The process ends; that is its death for the guardian, unless it was released.
    world_.segue_exits();
    after_segue();
}

/// For a new connection, while the fault lasts.
bool Run::dst_unreachable() const {
    if (scenario_.lost_for_good && struck_with(Fault::dst_host_lost)) return true;
    const bool control = struck_with(Fault::control_deaf_dst) || struck_with(Fault::control_deaf_src) ||
                         struck_with(Fault::control_black_hole) || struck_with(Fault::control_cut);
    const bool all = struck_with(Fault::black_hole) && scenario_.effect_happens;
    return !healed_ && (control || all || struck_with(Fault::dst_host_lost));
}

void Run::heal() {
    healed_ = true;
    if (!(scenario_.lost_for_good && result_.struck)) world_.link_factor(1);
    world_.freeze_dst(false);
    src_disk_.fail_writes(false);
    if (!dst_host_) return;
    dst_host_->disk().fail_writes(false);
    dst_host_->freeze_receive(false);
    for (const Way way : {Way::to_dst, Way::to_src}) control_->hold(way, false);
}

RunResult Run::conclude() {
    Evidence evidence{scenario_, world_, summary_, recovered_, at_finish_, result_.struck, struck_with_,
                      struck_at_.value_or(Instant{}), finished_at_.value_or(now()), now(), src_record(),
                      dst_host_ && dst_host_->guardian_alive(), dst_host_ && dst_host_->receive_alive(),
                      src_disk_.fsyncs(),
                      dst_host_ ? dst_host_->disk().fsyncs() : std::vector<Instant>{}};
    for (auto& what : check_promises(evidence)) violation(std::move(what));
    result_.summary = summary_;
    result_.recovered = recovered_;
    result_.virtual_time = (finished_at_ ? *finished_at_ : now()) - began_;
    for (const auto& standing : world_.truth().standings) {
        const Duration stood = standing.to.value_or(now()) - standing.from;
        result_.stood = std::max(result_.stood.value_or(Duration{0}), stood);
    }
    return std::move(result_);
}

RunResult run_scenario(const Scenario& scenario, std::function<void(const std::string&)> on_line) {
    const auto run = std::make_unique<Run>(scenario, std::move(on_line));
    return run->run();
}

std::string outcome_word(const RunResult& result) {
    std::string word = result.summary ? std::string(to_string(result.summary->outcome)) : "segue-ended";
    if (result.recovered) word += fmt::format("+{}", to_string(result.recovered->outcome));
    return word;
}

}  // namespace segue::sim

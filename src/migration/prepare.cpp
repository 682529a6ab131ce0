// From the first question to the moment before `migrate`: read both sides, refuse what can be refused,
// forecast, start the guardian, then change things one by one so that each failure knows what to put back.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/assert.hpp"
#include "migration/migration.hpp"
#include "migration/preflight.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr Duration change_max = std::chrono::seconds{5};
/// A disk that needs longer would not keep a switchover within its bounds either.
constexpr Duration journal_max = std::chrono::seconds{10};
constexpr Duration flush_max = std::chrono::seconds{60};
/// Connecting both QEMUs, and QEMU's first window of 100 ms, in which next to nothing is sent (measured).
constexpr Duration opening_usual = std::chrono::milliseconds{200};
/// Of the resident memory as a guess at what pass 1 has to send: QEMU itself has some, and zero pages may be there.
constexpr double resident_sigma = 0.1;
/// Of what is not zero, as some thousand pages show it: the guest goes on filling and clearing some.
constexpr double content_sigma = 0.03;

}  // namespace

void Migration::on_src_facts(const Result<AnswerValue>& answer) {
    if (const auto* facts = answer_as<GuestFacts>(answer)) {
        src_ = *facts;
        src_read_at_ = now_;
    } else {
        src_error_ = answer.error();
    }
    facts_complete();
}

void Migration::on_dst_facts(const Result<AnswerValue>& answer) {
    if (const auto* facts = answer_as<GuestFacts>(answer)) {
        dst_ = *facts;
        dst_read_at_ = now_;
    } else if (const auto* in_the_way = answer_as<DstObstacles>(answer)) {
        dst_obstacles_ = in_the_way->all;
    } else {
        dst_error_ = answer.error();
    }
    facts_complete();
}

/// Both were read a moment before they came, which takes longer from another host.
std::optional<Duration> Migration::clock_ahead() const {
    if (src_->host.wall_ms == 0 || dst_->host.wall_ms == 0) return std::nullopt;
    return std::chrono::milliseconds{dst_->host.wall_ms - src_->host.wall_ms} - (dst_read_at_ - src_read_at_);
}

void Migration::facts_complete() {
    if (stage_ != MigrationStage::inspecting) return;  // Cancelled meanwhile.
    if (!(src_ || src_error_) || !(dst_ || dst_error_ || !dst_obstacles_.empty())) return;
    std::vector<Finding> findings;
    if (src_error_)
        findings.push_back({"source: " + to_string(*src_error_), "see segue migrate --help for the source's monitor"});
    if (dst_error_)
        findings.push_back({"destination: " + to_string(*dst_error_),
                            request_.remote ? "check --dst-qmp, --dst-command or the description, on that host"
                                            : "check --dst-qmp"});
    if (!dst_obstacles_.empty()) {
        std::ranges::move(preflight_without_dst(src_, dst_obstacles_), std::back_inserter(findings));
    }
    if (!findings.empty()) return refuse(std::move(findings));
    Preflight found = preflight(*src_, *dst_, request_, clock_ahead());
    report(PreflightReport{std::move(found.disks), std::move(found.notes)});
    if (!found.findings.empty()) return refuse(std::move(found.findings));
    model_.emplace(src_->memory, request_.experience.guest);
    model_->set_costs(switchover_costs(request_));
    model_->expect_zero_scan(request_.zero_scan);
    model_->expect_opening(opening_usual);
    if (src_->content) {
        model_->expect_first_pass(*src_->content, content_sigma);
    } else if (src_->resident.count > 0) {
        model_->expect_first_pass(std::min(src_->resident, src_->memory), resident_sigma);
    }
    if (src_->images.empty()) return after_first_flush();
    // Twice: the first writes back what has gathered, the second shows what a flush costs from then on.
    submit(FlushImages{src_->images}, flush_max, &Migration::on_flushed_first);
}

void Migration::on_flushed_first(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::inspecting) return;
    const auto* flushed = answer_as<Flushed>(answer);
    if (flushes_++ == 0) {
        submit(FlushImages{src_->images}, flush_max, &Migration::on_flushed_first);
        return;
    }
    flush_ = flushed ? flushed->took : flush_max;
    after_first_flush();
}

void Migration::after_first_flush() {
    auto findings = check_bounds(request_, rollback_reserve({}, {}, true, request_.experience.rollback_worst), flush_);
    if (!findings.empty()) return refuse(std::move(findings));
    if (request_.brake == BrakeKind::cgroup) return look_at_brake();
    watch_vcpus();
}

void Migration::start_guard() {
    if (request_.dry_run) {
        summary_.outcome = Outcome::planned;
        return finish();
    }
    enter(MigrationStage::guarding);
    guard_started_ = true;
    // The brake is opened before the next record, and whoever dies between leaves groups behind.
    journal(StepKind::guarding, brake_.undo.empty() ? JournalDetail{} : JournalDetail{{"brake", brake_.undo}});
    submit(GuardCommand{GuardStart{}}, change_max, &Migration::on_guard_ready);
}

void Migration::on_guard_ready(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::guarding) return;
    const auto* ready = answer_as<GuardReady>(answer);
    if (!ready) {
        return refuse({{"the guardian process could not be started: " + to_string(answer.error()),
                        "segue-guard must stand beside segue, or be named by SEGUE_GUARD"}});
    }
    guard_ = *ready;
    reserve_ = rollback_reserve(ready->lateness_worst, ready->round_trip_worst, ready->own_monitor,
                                request_.experience.rollback_worst);
    costs_ = switchover_costs(request_);
    costs_.stop = std::max(costs_.stop, flush_);
    auto findings = check_bounds(request_, reserve_, flush_);
    if (!findings.empty()) return refuse(std::move(findings));
    if (request_.brake == BrakeKind::cgroup) return open_brake();
    began_ = now_;
    prepare();
}

void Migration::prepare() {
    enter(MigrationStage::preparing);
    // What brings the source back, and tells its QEMU from a later one: for recovery.
    JournalDetail detail{{"put_back", src_->put_back_script}, {"src_pid", std::to_string(src_->pid)}};
    if (brake_open_) detail.emplace("brake", brake_.undo);
    submit(JournalStep{StepKind::preparing, Durability::durable, std::move(detail)}, journal_max,
           &Migration::on_preparing_journaled);
}

void Migration::on_preparing_journaled(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::preparing) return;
    if (!answer) return undo(Outcome::failed, "the journal could not be written: " + to_string(answer.error()));
    next_prepare_step();
}

/// Each step is answered by `on_prepared`. What a step changes is noted before it is asked for.
void Migration::next_prepare_step() {
    const auto ask = [this](Command command) {
        prepare_asked_at_ = now_;
        submit(std::move(command), change_max, &Migration::on_prepared);
    };
    switch (prepare_step_) {
        case 0: return ask(DstCommand{DstClearAutostart{}});
        case 1: return ask(DstCommand{DstReadRunState{}});
        case 2: dst_changed_ = true; return ask(DstCommand{DstPrepare{}});
        case 3: dst_listens_ = true; return ask(DstCommand{DstListen{request_.data_address}});
        case 4:
            return ask(StreamCommand{StreamConnect{listening_.host, listening_.port, request_.bounds.max_bandwidth}});
        case 5: return ask(DstCommand{DstAwaitStream{}});
        case 6:
            tell(GuardCommand{GuardBrief{src_->put_back_script}});
            tell(GuardCommand{GuardTakeStream{}});
            src_changed_ = true;
            return ask(SrcCommand{SrcTakeStream{}});
        case 7: {
            SrcPrepare settings{request_.bounds.max_bandwidth};
            if (request_.brake == BrakeKind::auto_converge) settings.own_brake_floor = own_brake_floor(request_.bounds);
            return ask(SrcCommand{settings});
        }
        default: return journal_migrate();
    }
}

void Migration::on_prepared(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::preparing) return;
    static constexpr std::string_view what[] = {
        "the destination did not take stop",           "the destination's state could not be read",
        "the destination did not take its settings",   "the destination could not listen on --data-address",
        "the data connection could not be made",       "the destination did not take the data connection",
        "the source did not take the data connection", "the source did not take its settings"};
    SEGUE_ASSERT(prepare_step_ < std::size(what));
    // A refused migrate-incoming can be given again; one that may have been taken has used this QEMU up. Behind
    // `segue receive` it is given only with a data connection.
    const bool cannot_listen = prepare_step_ == 3 && !answer && !outcome_unknown(answer.error().kind);
    const bool no_way_there = prepare_step_ == 4 && !answer && request_.remote;
    if (cannot_listen || no_way_there) {
        dst_listens_ = false;
        return undo(Outcome::refused, fmt::format("{}: {}", what[prepare_step_], to_string(answer.error())));
    }
    if (!answer) return undo(Outcome::failed, fmt::format("{}: {}", what[prepare_step_], to_string(answer.error())));
    if (prepare_step_ == 1) {
        const auto* state = answer_as<RunState>(answer);
        if (!state || *state != RunState::inmigrate) {
            return undo(Outcome::failed, "the destination no longer waits for a migration");
        }
    }
    if (const auto* address = answer_as<DataAddress>(answer)) listening_ = *address;
    if (const auto* sample = answer_as<StreamSample>(answer)) stream_ = *sample;
    ++prepare_step_;
    next_prepare_step();
}

void Migration::journal_migrate() {
    // On the disk with the durable step behind it.
    if (request_.non_live || brake_open_) journal(StepKind::stop_may_be_sent);
    submit(JournalStep{StepKind::migrate_may_be_sent, Durability::durable}, journal_max,
           &Migration::on_migrate_journaled);
}

void Migration::on_migrate_journaled(const Result<AnswerValue>& answer) {
    if (stage_ != MigrationStage::preparing) return;
    if (!answer) return undo(Outcome::failed, "the journal could not be written: " + to_string(answer.error()));
    start_copying();
}

}  // namespace segue

#include "app/segue/replay/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "api/decision_codec.hpp"
#include "app/segue/replay/replay_move.hpp"
#include "app/segue/words/plain_text.hpp"
#include "policy/converge/converge.hpp"
#include "store/sqlite/sqlite_journal.hpp"
#include "units/share_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr int exit_good = 0;
constexpr int exit_differs = 1;
constexpr int exit_refused = 2;

std::string rate_words(double bytes_per_second) {
    return to_text(ByteRate{static_cast<std::int64_t>(bytes_per_second)});
}

std::string_view action_words(const Decision& decision) {
    if (std::holds_alternative<GiveUp>(decision.action)) return "give up";
    if (std::holds_alternative<AllowSwitchover>(decision.action)) return "go";
    return "carry on";
}

std::string seconds_band(const Band& band) {
    return fmt::format("{:.2f} s ({:.2f} to {:.2f})", band.p50, band.p10, band.p90);
}

std::string decision_words(const Decision& decision) {
    std::string text(action_words(decision));
    if (decision.share) text += fmt::format(", vCPUs at {}", to_text(*decision.share));
    if (!decision.because.empty()) text += ": " + plain_text(decision.because);
    return text;
}

std::string moment_words(const RecordedDecision& one) {
    const View& view = one.view;
    std::string text = fmt::format("{:>9.3f} s", to_seconds(view.elapsed));
    if (!view.passes.empty()) {
        text += fmt::format("  pass {:<3} {:>9} left", view.passes.back().number, to_text(view.passes.back().backlog));
    }
    return text;
}

int refuse(const Error& error) {
    std::fputs(("segue: " + plain_text(to_string(error)) + '\n').c_str(), stderr);
    return exit_refused;
}

/// How the move went by the journal, which may be gone or not yet closed: then there is nothing to compare with.
std::optional<MoveEnding> ending_of(std::int64_t job, const std::string& state_folder) {
    const auto journal = open_journal_read_only(journal_path(state_folder));
    if (!journal) return std::nullopt;
    auto record = (*journal)->load(JobId{job});
    return record ? record->ending : std::nullopt;
}

std::unique_ptr<Policy> policy_named(std::string_view name) {
    if (name == "patient") return make_patient_policy();
    if (name == "converge") return make_converge_policy();
    return nullptr;
}

}  // namespace

std::string render_decisions(const RecordedMove& move) {
    std::string text = fmt::format("job {}, {}: {} decisions of the policy {}", move.job, plain_text(move.vm),
                                   move.decisions.size(), plain_text(move.policy));
    for (const RecordedDecision& one : move.decisions) {
        text += '\n' + moment_words(one) + "  " + decision_words(one.decision);
        if (one.decision.total_s) {
            text += fmt::format("\n             expected: ends after {}", seconds_band(*one.decision.total_s));
            if (one.decision.downtime_s) text += ", stands for " + seconds_band(*one.decision.downtime_s);
        }
    }
    return text;
}

std::string render_knowledge(const RecordedDecision& one) {
    const View& view = one.view;
    const Outlook& known = view.outlook;
    std::string text = moment_words(one) + "  " + decision_words(one.decision);
    text += fmt::format("\n  bounds       max downtime {}, of it {} kept for a rollback; {}",
                        to_text(view.max_downtime), to_text(view.reserve),
                        view.timeout ? "timeout " + to_text(*view.timeout) : std::string("no timeout"));
    text += fmt::format("\n  budget       {} may be pending at the stop, {} of a braked guest{}",
                        to_text(std::max(view.budget, Bytes{0})), to_text(std::max(view.braked_budget, Bytes{0})),
                        view.allowed ? "; go has been said" : "");
    const Band& band = known.bandwidth_bytes_per_second;
    text += fmt::format("\n  link         {} ({} to {}){}", rate_words(band.p50), rate_words(band.p10),
                        rate_words(band.p90), known.bandwidth_known ? "" : ", not measured yet");
    text += "\n  dirty curve ";
    for (const double work_s : std::array{0.1, 0.3, 1.0, 3.0, 10.0}) {
        text += fmt::format(" {} in {:.1f} s", to_text(Bytes{static_cast<std::int64_t>(known.curve.bytes_in(work_s))}),
                            work_s);
        text += work_s < 10 ? "," : " of guest work";
    }
    text += fmt::format("\n  doubt        level {:.0f} %, round by round {:.0f} %; {} dirty syncs seen",
                        known.level_sigma * 100, known.round_sigma * 100, known.passes_seen);
    text += fmt::format("\n  vCPUs        busy {}, granted {}", to_text(known.busy), to_text(view.share));
    text += view.brake.shares.size() > 1
                ? fmt::format("; brake from {} (stalls {:.0f} ms) to 100 %", to_text(Share{view.brake.shares.front()}),
                              view.brake.stall_s.front() * 1e3)
                : std::string("; no brake");
    text += fmt::format("\n  stop costs   stop {}, load {}, hand-over {}", to_text(known.costs.stop),
                        to_text(known.costs.load), to_text(known.costs.handover));
    if (one.decision.total_s) text += "\n  expected     ends after " + seconds_band(*one.decision.total_s);
    if (one.decision.downtime_s) text += ", stands for " + seconds_band(*one.decision.downtime_s);
    return text;
}

Replay replay(const RecordedMove& move, Policy& policy) {
    Replay out;
    for (std::size_t i = 0; i < move.decisions.size(); ++i) {
        const RecordedDecision& one = move.decisions[i];
        Decision again = policy.decide(one.view);
        if (decision::encode(again) == decision::encode(one.decision)) {
            ++out.same;
        } else {
            out.different.emplace_back(i, std::move(again));
        }
    }
    return out;
}

std::string render_replay(const RecordedMove& move, std::string_view policy, const Replay& replayed) {
    std::string text = fmt::format("job {}, {}, steered by {}: {} decides the same at {} of {} moments", move.job,
                                   plain_text(move.vm), plain_text(move.policy), policy, replayed.same,
                                   move.decisions.size());
    for (const auto& [place, again] : replayed.different) {
        const RecordedDecision& one = move.decisions[place];
        text += fmt::format("\n{}\n             was    {}\n             now    {}", moment_words(one),
                            decision_words(one.decision), decision_words(again));
    }
    return text;
}

int run_explain(const ExplainJob& wanted, const std::string& state_folder) {
    auto move = read_decision_record(state_folder, wanted.job);
    if (!move) return refuse(move.error());
    if (wanted.at) {
        const auto later = [&](const RecordedDecision& one) { return one.view.elapsed > *wanted.at; };
        const auto first_later = std::ranges::find_if(move->decisions, later);
        if (first_later == move->decisions.begin()) {
            return refuse({ErrorKind::invalid, fmt::format("nothing was decided before {}", to_text(*wanted.at)), ""});
        }
        move->decisions = {*std::prev(first_later)};
    }
    if (wanted.json) {
        for (const RecordedDecision& one : move->decisions) {
            std::puts(decision::encode(one.view).c_str());
            std::puts(decision::encode(one.decision).c_str());
        }
        return exit_good;
    }
    std::puts((wanted.at ? render_knowledge(move->decisions.front()) : render_decisions(*move)).c_str());
    return exit_good;
}

int run_replay(const ReplayJob& wanted, const std::string& state_folder) {
    const auto move = read_decision_record(state_folder, wanted.job);
    if (!move) return refuse(move.error());
    const std::string name = wanted.policy.empty() ? move->policy : wanted.policy;
    const auto policy = policy_named(name);
    if (!policy && name != "auto-converge") {
        return refuse({ErrorKind::invalid,
                       fmt::format("the policy {} cannot be replayed: give --policy converge, patient or auto-converge",
                                   plain_text(name)),
                       ""});
    }
    ReplayReport report = play_again(*move, name, ending_of(wanted.job, state_folder));
    Replay replayed;
    if (policy) {
        replayed = replay(*move, *policy);
        report.same = replayed.same;
    }
    if (wanted.json) {
        std::puts(replay_json(report).c_str());
    } else {
        if (policy) std::puts(render_replay(*move, name, replayed).c_str());
        std::puts(render_replayed(report).c_str());
    }
    // Another policy decides otherwise by right; the same one must not.
    return name == move->policy && !replayed.different.empty() ? exit_differs : exit_good;
}

}  // namespace segue

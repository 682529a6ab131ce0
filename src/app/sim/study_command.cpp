#include "app/sim/study_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <fstream>
#include <iterator>

#include "app/sim/study/optimum.hpp"
#include "app/sim/study/study.hpp"
#include "policy/converge/converge.hpp"
#include "policy/converge/plan.hpp"

namespace segue::sim {
namespace {

using namespace study;

constexpr std::size_t brief_cases = 60;
/// So many cases are drawn at most for one that is feasible.
constexpr std::size_t draws_a_case = 4;

/// What `segue plan` would say at this level.
std::optional<Foretold> foretell(const Start& start, const Bounds& bounds, const BrakeRange& brake) {
    PlanQuestion question;
    question.outlook = start.outlook;
    question.max_downtime = from_seconds(bounds.max_downtime_s);
    if (bounds.timeout_s) question.timeout = from_seconds(*bounds.timeout_s);
    question.brake = brake;
    question.reserve = start.reserve;
    const PlanRow row = plan_row(question, bounds.aggression);
    return Foretold{row.feasible, row.finishes_ratio, row.total_s, row.downtime_s};
}

std::optional<Contestant> contestant_of(const StudyOptions& options) {
    Contestant out;
    if (options.policy == "converge") {
        out.policy = make_converge_policy;
        out.foretell = foretell;
    }
    if (options.policy == "reference") out.policy = make_reference_policy;
    if (options.policy == "patient") out.policy = make_patient_policy;
    if (!out.policy) return std::nullopt;
    if (options.sees == "knowing") {
        out.beholder = make_knowing;
    } else if (options.sees == "learning") {
        out.beholder = [](const Setting& setting, const GuestRun&, const Case&) { return make_learning(setting); };
    } else {
        return std::nullopt;
    }
    out.stopwatch = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    return out;
}

Result<std::vector<Trace>> read_traces(const std::vector<std::string>& files) {
    auto traces = synthetic_traces();
    for (const auto& file : files) {
        std::ifstream in(file, std::ios::binary);
        if (!in) return fail(ErrorKind::invalid, "cannot read " + file);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        auto trace = parse_trace(text);
        if (!trace) return fail(ErrorKind::invalid, file + ": " + trace.error().message);
        traces.push_back(std::move(*trace));
    }
    return traces;
}

void print_attempt(std::string_view name, const Attempt& attempt) {
    const auto& result = attempt.result;
    fmt::print("{:<14} {:<12} {:9.2f} s, stood {:7.1f} ms, lost {:8.3f} s, sent {:10.1f} MiB, least share {:.3f}, "
               "{} syncs{}{}\n",
               name, attempt.refused ? "refused" : to_string(result.end), result.total_s, result.downtime_s * 1e3,
               result.lost_s, result.sent_bytes / 1048576, result.lowest_share, result.syncs,
               attempt.broken.empty() ? "" : fmt::format(", BROKE {}", fmt::join(attempt.broken, ", ")),
               result.because.empty() ? "" : "; " + result.because);
}

void print_case(const Outcome& outcome) {
    fmt::print("seed {}: {}; {}\n", outcome.one.seed, describe(outcome.one), to_string(outcome.kind));
    Attempt optimum;
    optimum.result = outcome.optimum;
    print_attempt("as asked", outcome.ours);
    print_attempt("told the curve", outcome.knowing);
    print_attempt("aggression 0", outcome.calm);
    print_attempt("aggression 1", outcome.keen);
    print_attempt("optimum", optimum);
    print_attempt("auto-converge", outcome.auto_converge);
    fmt::print("{:<14} lost {:.3f} s at least\n", "clairvoyant", outcome.clairvoyant_s);
    if (const auto& before = outcome.ours.before) {
        fmt::print("{:<14} {:.2f} s ({:.2f} to {:.2f})\n", "before", before->total_s.p50, before->total_s.p10,
                   before->total_s.p90);
    }
    if (const auto& after = outcome.ours.result.total_after_1) {
        fmt::print("{:<14} {:.2f} s ({:.2f} to {:.2f})\n", "after pass 1", after->p50, after->p10, after->p90);
    }
}

void print_figures(const std::vector<Figure>& figures) {
    for (const auto& figure : figures) {
        const std::string_view verdict = !figure.holds ? "" : *figure.holds ? "holds" : "MISSED";
        fmt::print("{:<52} {:<44} {:<12} {}\n", figure.name, figure.value, figure.goal, verdict);
    }
}

void print_worst(const std::vector<Outcome>& outcomes, std::size_t count) {
    std::vector<std::pair<double, const Outcome*>> bad;
    for (const auto& outcome : outcomes) bad.emplace_back(complaint_of(outcome).weight, &outcome);
    std::ranges::stable_sort(bad, [](const auto& a, const auto& b) { return a.first > b.first; });
    for (std::size_t i = 0; i < std::min(count, bad.size()); ++i) {
        fmt::print("--only {}: {}: {}\n", bad[i].second->one.seed, describe(bad[i].second->one),
                   complaint_of(*bad[i].second).why);
    }
}

boost::json::object json_of(const Attempt& attempt) {
    const auto& result = attempt.result;
    boost::json::object out{{"end", attempt.refused ? "refused" : to_string(result.end)},
                            {"total_seconds", result.total_s},
                            {"downtime_seconds", result.downtime_s},
                            {"lost_work_seconds", result.lost_s},
                            {"sent_bytes", result.sent_bytes},
                            {"lowest_share_ratio", result.lowest_share},
                            {"dirty_syncs", result.syncs}};
    const auto foretold = [&out](const std::string& what, const Band& band) {
        out[what + "_seconds"] = band.p50;
        out[what + "_p10_seconds"] = band.p10;
        out[what + "_p90_seconds"] = band.p90;
    };
    if (attempt.before) {
        foretold("total_before", attempt.before->total_s);
        foretold("downtime_before", attempt.before->downtime_s);
    }
    out["pass_1_seconds"] = result.pass_1_s;
    if (result.total_after_1) foretold("total_after_pass_1", *result.total_after_1);
    if (result.downtime_after_1) foretold("downtime_after_pass_1", *result.downtime_after_1);
    boost::json::array broken(attempt.broken.begin(), attempt.broken.end());
    out["broken"] = std::move(broken);
    return out;
}

bool write_json(const std::string& file, const std::vector<Outcome>& outcomes, const std::vector<Figure>& figures) {
    std::ofstream out(file, std::ios::binary);
    for (const auto& one : outcomes) {
        Attempt optimum;
        optimum.result = one.optimum;
        out << boost::json::serialize(boost::json::object{{"type", "case"},
                                                          {"seed", one.one.seed},
                                                          {"family", one.one.guest.family},
                                                          {"link", one.one.wire.kind},
                                                          {"case", describe(one.one)},
                                                          {"kind", to_string(one.kind)},
                                                          {"asked", json_of(one.ours)},
                                                          {"knowing", json_of(one.knowing)},
                                                          {"aggression_0", json_of(one.calm)},
                                                          {"aggression_1", json_of(one.keen)},
                                                          {"optimum", json_of(optimum)},
                                                          {"auto_converge", json_of(one.auto_converge)},
                                                          {"clairvoyant_seconds", one.clairvoyant_s}})
            << '\n';
    }
    for (const auto& figure : figures) {
        boost::json::object line{{"type", "figure"}, {"name", figure.name}, {"number", figure.number},
                                 {"value", figure.value}, {"goal", figure.goal}};
        line["holds"] = figure.holds ? boost::json::value(*figure.holds) : boost::json::value(nullptr);
        out << boost::json::serialize(line) << '\n';
    }
    return static_cast<bool>(out.flush());
}

int one_case(const Contestant& contestant, const std::vector<Trace>& traces, std::uint64_t seed, bool verbose) {
    Log log;
    if (verbose) log = [](const std::string& line) { fmt::print("{}\n", line); };
    print_case(study_case(case_from(seed, traces), contestant, log));
    return 0;
}

/// Broken bounds always count, the other goals where they are asked for.
int verdict(const std::vector<Figure>& figures, bool strict) {
    int passed = 0;
    int failed = 0;
    for (const auto& figure : figures) {
        if (!figure.holds || (!strict && figure.goal != "0")) continue;
        ++(*figure.holds ? passed : failed);
    }
    fmt::print("{} passed, {} failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

}  // namespace

int study(const StudyOptions& options) {
    const auto contestant = contestant_of(options);
    if (!contestant) {
        fmt::print(stderr, "segue-sim: --policy is converge, reference or patient; --sees is learning or knowing\n");
        return 2;
    }
    const auto traces = read_traces(options.traces);
    if (!traces) {
        fmt::print(stderr, "segue-sim: {}\n", to_string(traces.error()));
        return 2;
    }
    if (options.only) return one_case(*contestant, *traces, *options.only, options.verbose);
    const auto began = std::chrono::steady_clock::now();
    const std::size_t cases = options.brief ? brief_cases : options.cases;
    std::vector<Outcome> outcomes;
    for (std::size_t i = 0, feasible = 0; feasible < cases && i < cases * draws_a_case; ++i) {
        outcomes.push_back(study_case(case_from(options.seed * 1'000'000 + i, *traces), *contestant));
        feasible += outcomes.back().kind == Kind::feasible ? 1U : 0U;
    }
    const auto figures = figures_of(outcomes);
    print_figures(figures);
    print_worst(outcomes, options.worst);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    fmt::print("{} cases in {:.1f} s\n", outcomes.size(), took.count());
    if (!options.json.empty() && !write_json(options.json, outcomes, figures)) {
        fmt::print(stderr, "segue-sim: cannot write {}\n", options.json);
        return 2;
    }
    return verdict(figures, options.strict);
}

}  // namespace segue::sim

// segue-sim: the migration state machine against a simulated world, from a seed.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

#include "app/sim/runner.hpp"
#include "app/sim/study_command.hpp"
#include "units/text.hpp"

namespace {

using namespace segue;
using namespace segue::sim;

/// For the handler below: an assertion in the machine under test ends this process.
volatile std::sig_atomic_t current_seed = 0;

void say_seed(int) {
    char line[64];
    const auto end = fmt::format_to_n(line, sizeof line, "aborted in seed {}\n", static_cast<int>(current_seed));
    static_cast<void>(!::write(STDERR_FILENO, line, std::min(end.size, sizeof line)));
}

void say_seed_on_abort() {
    struct sigaction action {};
    action.sa_handler = say_seed;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    static_cast<void>(::sigaction(SIGABRT, &action, nullptr));
}

void print_head(const Scenario& s) {
    const auto& bounds = s.request.bounds;
    fmt::print("seed {}: fault {} at {} + {} for {} (answer {}, effect {})\n", s.seed, to_string(s.fault),
               to_string(s.moment), to_text(s.offset), to_text(s.length), s.which,
               s.effect_happens ? "happens" : "does not");
    if (s.second) fmt::print("  then {} after {}\n", to_string(*s.second), to_text(s.second_after));
    fmt::print("  max downtime {}, timeout {}, cap {}, switchover {}, link {} rtt {}, guest {} writing {} on {}\n",
               to_text(bounds.max_downtime), bounds.timeout ? to_text(*bounds.timeout) : "none",
               bounds.max_bandwidth ? to_text(*bounds.max_bandwidth) : "none",
               bounds.switchover_bandwidth ? to_text(*bounds.switchover_bandwidth) : "none", to_text(s.plan.link.rate),
               to_text(s.plan.link.round_trip), to_text(s.plan.guest.memory), to_text(s.plan.guest.rate),
               to_text(s.plan.guest.working_set));
    const auto& remote = s.plan.remote;
    fmt::print("  {} switchover bandwidth, guardian {}, destination's control {}\n",
               s.plan.qemu.native_switchover_bandwidth ? "native" : "emulated",
               s.plan.guard.own_monitor ? "with its own monitor" : "queued",
               remote.used ? "segue receive" : s.plan.far ? "over the link" : "local");
    if (!remote.used) return;
    fmt::print("  control {} each way, its clock {} off and {} ppm fast, its QEMU {}\n", to_text(remote.delay),
               to_text(remote.clock_offset), remote.clock_ppm, remote.by_command ? "started" : "attached");
}

void print_violations(const RunResult& result) {
    for (const auto& what : result.violations) fmt::print("VIOLATION: {}\n", what);
}

/// Chatter of polling is shown only on request.
bool is_chatter(const std::string& line) {
    return line.find(" SrcReadProgress") != std::string::npos || line.find(" StreamRead") != std::string::npos ||
           line.find(" GuardNote") != std::string::npos;
}

int run_one(std::uint64_t seed, bool verbose, bool pairs) {
    const Scenario scenario = pairs ? pair_from(seed) : scenario_from(seed);
    print_head(scenario);
    const RunResult result = run_scenario(scenario, [verbose](const std::string& line) {
        if (!verbose && is_chatter(line)) return;
        fmt::print("{}\n", line);
        std::fflush(stdout);
    });
    print_violations(result);
    return result.violations.empty() ? 0 : 1;
}

struct Tally {
    int runs = 0;
    std::map<std::string, int> outcomes;
};
using Table = std::map<Cell, Tally>;

void print_table(const Table& table) {
    fmt::print("{:<24} {:<24} {:>5}  outcomes\n", "fault", "struck in", "runs");
    for (const auto& [cell, tally] : table) {
        std::string outcomes;
        for (const auto& [word, count] : tally.outcomes) {
            outcomes += fmt::format("{}{} {}", outcomes.empty() ? "" : ", ", word, count);
        }
        fmt::print("{:<24} {:<24} {:>5}  {}\n", to_string(cell.fault), to_string(cell.moment), tally.runs, outcomes);
    }
}

struct Range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

struct Checked {
    Table table;  ///< By what was drawn, of runs in which it struck; the rest under `none`.
    std::uint64_t passed = 0;
    std::uint64_t failed = 0;
};

Checked run_all(Range seeds, bool keep_going, bool pairs) {
    Checked out;
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        current_seed = static_cast<int>(seed);
        const Scenario scenario = pairs ? pair_from(seed) : scenario_from(seed);
        const RunResult result = run_scenario(scenario);
        Tally& tally = out.table[result.struck ? Cell{scenario.fault, scenario.moment} : Cell{}];
        ++tally.runs;
        ++tally.outcomes[outcome_word(result)];
        if (result.violations.empty()) {
            ++out.passed;
            continue;
        }
        ++out.failed;
        fmt::print("seed {} ({} in {}): {}\n", seed, to_string(scenario.fault), to_string(scenario.moment),
                   fmt::join(result.violations, "; "));
        if (keep_going) continue;
        fmt::print("replay: segue-sim run --seed {}{}\n", seed, pairs ? " --pairs" : "");
        break;
    }
    return out;
}

int check(Range seeds, bool quiet, bool keep_going, bool pairs) {
    const auto began = std::chrono::steady_clock::now();
    const Checked checked = run_all(seeds, keep_going, pairs);
    if (!quiet) print_table(checked.table);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (!quiet) fmt::print("{:.1f} s\n", took.count());
    fmt::print("{} passed, {} failed\n", checked.passed, checked.failed);
    return checked.failed == 0 ? 0 : 1;
}

/// Stages and steps of one part of a move, for a table that fits a page.
struct Part {
    std::string_view name;
    std::vector<Moment> moments;
};

const std::vector<Part>& parts() {
    using enum Moment;
    static const std::vector<Part> all = {
        {"setup", {inspecting, sampling, guarding, preparing, step_guarding, step_preparing, step_dst_prepared,
                   step_dst_listening}},
        {"pre-copy", {copying, any_time, step_migrate}},
        {"stop", {stopping, held, step_held}},
        {"blackout", {continued, loaded, step_continued, step_word}},
        {"word", {handing_over, step_dst_accepted, step_dst_running, step_answered_running, step_answered_refused,
                  step_dst_refused}},
        {"undo", {undoing, step_undoing, step_rolled_back, step_dst_tombstone}},
        {"close", {closing, step_moved, step_closed}},
    };
    return all;
}

int runs_in(const Table& table, Cell cell) {
    const auto found = table.find(cell);
    return found == table.end() ? 0 : found->second.runs;
}

/// How often a fault struck in a part, and in how many of its cells; "." where there is nothing to strike.
std::string entry(const Table& table, Fault fault, const Part& part) {
    const auto& reachable = reachable_cells();
    int runs = 0;
    int struck = 0;
    int cells = 0;
    for (const Moment moment : part.moments) {
        const Cell cell{fault, moment};
        if (std::ranges::find(reachable, cell) == reachable.end()) continue;
        ++cells;
        runs += runs_in(table, cell);
        struck += runs_in(table, cell) > 0 ? 1 : 0;
    }
    return cells == 0 ? "." : fmt::format("{} ({}/{})", runs, struck, cells);
}

/// Runs the seeds, prints what struck where, and fails where a fault that can strike never did.
int coverage(Range seeds, bool each_cell) {
    const Checked checked = run_all(seeds, true, false);
    fmt::print("| fault |");
    for (const auto& part : parts()) fmt::print(" {} |", part.name);
    fmt::print("\n|---|---|---|---|---|---|---|---|\n");
    for (std::size_t f = 1; f < fault_count; ++f) {
        fmt::print("| {} |", to_string(static_cast<Fault>(f)));
        for (const auto& part : parts()) fmt::print(" {} |", entry(checked.table, static_cast<Fault>(f), part));
        fmt::print("\n");
    }
    std::size_t struck = 0;
    std::size_t never = 0;
    for (const Cell& cell : reachable_cells()) {
        if (cell.fault == Fault::none) continue;
        const int runs = runs_in(checked.table, cell);
        if (each_cell) fmt::print("{} in {}: {}\n", to_string(cell.fault), to_string(cell.moment), runs);
        if (runs == 0) fmt::print("never struck: {} in {}\n", to_string(cell.fault), to_string(cell.moment));
        ++(runs > 0 ? struck : never);
    }
    fmt::print("{} seeds, {} of them broke a promise; {} of {} cells were struck\n", seeds.last - seeds.first + 1,
               checked.failed, struck, struck + never);
    fmt::print("{} passed, {} failed\n", checked.passed, checked.failed + never);
    return checked.failed + never == 0 ? 0 : 1;
}

std::optional<Range> parse_range(const std::string& text) {
    Range range;
    const char* const end = text.data() + text.size();
    const auto [middle, error] = std::from_chars(text.data(), end, range.first);
    if (error != std::errc{}) return std::nullopt;
    range.last = range.first;
    if (middle == end) return range;
    if (*middle != '-') return std::nullopt;
    const auto [stop, second] = std::from_chars(middle + 1, end, range.last);
    const bool good = second == std::errc{} && stop == end && range.first <= range.last;
    return good ? std::optional(range) : std::nullopt;
}

void add_study(CLI::App& app, StudyOptions& options) {
    auto* study = app.add_subcommand("study", "many guests and links under one policy: the figures beside their goals");
    study->add_option("--cases", options.cases, "how many (600)");
    study->add_option("--seed", options.seed, "of the first case (1)");
    study->add_flag("--short", options.brief, "60 cases");
    study->add_option("--policy", options.policy, "converge, patient or reference");
    study->add_option("--sees", options.sees, "learning, or knowing: the true curve");
    study->add_option("--json", options.json, "file for every case and figure, one line each");
    study->add_option("--worst", options.worst, "list so many of the worst cases");
    study->add_option("--only", options.only, "one case, by the seed that --worst tells");
    study->add_flag("--verbose", options.verbose, "with --only: each dirty sync");
    study->add_flag("--strict", options.strict, "every missed goal fails, not only a broken bound");
    study->add_option("--trace", options.traces, "recorded dirtying, beside the synthetic ones");
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Runs Segue's migration state machine in simulated worlds and checks every promise."};
    app.require_subcommand(1);
    std::uint64_t seed = 1;
    bool verbose = false;
    auto* run = app.add_subcommand("run", "one seed: one line per transition, in virtual time");
    run->add_option("--seed", seed, "which world")->required();
    run->add_flag("--verbose", verbose, "polling as well");
    bool pairs = false;
    run->add_flag("--pairs", pairs, "with a second fault");
    std::string seeds;
    bool quiet = false;
    bool keep_going = false;
    auto* many = app.add_subcommand("check", "many seeds: stops at the first broken promise");
    many->add_option("--seeds", seeds, "FIRST-LAST")->required();
    many->add_flag("--pairs", pairs, "two faults a run: safety and the end only");
    many->add_flag("--quiet", quiet, "the verdict only");
    many->add_flag("--keep-going", keep_going, "do not stop at the first");
    auto* table = app.add_subcommand("coverage", "which fault struck where, as a table; fails where one never did");
    table->add_option("--seeds", seeds, "FIRST-LAST")->required();
    bool each_cell = false;
    table->add_flag("--cells", each_cell, "every cell as well");
    StudyOptions study_options;
    add_study(app, study_options);
    CLI11_PARSE(app, argc, argv);
    if (app.got_subcommand("study")) return study(study_options);
    say_seed_on_abort();
    if (*run) return run_one(seed, verbose, pairs);
    const auto range = parse_range(seeds);
    if (!range) {
        fmt::print(stderr, "segue-sim: --seeds takes FIRST-LAST, for example 1-500\n");
        return 2;
    }
    if (*table) return coverage(*range, each_cell);
    return check(*range, quiet, keep_going, pairs);
}

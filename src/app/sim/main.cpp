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

int run_one(std::uint64_t seed, bool verbose) {
    const Scenario scenario = scenario_from(seed);
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

Checked run_all(Range seeds, bool keep_going) {
    Checked out;
    for (std::uint64_t seed = seeds.first; seed <= seeds.last; ++seed) {
        current_seed = static_cast<int>(seed);
        const Scenario scenario = scenario_from(seed);
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
        fmt::print("replay: segue-sim run --seed {}\n", seed);
        break;
    }
    return out;
}

int check(Range seeds, bool quiet, bool keep_going) {
    const auto began = std::chrono::steady_clock::now();
    const Checked checked = run_all(seeds, keep_going);
    if (!quiet) print_table(checked.table);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (!quiet) fmt::print("{:.1f} s\n", took.count());
    fmt::print("{} passed, {} failed\n", checked.passed, checked.failed);
    return checked.failed == 0 ? 0 : 1;
}

/// The table of stage and fault: how often each fault struck there; "." where there is nothing to strike.
int coverage(Range seeds) {
    const Checked checked = run_all(seeds, true);
    fmt::print("| fault |");
    for (std::size_t m = 0; m < moment_count; ++m) fmt::print(" {} |", to_string(static_cast<Moment>(m)));
    fmt::print("\n|---|");
    for (std::size_t m = 0; m < moment_count; ++m) fmt::print("---|");
    fmt::print("\n");
    const auto& cells = reachable_cells();
    std::size_t struck = 0;
    std::vector<Cell> empty;
    for (std::size_t f = 0; f < fault_count; ++f) {
        fmt::print("| {} |", to_string(static_cast<Fault>(f)));
        for (std::size_t m = 0; m < moment_count; ++m) {
            const Cell cell{static_cast<Fault>(f), static_cast<Moment>(m)};
            const auto found = checked.table.find(cell);
            const int runs = found == checked.table.end() ? 0 : found->second.runs;
            const bool reachable = std::ranges::find(cells, cell) != cells.end();
            fmt::print(" {} |", reachable || runs > 0 ? fmt::format("{}", runs) : ".");
            struck += reachable && runs > 0 ? 1U : 0U;
            if (reachable && runs == 0 && cell.fault != Fault::none) empty.push_back(cell);
        }
        fmt::print("\n");
    }
    for (const auto& cell : empty) fmt::print("never struck: {} in {}\n", to_string(cell.fault), to_string(cell.moment));
    const std::uint64_t failed = checked.failed + empty.size();
    fmt::print("{} passed, {} failed\n", struck, failed);
    return failed == 0 ? 0 : 1;
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

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Runs Segue's migration state machine in simulated worlds and checks every promise."};
    app.require_subcommand(1);
    std::uint64_t seed = 1;
    bool verbose = false;
    auto* run = app.add_subcommand("run", "one seed: one line per transition, in virtual time");
    run->add_option("--seed", seed, "which world")->required();
    run->add_flag("--verbose", verbose, "polling as well");
    std::string seeds;
    bool quiet = false;
    bool keep_going = false;
    auto* many = app.add_subcommand("check", "many seeds: stops at the first broken promise");
    many->add_option("--seeds", seeds, "FIRST-LAST")->required();
    many->add_flag("--quiet", quiet, "the verdict only");
    many->add_flag("--keep-going", keep_going, "do not stop at the first");
    auto* table = app.add_subcommand("coverage", "which fault struck in which stage, as a table; fails where one never did");
    table->add_option("--seeds", seeds, "FIRST-LAST")->required();
    CLI11_PARSE(app, argc, argv);
    say_seed_on_abort();
    if (*run) return run_one(seed, verbose);
    const auto range = parse_range(seeds);
    if (!range) {
        fmt::print(stderr, "segue-sim: --seeds takes FIRST-LAST, for example 1-500\n");
        return 2;
    }
    if (*table) return coverage(*range);
    return check(*range, quiet, keep_going);
}

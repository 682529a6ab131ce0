// segue-sim: the migration state machine against a simulated world, from a seed.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <unistd.h>

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
    fmt::print("  {} switchover bandwidth, guardian {}, destination's control {}\n",
               s.plan.qemu.native_switchover_bandwidth ? "native" : "emulated",
               s.plan.guard.own_monitor ? "with its own monitor" : "queued", s.plan.far ? "over the link" : "local");
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

struct Cell {
    int runs = 0;
    std::map<std::string, int> outcomes;
};
using Table = std::map<std::pair<Fault, Moment>, Cell>;

void print_table(const Table& table) {
    fmt::print("{:<17} {:<13} {:>5}  outcomes\n", "fault", "struck in", "runs");
    for (const auto& [key, cell] : table) {
        std::string outcomes;
        for (const auto& [word, count] : cell.outcomes) {
            outcomes += fmt::format("{}{} {}", outcomes.empty() ? "" : ", ", word, count);
        }
        const auto where = key.second == Moment::any_time ? std::string_view("-") : to_string(key.second);
        fmt::print("{:<17} {:<13} {:>5}  {}\n", to_string(key.first), where, cell.runs, outcomes);
    }
}

int check(std::uint64_t first, std::uint64_t last, bool quiet, bool keep_going) {
    Table table;
    std::uint64_t passed = 0;
    std::uint64_t failed = 0;
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        current_seed = static_cast<int>(seed);
        const Scenario scenario = scenario_from(seed);
        const RunResult result = run_scenario(scenario);
        const Fault fault = result.struck ? scenario.fault : Fault::none;
        Cell& cell = table[{fault, result.struck ? result.struck_in : Moment::any_time}];
        ++cell.runs;
        ++cell.outcomes[outcome_word(result)];
        if (result.violations.empty()) {
            ++passed;
            continue;
        }
        ++failed;
        fmt::print("seed {} ({} in {}): {}\n", seed, to_string(fault), to_string(result.struck_in),
                   fmt::join(result.violations, "; "));
        if (keep_going) continue;
        fmt::print("replay: segue-sim run --seed {}\n", seed);
        break;
    }
    if (!quiet) print_table(table);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (!quiet) fmt::print("{:.1f} s\n", took.count());
    fmt::print("{} passed, {} failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

bool parse_range(const std::string& text, std::uint64_t& first, std::uint64_t& last) {
    const char* const end = text.data() + text.size();
    const auto [middle, error] = std::from_chars(text.data(), end, first);
    if (error != std::errc{}) return false;
    last = first;
    if (middle == end) return true;
    if (*middle != '-') return false;
    const auto [stop, second] = std::from_chars(middle + 1, end, last);
    return second == std::errc{} && stop == end && first <= last;
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
    CLI11_PARSE(app, argc, argv);
    say_seed_on_abort();
    if (*run) return run_one(seed, verbose);
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    if (!parse_range(seeds, first, last)) {
        fmt::print(stderr, "segue-sim: --seeds takes FIRST-LAST, for example 1-500\n");
        return 2;
    }
    return check(first, last, quiet, keep_going);
}

#include "app/segue/output/render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "app/segue/words/plain_text.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;

/// Whole milliseconds, rounded up: a downtime is never said to be shorter than it was.
std::int64_t milliseconds_up(Duration duration) { return (duration.count() + ns_per_ms - 1) / ns_per_ms; }

std::string seconds_of(std::int64_t milliseconds) {
    return fmt::format("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
}

/// A bound, exactly: three decimals or as many as it has.
std::string exact_seconds(Duration duration) {
    std::string text = fmt::format("{}.{:09}", duration.count() / 1'000'000'000, duration.count() % 1'000'000'000);
    while (text.ends_with('0') && text.size() - text.find('.') > 4) text.pop_back();
    return text;
}

/// The parts in whole milliseconds so that they add up to what is shown as their sum (each may be up to
/// 1 ms off for that), or each rounded where they do not add up to it anyway.
std::array<std::int64_t, 4> parts_in_milliseconds(const DowntimeParts& parts, std::int64_t sum) {
    const std::array<std::int64_t, 4> exact = {parts.stop.count(), parts.transfer.count(), parts.load.count(),
                                               parts.handover.count()};
    std::array<std::int64_t, 4> shown{};
    std::array<std::size_t, 4> by_rest = {0, 1, 2, 3};
    std::ranges::transform(exact, shown.begin(), [](std::int64_t ns) { return ns / ns_per_ms; });
    std::ranges::stable_sort(by_rest, std::greater{}, [&](std::size_t i) { return exact[i] % ns_per_ms; });
    const std::int64_t missing = sum - std::accumulate(shown.begin(), shown.end(), std::int64_t{0});
    if (missing < 0 || missing > 4) {
        std::ranges::transform(exact, shown.begin(), [](std::int64_t ns) { return (ns + ns_per_ms / 2) / ns_per_ms; });
        return shown;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(missing); ++i) ++shown[by_rest[i]];
    return shown;
}

std::string counted(std::int64_t count, std::string_view one, std::string_view many) {
    return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string coloured(std::string_view text, std::string_view code, bool colour) {
    return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}
constexpr std::string_view red = "31";
constexpr std::string_view green = "32";

std::string render_moved(const Summary& summary, std::string_view vm, const Bounds& bounds, bool colour) {
    const std::int64_t downtime = milliseconds_up(summary.downtime);
    const auto parts = parts_in_milliseconds(summary.parts, downtime);
    const bool kept = summary.downtime <= bounds.max_downtime;
    std::string text = fmt::format(
        "{}: {} in {}, downtime {} s ({} {} s: stop {}, transfer {}, load {}, handover {}), {} sent, {}", vm,
        coloured("moved", kept ? green : red, colour), to_text(summary.total), seconds_of(downtime),
        kept ? "limit" : "over the limit of", exact_seconds(bounds.max_downtime), seconds_of(parts[0]),
        seconds_of(parts[1]), seconds_of(parts[2]), seconds_of(parts[3]), to_text(summary.sent),
        counted(summary.passes, "pass", "passes"));
    if (!summary.error.empty()) text += "\n  note: " + plain_text(summary.error);
    return text;
}

std::string render_refused(const Summary& summary, std::string_view vm, bool colour) {
    std::string text = fmt::format("{}: {}, nothing was changed", vm, coloured("refused", red, colour));
    if (summary.findings.empty()) return text + ": " + plain_text(summary.error);
    const auto sentence = [](const Finding& finding) {
        return plain_text(finding.what) + (finding.remedy.empty() ? "" : "; " + plain_text(finding.remedy));
    };
    if (summary.findings.size() == 1) return text + ": " + sentence(summary.findings[0]);
    text += fmt::format("; {} things are in the way:", summary.findings.size());
    for (const Finding& finding : summary.findings) text += "\n  - " + sentence(finding);
    return text;
}

std::string_view where_words(GuestOn where) {
    switch (where) {
        case GuestOn::source: return "runs on the source";
        case GuestOn::destination: return "runs on the destination";
        case GuestOn::nowhere: return "runs nowhere";
        case GuestOn::unknown: return "not known where it runs";
    }
    return "not known where it runs";
}

/// Where the guest is and what the attempt cost.
std::string render_facts(const Summary& summary, const Bounds& bounds) {
    std::string text = fmt::format("  guest: {}", where_words(summary.guest_on));
    if (summary.guest_stopped) {
        const bool so_far = summary.guest_on == GuestOn::unknown;
        const std::string_view limit = summary.downtime <= bounds.max_downtime ? "limit" : "over the limit of";
        text += fmt::format(", stood {} s{} ({} {} s)", seconds_of(milliseconds_up(summary.downtime)),
                            so_far ? " so far" : "", limit, exact_seconds(bounds.max_downtime));
    }
    if (summary.rollback.count() > 0) {
        text += fmt::format(", rolled back in {} s", seconds_of(milliseconds_up(summary.rollback)));
    }
    return text + fmt::format("; after {}, {} sent, {}", to_text(summary.total), to_text(summary.sent),
                              counted(summary.passes, "pass", "passes"));
}

/// How a move is told that was not made, and what is left to do where its sentence does not say it by itself.
struct Mishap {
    std::string_view headline;
    std::string_view next_step;
};

Mishap mishap_of(Outcome outcome) {
    constexpr Mishap not_moved{"not moved", ""};  // The sentence itself says it (migration/undo.cpp).
    switch (outcome) {
        case Outcome::guest_crashed:
            return {"guest crashed", "look at its QEMU's log, then start the guest again from its disks"};
        case Outcome::unknown:
            return {"state unknown", "ask both monitors (query-status); continue no side before the other is known to "
                                     "stand or to be gone"};
        case Outcome::moved:
        case Outcome::planned:
        case Outcome::refused:
        case Outcome::failed:
        case Outcome::downtime_exceeded:
        case Outcome::timeout:
        case Outcome::cancelled: return not_moved;
    }
    return not_moved;
}

/// Of the plain model, whose bandwidth is known.
std::string outlook_words(const ForecastReport& report, const Bounds& bounds) {
    const std::string limit = to_text(bounds.max_downtime);
    if (report.budget.count <= 0) {
        return fmt::format("nothing may be pending at the stop: a limit of {} leaves no time for data", limit);
    }
    if (!report.rounds.converges) {
        return fmt::format("does not converge: {} would be pending at every pass, and {} may be (limit {})",
                           to_text(report.rounds.floor), to_text(report.budget), limit);
    }
    return fmt::format("about {} and {}, {} sent, downtime about {} (limit {})", to_text(report.rounds.total),
                       counted(report.rounds.passes, "pass", "passes"), to_text(report.rounds.sent),
                       to_text(report.rounds.downtime), limit);
}

}  // namespace

std::string render_samples(const ForecastReport& report) {
    std::string text;
    for (const DirtySample& sample : report.samples) {
        text += fmt::format("{}{} in {}", text.empty() ? "the guest dirties " : ", ", to_text(sample.dirtied),
                            to_text(sample.interval));
    }
    return text.empty() ? "nothing is known of how the guest dirties memory" : text;
}

std::string render_begin(const Migrate& migrate) {
    const Bounds& bounds = migrate.request.bounds;
    const std::string there = migrate.dst_qmp.empty() ? "a new QEMU" : plain_text(migrate.dst_qmp);
    const std::string downtime = migrate.request.non_live ? "not live, the guest stands while it is copied"
                                                          : "downtime at most " + to_text(bounds.max_downtime);
    std::string text = fmt::format("{} to {}{}: {}", plain_text(migrate.request.vm), there,
                                   migrate.to ? " at " + plain_text(migrate.to->as_written) : "", downtime);
    text += bounds.timeout ? fmt::format(", timeout {}", to_text(*bounds.timeout)) : ", no timeout";
    text += bounds.max_bandwidth ? fmt::format(", at most {}", to_text(*bounds.max_bandwidth)) : ", no bandwidth cap";
    if (bounds.switchover_bandwidth) {
        text += fmt::format(", {} for the switchover", to_text(*bounds.switchover_bandwidth));
    }
    if (migrate.request.dry_run) text += "; a dry run, nothing is changed";
    return text;
}

std::string render_progress(const ProgressReport& report) {
    std::string text;
    if (report.stage != "copying") text += render_stage(report.stage) + "  ";
    text += fmt::format("pass {}  {} left", report.pass, to_text(report.left));
    if (report.out) text += fmt::format("  {} out", to_text(*report.out));
    if (report.dirtying) text += fmt::format("  {} dirty", to_text(*report.dirtying));
    if (report.blackout_now) {
        text += fmt::format("  blackout now {} (limit {})", to_text(*report.blackout_now),
                            to_text(report.max_downtime));
    }
    return text + fmt::format("  after {}", to_text(report.elapsed));
}

std::string render_stage(std::string_view stage) {
    struct Words { std::string_view stage; std::string_view words; };
    static constexpr std::array table = {
        Words{"inspecting", "asking both sides"},
        Words{"sampling", "sampling dirtied pages for the forecast"},
        Words{"guarding", "starting the guardian"},
        Words{"preparing", "preparing both sides"},
        Words{"copying", "copying memory while the guest runs"},
        Words{"held", "the guest stands: last check"},
        Words{"continued", "the guest stands: sending what is left"},
        Words{"loaded", "the guest stands: the destination has everything"},
        Words{"handing-over", "the guest stands: handing over"},
        Words{"undoing", "rolling back: the source goes on"},
        Words{"closing", "putting settings back"},
    };
    const auto found = std::ranges::find(table, stage, &Words::stage);
    return found != table.end() ? std::string(found->words) : plain_text(stage);
}

std::string render_decision(const DecisionReport& report) {
    const std::string because = report.because.empty() ? "" : ": " + plain_text(report.because);
    return fmt::format("after {}: {}{}", to_text(report.elapsed), plain_text(report.what), because);
}

std::string render_preflight(const PreflightReport& report, bool disks) {
    std::string text;
    for (const DiskVerdict& disk : report.disks) {
        if (!disks) break;
        const std::string_view word = disk.shared == Shared::yes  ? "shared"
                                      : disk.shared == Shared::no ? "not shared"
                                                                  : "not known to be shared";
        text += fmt::format("{}disk {} {}: {}: {}", text.empty() ? "" : "\n", plain_text(disk.src.place),
                            plain_text(disk.src.file), word, plain_text(disk.because));
    }
    for (const Finding& note : report.notes) {
        text += fmt::format("{}note: {} ({})", text.empty() ? "" : "\n", plain_text(note.what),
                            plain_text(note.remedy));
    }
    return text;
}

std::string render_forecast(const ForecastReport& report, const Bounds& bounds) {
    if (!report.bandwidth_known) {
        return "no forecast: the bandwidth is not known (give --max-bandwidth or --switchover-bandwidth)\n  " +
               render_samples(report);
    }
    return fmt::format("forecast, uncalibrated (a plain model; errors of 20 to 80 % are usual):\n  {}; assumed: {}, "
                       "at most {} pending at the stop\n  {}",
                       render_samples(report), to_text(report.bandwidth), to_text(std::max(report.budget, Bytes{0})),
                       outlook_words(report, bounds));
}

std::string render_result(const Summary& summary, std::string_view vm, const Bounds& bounds, bool colour) {
    const std::string name = plain_text(vm);
    if (summary.outcome == Outcome::moved) return render_moved(summary, name, bounds, colour);
    if (summary.outcome == Outcome::refused) return render_refused(summary, name, colour);
    if (summary.outcome == Outcome::planned) {
        return fmt::format("{}: {}, nothing was changed", name, coloured("nothing is in the way", green, colour));
    }
    const std::string error = summary.error.empty() ? "no reason was recorded" : plain_text(summary.error);
    const Mishap mishap = mishap_of(summary.outcome);
    std::string text = fmt::format("{}: {}: {}\n", name, coloured(mishap.headline, red, colour), error);
    text += render_facts(summary, bounds);
    return mishap.next_step.empty() ? text : text + fmt::format("\n  next: {}", mishap.next_step);
}

}  // namespace segue

#include "app/sim/study/case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/sim/study/families.hpp"
#include "units/text.hpp"

namespace segue::study {
namespace {

using sim::Rng;

constexpr double mib = 1024.0 * 1024;
constexpr double tick_s = 0.004;
constexpr double stall_margin_s = 0.010;
constexpr double period_s = 0.010;
constexpr double quota_min_s = 0.001;
constexpr int brake_steps = 16;

double log_between(Rng& rng, double low, double high) {
    return low * std::pow(high / low, rng.unit());
}

WireSpec draw_wire(Rng rng, double rate, double length_s) {
    WireSpec wire;
    wire.bytes_per_s = rate;
    const auto kind = rng.next() % 8;
    if (kind <= 2) return wire;
    if (kind <= 4) {
        wire.kind = "varies";
        wire.sigma = log_between(rng, 0.02, 0.12);
        wire.tau_s = log_between(rng, 0.2, 20);
    } else if (kind == 5) {
        wire.kind = "drifts";
        wire.drift_per_s = (rng.chance(0.5) ? 1 : -1) * log_between(rng, 0.05, 0.4) / length_s;
        wire.sigma = 0.02;
    } else if (kind == 6) {
        wire.kind = "collapse";
        const double at = length_s * (0.2 + 0.6 * rng.unit());
        wire.steps = {{at, 0.1}, {at + log_between(rng, 0.5, 5), 1}};
    } else {
        wire.kind = "competing";
        double at = 0;
        for (int i = 0; i < 6; ++i) {
            at += length_s * (0.2 + 0.5 * rng.unit());
            wire.steps.push_back({at, i % 2 == 0 ? 0.5 + 0.3 * rng.unit() : 1.0});
        }
    }
    return wire;
}

Bounds draw_bounds(Rng rng, double content, double rate) {
    Bounds bounds;
    bounds.max_downtime_s = log_between(rng, 0.2, 2);
    if (rng.chance(0.3)) bounds.max_bandwidth = rate * (0.4 + 0.5 * rng.unit());
    const double pass_s = content / bounds.max_bandwidth.value_or(rate);
    if (rng.chance(0.6)) bounds.timeout_s = pass_s * log_between(rng, 1.3, 10) + 3;
    bounds.min_cpu = log_between(rng, 0.03, 0.3);
    bounds.max_stall_s = bounds.max_downtime_s / 2;
    static constexpr double levels[] = {0, 0.25, 0.5, 0.5, 0.5, 0.75, 1};
    bounds.aggression = levels[rng.next() % std::size(levels)];
    return bounds;
}

}  // namespace

Bounds tightened(Bounds bounds, double part) {
    bounds.max_downtime_s *= 1 - part;
    bounds.max_stall_s *= 1 - part;
    if (bounds.timeout_s) *bounds.timeout_s *= 1 - part;
    if (bounds.max_bandwidth) *bounds.max_bandwidth *= 1 - part;
    bounds.min_cpu = std::min(1.0, bounds.min_cpu * (1 + part));
    return bounds;
}

double stall_at(double share) {
    if (share >= 1) return 0;
    const double period = std::max(period_s, quota_min_s / share);
    return std::max(period * (1 - share), tick_s * (1 / share - 1)) + stall_margin_s;
}

BrakeRange brake_for(const Bounds& bounds) {
    BrakeRange range;
    range.shares.clear();
    range.stall_s.clear();
    for (int i = 0; i < brake_steps; ++i) {
        const double share = bounds.min_cpu * std::pow(1 / bounds.min_cpu, i / double{brake_steps});
        if (stall_at(share) > bounds.max_stall_s) {
            range.cut_by_stall = true;
            continue;
        }
        range.shares.push_back(share);
        range.stall_s.push_back(stall_at(share));
    }
    range.shares.push_back(1);
    range.stall_s.push_back(0);
    return range;
}

std::vector<Trace> synthetic_traces() {
    WalkPlan drift;
    drift.pages = 20'000;
    drift.writes_per_s = 300'000;
    drift.jump_chance = 0.001;
    drift.length_s = 20;
    WalkPlan bursts = drift;
    bursts.jump_chance = 0.05;
    bursts.burst_s = 1.5;
    bursts.length_s = 40;
    return {record_walk(drift, Rng(1)), record_walk(bursts, Rng(2))};
}

Case case_from(std::uint64_t seed, const std::vector<Trace>& traces) {
    Case one;
    one.seed = seed;
    Rng rng = Rng(seed).stream("case");
    const double rate = log_between(rng, 100 * mib, 12.5e9);
    // Guests that take from a second to half an hour: nobody moves a TiB at 100 MiB/s, and a study has an end.
    const double length = log_between(rng, 1.0, 1200);
    const double memory = std::clamp(rate * length, 128 * mib, 1024 * 1024 * mib);
    one.guest = draw_guest(rng.stream("guest"), memory, rate, traces);
    const double pass_s = memory * one.guest.nonzero_ratio / rate;
    one.wire = draw_wire(rng.stream("wire"), rate, pass_s);
    one.bounds = draw_bounds(rng.stream("bounds"), memory * one.guest.nonzero_ratio, rate);
    Rng costs = rng.stream("costs");
    one.costs.stop = from_seconds(log_between(costs, 0.001, 0.010));
    one.costs.load = from_seconds(log_between(costs, 0.005, 0.025));
    one.costs.handover = from_seconds(log_between(costs, 0.002, 0.010));
    one.moves_before = static_cast<int>(costs.next() % 5);
    static_cast<void>(costs.next());  // What once was drawn here: the rest of every case stays as it was.
    one.sync_s = 0.0005 + 0.00002 * memory / (1024 * mib);
    one.resident_excess = 0.06 * costs.unit();
    one.scan_per_s = log_between(costs, 2, 16) * 1024 * mib;
    return one;
}

std::string describe(const Case& one) {
    const auto& bounds = one.bounds;
    return fmt::format(
        "{}{} {} ({:.0f} % zero), {} vCPU, link {} {}, D {:.0f} ms, T {}, B {}, floor {:.1f} %, aggression {:.2f}",
        one.guest.family, one.guest.in_model ? "" : "*",
        to_text(Bytes{static_cast<std::int64_t>(one.guest.memory_bytes)}),
        100 * (1 - one.guest.nonzero_ratio), one.guest.busy.size(),
        to_text(ByteRate{static_cast<std::int64_t>(one.wire.bytes_per_s)}), one.wire.kind, bounds.max_downtime_s * 1e3,
        bounds.timeout_s ? fmt::format("{:.1f} s", *bounds.timeout_s) : "none",
        bounds.max_bandwidth ? to_text(ByteRate{static_cast<std::int64_t>(*bounds.max_bandwidth)}) : "none",
        bounds.min_cpu * 100, bounds.aggression);
}

}  // namespace segue::study

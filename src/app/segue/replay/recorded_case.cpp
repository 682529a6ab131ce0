#include "app/segue/replay/recorded_case.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/nnls.hpp"

namespace segue {
namespace {

constexpr double page_header = 8;
constexpr double zero_page_bytes = 9;
constexpr std::size_t spans = nnls_unknowns / 2;
constexpr double shortest_s = 0.01;
constexpr double longest_s = 300;
/// Of the sharpest unknown: keeps the system definite, changes nothing that can be seen.
constexpr double ridge = 1e-9;
/// A class of less than a page is none.
constexpr double least_bytes = study::page_bytes;
constexpr double busy_least = 0.01;

double span_of(std::size_t k) {
    return shortest_s * std::pow(longest_s / shortest_s, static_cast<double>(k) / (spans - 1));
}

/// Part of a class that is dirty after so much work: a walk over its pages, then writes at random.
NnlsVector parts_after(double work_s) {
    NnlsVector parts{};
    for (std::size_t k = 0; k < spans; ++k) {
        parts[k] = std::min(1.0, work_s / span_of(k));
        parts[spans + k] = -std::expm1(-work_s / span_of(k));
    }
    return parts;
}

/// Bytes of each class, so that together they come near to the curve, by relative error at each of its points.
NnlsVector classes_of(const Curve& curve) {
    const double scale = curve.table().back();
    NnlsMatrix h{};
    NnlsVector b{};
    for (std::size_t i = 0; i < Curve::points; ++i) {
        const double share = curve.table()[i] / scale;
        if (share <= 0) continue;
        const NnlsVector parts = parts_after(Curve::work_at(i));
        for (std::size_t k = 0; k < nnls_unknowns; ++k) {
            b[k] += parts[k] / share;
            for (std::size_t j = 0; j < nnls_unknowns; ++j) h[k][j] += parts[k] * parts[j] / (share * share);
        }
    }
    double sharpest = 0;
    for (std::size_t k = 0; k < nnls_unknowns; ++k) sharpest = std::max(sharpest, h[k][k]);
    for (std::size_t k = 0; k < nnls_unknowns; ++k) h[k][k] += ridge * sharpest;
    NnlsVector out = solve_nonnegative(h, b);
    for (double& value : out) value *= scale;
    return out;
}

/// One for the vCPUs, one for what no brake slows.
void add_class(study::GuestSpec& spec, double bytes, double span_s, bool walk, double unbraked, double busy) {
    study::PageClass pages;
    pages.pattern = walk ? study::Pattern::walk : study::Pattern::random;
    const auto add = [&](double part, study::Drive drive, double pace) {
        pages.pages = bytes * part / study::page_bytes;
        if (pages.pages <= 0) return;
        pages.drive = drive;
        pages.rate = {pace / span_s * (walk ? pages.pages : 1)};
        spec.classes.push_back(pages);
    };
    add(1 - unbraked, study::Drive::vcpus, 1);
    add(unbraked, study::Drive::wall, busy);
}

const RecordedDecision* last_known(const RecordedMove& move) {
    const auto known = [](const RecordedDecision& one) {
        return one.view.outlook.bandwidth_known && one.view.outlook.bandwidth_bytes_per_second.p50 > 0;
    };
    const auto found = std::ranges::find_if(move.decisions.rbegin(), move.decisions.rend(), known);
    return found == move.decisions.rend() ? nullptr : &*found;
}

/// What was measured at each dirty sync holds for the time since the one before.
study::WireSpec wire_of(const RecordedMove& move, double last_rate) {
    study::WireSpec wire;
    wire.kind = "recorded";
    wire.bytes_per_s = last_rate;
    double from_s = 0;
    for (const RecordedDecision& one : move.decisions) {
        const Outlook& known = one.view.outlook;
        const double until_s = to_seconds(one.view.elapsed);
        if (!known.bandwidth_known || known.bandwidth_bytes_per_second.p50 <= 0 || until_s <= from_s) continue;
        wire.steps.push_back({from_s, known.bandwidth_bytes_per_second.p50 / last_rate});
        from_s = until_s;
    }
    wire.steps.push_back({from_s, 1});
    return wire;
}

/// Bytes of pass 1 on the wire: by its time, else by what was expected of it.
double first_pass_of(const RecordedMove& move, double rate) {
    for (const RecordedDecision& one : move.decisions) {
        const auto& passes = one.view.passes;
        if (passes.size() < 2 || passes[0].number != 1 || passes[1].number != 2) continue;
        const double early = one.view.outlook.bandwidth_known ? one.view.outlook.bandwidth_bytes_per_second.p50 : rate;
        return to_seconds(passes[1].began - passes[0].began) * early;
    }
    return static_cast<double>(move.decisions.front().view.outlook.first_pass.count);
}

double nonzero_ratio(double first_pass, double memory) {
    const double zero = zero_page_bytes / study::page_bytes;
    const double content = 1 + page_header / study::page_bytes;
    if (first_pass <= 0) return 1;
    return std::clamp((first_pass / memory - zero) / (content - zero), 0.01, 1.0);
}

study::Bounds bounds_of(const View& view) {
    study::Bounds bounds;
    bounds.max_downtime_s = to_seconds(view.max_downtime);
    if (view.timeout) bounds.timeout_s = to_seconds(*view.timeout);
    bounds.aggression = view.aggression;
    bounds.min_cpu = std::min(view.brake.shares.front(), 0.99);
    // By stalls the brake was cut already; the study's own table must not cut once more, and has none where none was.
    bounds.max_stall_s = view.brake.shares.size() > 1 ? study::stall_at(bounds.min_cpu) : 0;
    return bounds;
}

/// As many as there are, of the two kinds that the outlook tells; one where all are alike.
std::vector<double> vcpus_of(const Outlook& outlook, double busy) {
    const auto& [part, most] = outlook.busiest;
    if (!(part > 0) || !(part < 1)) return {busy};
    const double count = outlook.vcpus > 1 ? outlook.vcpus : 10;
    const double busiest = std::clamp(std::round(part * count), 1.0, count - 1);
    const double others = (busy * count - busiest * most) / (count - busiest);
    std::vector<double> out(static_cast<std::size_t>(count), std::clamp(others, 0.0, 1.0));
    std::fill_n(out.begin(), static_cast<std::size_t>(busiest), std::clamp(most, busy, 1.0));
    return out;
}

}  // namespace

study::GuestSpec guest_of(const Outlook& outlook) {
    study::GuestSpec spec;
    spec.family = "recorded";
    spec.memory_bytes = static_cast<double>(outlook.memory.count);
    const double busy = std::clamp(outlook.busy.ratio, busy_least, 1.0);
    spec.busy = vcpus_of(outlook, busy);
    const double unbraked = std::clamp(outlook.unbraked_ratio, 0.0, 1.0);
    if (outlook.curve.table().back() > 0) {
        const NnlsVector bytes = classes_of(outlook.curve);
        double sum = 0;
        for (const double each : bytes) sum += each;
        const double fits = std::min(1.0, spec.memory_bytes / std::max(sum, 1.0));
        for (std::size_t k = 0; k < nnls_unknowns; ++k) {
            const double size = bytes[k] * fits;
            if (size < least_bytes) continue;
            // The same pages in a shorter time: what was cut off was the far end of a long span.
            add_class(spec, size, span_of(k % spans) * fits, k < spans, unbraked, busy);
        }
    }
    if (spec.classes.empty()) spec.classes.push_back({});
    return spec;
}

Result<study::Case> case_of(const RecordedMove& move) {
    const RecordedDecision* last = last_known(move);
    if (last == nullptr) {
        return fail(ErrorKind::invalid,
                    "the move ended before its link was measured, so it cannot be played again; segue explain shows "
                    "what was decided");
    }
    const Outlook& known = last->view.outlook;
    study::Case one;
    one.seed = static_cast<std::uint64_t>(move.job);
    one.guest = guest_of(known);
    const double rate = known.bandwidth_bytes_per_second.p50;
    one.wire = wire_of(move, rate);
    one.guest.nonzero_ratio = nonzero_ratio(first_pass_of(move, rate), one.guest.memory_bytes);
    one.bounds = bounds_of(last->view);
    one.costs = expected_costs(known.costs);
    one.sync_s = std::max(0.0005, to_seconds(known.round_overhead));
    return one;
}

RecordedCost cost_of(const RecordedMove& move, double stopped_s) {
    RecordedCost out;
    const View& last = move.decisions.back().view;
    const double busy = std::clamp(last.outlook.busy.ratio, busy_least, 1.0);
    const auto charge = [&](double wall_s, double share, double worked_s) {
        const double rate = work_rate_at(busy, last.outlook.busiest, share);
        // What an unbraked guest did not work it did not want to.
        const double work = share < 1 && worked_s > 0 && rate < busy ? worked_s : rate * wall_s;
        out.lost_s += std::max(0.0, busy * wall_s - work);
    };
    for (std::size_t i = 1; i < last.passes.size(); ++i) {
        const Pass& pass = last.passes[i];
        charge(to_seconds(pass.began - last.passes[i - 1].began), pass.share.ratio, to_seconds(pass.worked));
    }
    const double share = move.decisions.back().decision.share.value_or(last.share).ratio;
    out.copied_until_s = to_seconds(last.elapsed);
    charge(std::max(0.0, stopped_s - out.copied_until_s), share, 0);
    for (const RecordedDecision& one : move.decisions) {
        out.lowest_share = std::min(out.lowest_share, one.view.share.ratio);
        if (!one.decision.share) continue;
        out.lowest_share =
            std::min(out.lowest_share, std::max(one.decision.share->ratio, one.view.brake.shares.front()));
    }
    return out;
}

}  // namespace segue

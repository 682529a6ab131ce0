#include "app/sim/study/families.hpp"

#include <algorithm>
#include <cmath>

namespace segue::study {
namespace {

using sim::Rng;

double log_between(Rng& rng, double low, double high) {
    return low * std::pow(high / low, rng.unit());
}

/// What the families are cut from.
struct Cloth {
    double memory = 0;  ///< Bytes.
    double hot = 0;     ///< Bytes that are written often.
    double flow = 0;    ///< Bytes written a second of work, each write counted.
};

PageClass randomly(double bytes, double bytes_per_s) {
    PageClass out;
    out.pages = std::max(1.0, bytes / page_bytes);
    out.rate = {bytes_per_s / page_bytes / out.pages};
    return out;
}

PageClass in_a_ramp(double bytes, double bytes_per_s) {
    PageClass out;
    out.pattern = Pattern::walk;
    out.pages = std::max(1.0, bytes / page_bytes);
    out.rate = {bytes_per_s / page_bytes};
    return out;
}

void uniform(GuestSpec& spec, const Cloth& cloth) {
    spec.family = "uniform";
    spec.classes = {randomly(cloth.memory * spec.nonzero_ratio * 0.9, cloth.flow)};
}

void hot_cold(GuestSpec& spec, const Cloth& cloth) {
    spec.family = "hot-cold";
    spec.classes = {randomly(cloth.hot, cloth.flow),
                    randomly(cloth.memory * spec.nonzero_ratio * 0.4, cloth.flow / 30)};
}

void ramp(GuestSpec& spec, const Cloth& cloth) {
    spec.family = "ramp";
    spec.classes = {in_a_ramp(cloth.hot, cloth.flow)};
}

/// Ranks in groups of a factor two: within a group the rate is nearly the same.
void zipf(GuestSpec& spec, const Cloth& cloth, Rng& rng) {
    spec.family = "zipf";
    const double alpha = 0.7 + 0.6 * rng.unit();
    const double pages = std::min(cloth.hot * 4, cloth.memory * spec.nonzero_ratio * 0.9) / page_bytes;
    double sum = 0;
    for (double rank = 1; rank < pages; rank *= 2) {
        const double count = std::min(rank, pages - rank);
        PageClass group;
        group.pages = count;
        group.rate = {std::pow(rank * 1.5, -alpha)};
        sum += count * group.rate.front();
        spec.classes.push_back(group);
    }
    for (auto& group : spec.classes) group.rate.front() *= cloth.flow / page_bytes / sum;
}

void several_vcpus(GuestSpec& spec, const Cloth& cloth, Rng& rng) {
    spec.family = "vcpus";
    spec.in_model = false;
    const auto count = static_cast<std::size_t>(rng.between(2, 8));
    spec.busy.assign(count, 1.0);
    for (std::size_t i = 0; i < count; ++i) {
        spec.busy[i] = i == 0 ? 1.0 : log_between(rng, 0.02, 1.0);
        // The first is the hottest; each has memory of its own.
        const double part = i == 0 ? 0.6 : 0.4 / static_cast<double>(count);
        PageClass own = randomly(cloth.hot * part, cloth.flow * part);
        own.vcpu = i;
        spec.classes.push_back(own);
    }
}

void phases(GuestSpec& spec, const Cloth& cloth, Rng& rng, double pass_s) {
    spec.family = "phases";
    spec.in_model = false;
    spec.classes = {randomly(cloth.hot, cloth.flow), randomly(cloth.hot * 0.5, cloth.flow * 0.3)};
    const double calm = log_between(rng, 0.02, 0.3);
    for (auto& one : spec.classes) one.rate.push_back(one.rate.front() * calm);
    spec.classes.back().rate = {spec.classes.back().rate.back(), spec.classes.back().rate.front()};
    const double length = log_between(rng, 0.05, 0.6) * pass_s + 1;
    spec.modes = {{length, 1}, {length * log_between(rng, 0.5, 2), 1}};
    spec.modes_on_wall = rng.chance(0.5);
    spec.modes_random = rng.chance(0.5);
}

void bursts(GuestSpec& spec, const Cloth& cloth, Rng& rng) {
    spec.family = "bursts";
    spec.in_model = false;
    spec.classes = {randomly(cloth.hot, cloth.flow)};
    spec.classes.front().rate.push_back(spec.classes.front().rate.front() * log_between(rng, 3, 10));
    spec.modes = {{log_between(rng, 1, 10), 1}, {log_between(rng, 0.1, 1), 1}};
    spec.modes_random = true;
    spec.jitter_sigma = 0.15;
    spec.jitter_tau_s = log_between(rng, 0.3, 10);
}

void trend(GuestSpec& spec, const Cloth& cloth, Rng& rng, double pass_s) {
    spec.family = "trend";
    spec.in_model = false;
    hot_cold(spec, cloth);
    spec.family = "trend";
    spec.trend_per_s = (rng.chance(0.5) ? 1 : -1) * log_between(rng, 0.05, 0.5) / pass_s;
}

void idle_then_busy(GuestSpec& spec, const Cloth& cloth, Rng& rng, double pass_s) {
    spec.family = "idle-then-busy";
    spec.in_model = false;
    spec.classes = {randomly(cloth.hot, cloth.flow)};
    const double length = pass_s * log_between(rng, 0.2, 2) + 1;
    spec.modes = {{length, 0.03}, {length, 1}};
    spec.modes_on_wall = true;
}

void network(GuestSpec& spec, const Cloth& cloth, Rng& rng) {
    spec.family = "network";
    spec.in_model = false;
    Network load;
    load.arrive_per_s = cloth.flow * 0.3;
    load.serve_per_s = load.arrive_per_s / (0.1 + 0.5 * rng.unit());
    load.queue_max = load.arrive_per_s * log_between(rng, 0.05, 2);
    spec.network = load;
    PageClass received = in_a_ramp(cloth.hot, 0);
    received.drive = Drive::network;
    received.rate = {1 / page_bytes};
    spec.classes = {received, randomly(cloth.hot * 0.5, cloth.flow * 0.2)};
    spec.jitter_sigma = 0.1;
    spec.jitter_tau_s = 2;
}

void quiet(GuestSpec& spec, const Cloth& cloth) {
    spec.family = "idle";
    spec.busy = {0.05};
    spec.classes = {randomly(cloth.hot * 0.1, cloth.flow * 0.1)};
}

}  // namespace

GuestSpec draw_guest(Rng rng, double memory_bytes, double rate, const std::vector<Trace>& traces) {
    GuestSpec spec;
    spec.memory_bytes = memory_bytes;
    spec.nonzero_ratio = 0.3 + 0.7 * rng.unit();
    const double pass_s = memory_bytes * spec.nonzero_ratio / rate;
    Cloth cloth;
    cloth.memory = memory_bytes;
    cloth.hot = memory_bytes * spec.nonzero_ratio * log_between(rng, 0.005, 0.6);
    cloth.flow = rate * log_between(rng, 0.03, 12);
    switch (rng.next() % 16) {
        case 0: uniform(spec, cloth); break;
        case 1:
        case 2:
        case 3: hot_cold(spec, cloth); break;
        case 4:
        case 5: ramp(spec, cloth); break;
        case 6:
        case 7: zipf(spec, cloth, rng); break;
        case 8: quiet(spec, cloth); break;
        case 9: several_vcpus(spec, cloth, rng); break;
        case 10: phases(spec, cloth, rng, pass_s); break;
        case 11: bursts(spec, cloth, rng); break;
        case 12: trend(spec, cloth, rng, pass_s); break;
        case 13: idle_then_busy(spec, cloth, rng, pass_s); break;
        case 14: network(spec, cloth, rng); break;
        default: {
            const auto& trace = traces[rng.next() % traces.size()];
            GuestSpec played = guest_of(trace, memory_bytes, 1);
            played.nonzero_ratio = spec.nonzero_ratio;
            // Recorded at some speed on some host: stretched to this link.
            played.classes.front().pages = cloth.hot / page_bytes;
            return played;
        }
    }
    const bool stationary = spec.in_model && rng.chance(0.5);
    if (stationary) {
        spec.jitter_sigma = 0.05;
        spec.jitter_tau_s = log_between(rng, 0.2, 5);
    }
    if (spec.busy.size() == 1 && !spec.network && spec.family != "idle" && rng.chance(0.3)) {
        spec.busy.front() = 0.2 + 0.8 * rng.unit();
    }
    return spec;
}

}  // namespace segue::study

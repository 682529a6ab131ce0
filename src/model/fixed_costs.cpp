#include "model/fixed_costs.hpp"

#include <algorithm>

namespace segue {
namespace {

constexpr std::size_t moves_remembered = 5;

Duration charge(Duration worst, Duration prior) {
    if (worst.count() == 0) return prior;
    return worst + worst / 4 + std::chrono::milliseconds{5};
}

/// The newest is a little less than the worst of five.
Duration expected(Duration charged, Duration prior) {
    if (charged == prior) return prior / 4;
    const Duration worst = (charged - std::chrono::milliseconds{5}) * 4 / 5;
    return std::max<Duration>(worst * 9 / 10, std::chrono::microseconds{500});
}

}  // namespace

FixedCosts charge_for(const std::vector<FixedCosts>& history) {
    FixedCosts worst;
    const auto count = std::min(history.size(), moves_remembered);
    for (std::size_t i = 0; i < count; ++i) {
        worst.stop = std::max(worst.stop, history[i].stop);
        worst.load = std::max(worst.load, history[i].load);
        worst.handover = std::max(worst.handover, history[i].handover);
    }
    return {charge(worst.stop, prior_fixed_costs.stop), charge(worst.load, prior_fixed_costs.load),
            charge(worst.handover, prior_fixed_costs.handover)};
}

FixedCosts expected_costs(const FixedCosts& charged) {
    return {expected(charged.stop, prior_fixed_costs.stop), expected(charged.load, prior_fixed_costs.load),
            expected(charged.handover, prior_fixed_costs.handover)};
}

Duration rollback_reserve(Duration timer_lateness_worst, Duration round_trip_worst, bool own_monitor,
                          Duration seen_worst) {
    using std::chrono::milliseconds;
    // Without a monitor of its own the guardian first asks Segue, then takes its place (guard/rules.hpp: 10 ms,
    // 14 to 36 ms after its deadline measured, beside two busy loops on two CPUs).
    const Duration base = own_monitor ? milliseconds{25} : milliseconds{45};
    const Duration host = 2 * timer_lateness_worst + 2 * round_trip_worst;
    const Duration reserve = std::max<Duration>(base + host, seen_worst + seen_worst / 2);
    return std::clamp<Duration>(reserve, base, milliseconds{100});
}

Duration sync_time(Bytes memory) {
    constexpr double least_s = 0.004;
    constexpr double gib_s = 20e-6;
    return from_seconds(least_s + gib_s * static_cast<double>(memory.count) / (1 << 30));
}

Duration braked_stop_charge(const FixedCosts& costs, Bytes memory) {
    constexpr Duration told_to_stop_max = std::chrono::milliseconds{10};
    return std::max(costs.stop, told_to_stop_max) + sync_time(memory);
}

Bytes pending_budget(Duration max_downtime, Duration reserve, const FixedCosts& costs, ByteRate bandwidth, Bytes tail) {
    // Until the word a rollback must remain possible; after it only the hand-over is left to pay.
    const Duration for_bytes = max_downtime - std::max(reserve, costs.handover) - costs.stop - costs.load;
    if (for_bytes.count() <= 0) return {0};
    return bandwidth * for_bytes - tail;
}

}  // namespace segue

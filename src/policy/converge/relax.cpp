#include "policy/converge/relax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "policy/converge/steer.hpp"
#include "units/bound_ranges.hpp"
#include "units/text.hpp"

namespace segue::converge {
namespace {

constexpr double sure_sigmas = 1.645;
constexpr int halvings = 12;
constexpr std::size_t shares_max = 12;
constexpr double least_share = 0.01;
/// The tick of a kernel at 250 Hz, where no lower share was calibrated: what a quota is enforced by.
constexpr double tick_s = 0.004;
constexpr double stall_margin_s = 0.010;

/// Of a range that ends at `lowest`: what a share of it stalls.
double stall_below(const BrakeRange& range, double share) {
    const auto idle = [](double s) { return 1 / s - 1; };
    const double lowest = range.shares.front();
    const double by_tick = tick_s * idle(share) + stall_margin_s;
    return lowest < 1 ? std::max(by_tick, range.stall_s.front() * idle(share) / idle(lowest)) : by_tick;
}

/// The least x in (low, high] for which `works`, on a logarithmic scale; nothing if even `high` does not.
template <typename Works>
std::optional<double> least(double low, double high, const Works& works) {
    if (!works(high)) return std::nullopt;
    double bad = std::log(low);
    double good = std::log(high);
    for (int i = 0; i < halvings; ++i) {
        const double middle = (bad + good) / 2;
        (works(std::exp(middle)) ? good : bad) = middle;
    }
    return std::exp(good);
}

bool surely_ends(const Hurdle& hurdle) {
    return ends(hurdle, sure_sigmas);
}

Hurdle with_downtime(const Hurdle& hurdle, double max_downtime_s) {
    Hurdle out = hurdle;
    out.max_downtime_s = max_downtime_s;
    const double more = (max_downtime_s - hurdle.max_downtime_s) * hurdle.switch_bandwidth;
    out.budgets = {hurdle.budgets.free + more, hurdle.budgets.braked + more};
    return out;
}

Hurdle with_bandwidth(const Hurdle& hurdle, double times) {
    Hurdle out = hurdle;
    out.bandwidth *= times;
    out.switch_bandwidth *= times;
    out.budgets = {times * hurdle.budgets.free, times * hurdle.budgets.braked};
    return out;
}

std::optional<Relaxation> lower_share(const Hurdle& hurdle) {
    const double lowest = hurdle.brake.shares.front();
    if ((lowest >= 1 && !hurdle.brake.available) || lowest <= least_share) return std::nullopt;
    const auto ends_at = [&](double share) {
        Hurdle lower = hurdle;
        lower.brake = lowered_to(hurdle.brake, share);
        return surely_ends(lower);
    };
    // A lower share dirties less, and stalls longer: the highest that works is looked for.
    for (double share = lowest * 0.9; share >= least_share; share *= 0.9) {
        // Below what min CPU allows a longer stall alone would not do.
        if (hurdle.brake.cut_by_stall && share < hurdle.brake.floor) return std::nullopt;
        if (!ends_at(share)) continue;
        if (!hurdle.brake.cut_by_stall) return Relaxation{"min-cpu", share};
        return Relaxation{"max-stall", lowered_to(hurdle.brake, share).stall_s.front()};
    }
    return std::nullopt;
}

std::string amount(const Relaxation& relaxation) {
    const double value = relaxation.value;
    if (relaxation.bound == "min-cpu") return fmt::format("min-cpu <= {:.0f} %", std::floor(value * 100));
    if (relaxation.bound == "max-bandwidth") {
        return fmt::format("bandwidth >= {}", to_text(ByteRate{static_cast<std::int64_t>(value)}));
    }
    const auto text = to_text(from_seconds(value));
    return fmt::format("{} >= {}", relaxation.bound == "max-downtime" ? "downtime" : relaxation.bound, text);
}

}  // namespace

bool ends(const Hurdle& hurdle, double sigmas) {
    if (hurdle.budgets.most() <= 0) return false;
    const auto ground = ground_of(hurdle.outlook, hurdle.brake, hurdle.budgets, hurdle.bandwidth,
                                  hurdle.switch_bandwidth, shares_max);
    const double factor = std::exp(sigmas * ground.sigma());
    const double left = hurdle.time_left - time_kept(ground);
    if (hurdle.backlog > 0) return stops_within(ground, hurdle.backlog, factor, left);
    const double first_s = hurdle.first_pass / hurdle.bandwidth + ground.overhead_s;
    for (const auto& setting : ground.settings) {
        const double next = std::min(factor * dirtied(ground, setting, first_s), ground.memory);
        if (stops_within(ground, next, factor, left - first_s)) return true;
    }
    return false;
}

Hurdle doubted(const Hurdle& hurdle, double sigmas) {
    Hurdle out = hurdle;
    const auto& sigma = hurdle.outlook.curve_sigma;
    if (std::ranges::none_of(sigma, [](double s) { return s > 0; })) return out;
    auto table = hurdle.outlook.curve.table();
    for (std::size_t i = 0; i < table.size(); ++i) table[i] *= std::exp(sigmas * sigma[i]);
    out.outlook.curve = Curve(table);
    out.outlook.level_sigma = 0;
    return out;
}

BrakeRange lowered_to(const BrakeRange& range, double share) {
    BrakeRange out = range;
    out.shares.insert(out.shares.begin(), share);
    out.stall_s.insert(out.stall_s.begin(), stall_below(range, share));
    return out;
}

double share_of_stall(const BrakeRange& range, double stall_s) {
    double share = range.shares.front();
    while (share > least_share && stall_below(range, share) < stall_s) share *= 0.995;
    return share;
}

double told(double value) {
    if (value <= 0) return value;
    const double unit = std::pow(10.0, std::floor(std::log10(value)) - 1);
    return std::ceil(value / unit - 1e-9) * unit;
}

Hindrance hindrance_of(const Hurdle& hurdle) {
    Hindrance found{"max-downtime", {}};
    auto& out = found.relaxations;
    // A standstill of half of the time that is left is the longest worth naming, and its bytes must fit the timeout.
    const double longest = std::min(to_seconds(bound_range::max_downtime_max),
                                    hurdle.max_downtime_s + std::max(hurdle.time_left, 0.0) / 2);
    const auto downtime = least(hurdle.max_downtime_s, longest,
                                [&](double d) { return surely_ends(with_downtime(hurdle, d)); });
    if (downtime) out.push_back({"max-downtime", told(*downtime)});
    if (const auto share = lower_share(hurdle)) {
        found.bound = share->bound;
        out.push_back(*share);
    }
    const double fastest = static_cast<double>(bound_range::rate_max.per_second) / hurdle.bandwidth;
    if (fastest > 1) {
        const auto times =
            least(1, fastest, [&](double factor) { return surely_ends(with_bandwidth(hurdle, factor)); });
        if (times) out.push_back({"max-bandwidth", told(*times * hurdle.bandwidth)});
    }
    if (out.size() == 1 && out.front().bound == "max-bandwidth") found.bound = "max-bandwidth";
    if (std::isfinite(hurdle.time_left)) {
        Hurdle later = hurdle;
        const double so_far = hurdle.elapsed_s;
        const auto until = least(hurdle.time_left + so_far, to_seconds(bound_range::timeout_max), [&](double timeout) {
            later.time_left = timeout - so_far;
            return surely_ends(later);
        });
        if (until) out.push_back({"timeout", told(*until)});
        later.time_left = std::numeric_limits<double>::infinity();
        if (surely_ends(later)) found.bound = "timeout";
    }
    return found;
}

std::string in_words(const std::vector<Relaxation>& relaxations) {
    std::string out;
    for (const auto& relaxation : relaxations) {
        if (!out.empty()) out += ", or ";
        out += amount(relaxation);
    }
    return out;
}

}  // namespace segue::converge

#include "policy/converge/scene.hpp"

#include <algorithm>
#include <cmath>

namespace segue::converge {
namespace {

constexpr std::size_t shares_max = 6;

/// What the last backlog says about the spell the guest is in, as a logarithm.
double spell_of(const View& view) {
    const auto& last = view.passes.back();
    if (view.passes.size() < 3 || view.outlook.round_phi == 0) return 0;
    const double work = to_seconds(last.worked);
    if (work <= 0 || last.backlog.count <= 0) return 0;
    const double expected = view.outlook.curve.bytes_in(work);
    if (expected <= 0) return 0;
    const double limit = 3 * view.outlook.round_sigma;
    return std::clamp(std::log(static_cast<double>(last.backlog.count) / expected), -limit, limit);
}

}  // namespace

Scene scene_of(const View& view, double bandwidth_now, double faster, double room_s) {
    Scene out;
    out.outlook = view.outlook;
    if (out.outlook.memory.count == 0) out.outlook.memory = view.memory;
    const auto& band = view.outlook.bandwidth_bytes_per_second;
    const double bandwidth = bandwidth_now * faster;
    const double cautious_now = view.bandwidth ? static_cast<double>(view.bandwidth->per_second) : bandwidth_now;
    // What the operator said the blackout has is never taken for more.
    const double cautious = std::max(cautious_now, std::min(cautious_now * faster, bandwidth));
    const auto free = static_cast<double>(view.budget.count);
    const auto braked = static_cast<double>(std::max(view.budget, view.braked_budget).count);
    const double wider = room_s > 0 ? std::max(room_s * cautious - free, 0.0) : 0;
    const Budgets budgets{free + wider, braked + wider};
    out.ground = ground_of(out.outlook, view.brake, budgets, bandwidth, cautious, shares_max);
    out.elapsed_s = to_seconds(view.elapsed);
    out.max_downtime_s = to_seconds(view.max_downtime);
    const auto& last = view.passes.back();
    out.in_first_pass = last.number <= 1;
    out.now.backlog = static_cast<double>(last.backlog.count);
    out.now.gone_s = out.elapsed_s;
    if (view.passes.size() > 1) {
        out.now.before = static_cast<double>(view.passes[view.passes.size() - 2].backlog.count);
    }
    out.now.allowed = view.allowed;
    out.now.share = view.share.ratio;
    out.now.shift = view.outlook.round_phi * spell_of(view);
    if (band.p10 > 0 && band.p50 > 0) out.now.slowness = std::clamp(band.p50 / band.p10, 1.0, 3.0);
    if (band.p90 > 0 && band.p50 > 0) out.fast = std::clamp(band.p90 / band.p50, 1.0, 3.0);
    if (view.timeout) out.now.time_left = to_seconds(*view.timeout - view.elapsed) - time_kept(out.ground);
    if (out.in_first_pass) {
        const double bulk = out.outlook.first_pass.count > 0 ? static_cast<double>(out.outlook.first_pass.count)
                                                             : out.now.backlog;
        out.first_pass = bulk;
        out.first_pass_s = bulk / bandwidth + to_seconds(out.outlook.first_pass_beside) + out.ground.overhead_s;
        // It is asked about again while it is on its way.
        out.first_pass_left_s = std::max(out.first_pass_s - to_seconds(view.elapsed - last.began), 0.0);
    }
    return out;
}

double room_of(const Scene& scene) {
    return scene.ground.unbraked_setting().budget / scene.ground.switch_bandwidth;
}

Hurdle hurdle_of(const Scene& scene, const View& view) {
    Hurdle out;
    out.outlook = scene.outlook;
    out.brake = view.brake;
    out.max_downtime_s = scene.max_downtime_s;
    out.budgets = scene.ground.budgets();
    out.bandwidth = scene.ground.bandwidth;
    out.switch_bandwidth = scene.ground.switch_bandwidth;
    out.backlog = scene.now.backlog;
    out.time_left = scene.now.time_left + time_kept(scene.ground);
    out.elapsed_s = scene.elapsed_s;
    return out;
}

}  // namespace segue::converge

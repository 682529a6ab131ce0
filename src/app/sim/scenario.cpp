#include "app/sim/scenario.hpp"

#include <algorithm>

#include "hypervisor/sim/rng.hpp"

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

void draw_world(Scenario& s, Rng rng) {
    auto& guest = s.plan.guest;
    guest.shape = static_cast<GuestShape>(rng.between(0, 4));
    guest.memory = mebibytes(32 << rng.between(0, 3));
    guest.working_set = mebibytes(rng.between(2, std::max<std::int64_t>(4, guest.memory.count >> 21)));
    guest.rate = mebibytes_per_second(rng.between(1, 60));
    if (rng.chance(0.2)) guest.rate = mebibytes_per_second(rng.between(60, 400));
    guest.zero_share = 0.1 * static_cast<double>(rng.between(0, 8));
    auto& link = s.plan.link;
    link.rate = mebibytes_per_second(rng.between(40, 400));
    link.round_trip = rng.between(microseconds{80}, microseconds{1500});
    link.send_buffer = mebibytes(rng.between(1, 3));
    auto& qemu = s.plan.qemu;
    qemu.native_switchover_bandwidth = rng.chance(0.5);
    qemu.continue_answered_late = rng.chance(0.5);
    qemu.pause = rng.between(microseconds{50}, milliseconds{2});
    qemu.drain_and_flush = rng.between(microseconds{300}, milliseconds{5});
    qemu.device_state = {rng.between(64 * 1024, 1024 * 1024)};
    qemu.load = rng.between(milliseconds{2}, milliseconds{22});
    qemu.dst_cont = rng.between(milliseconds{1}, milliseconds{8});
    qemu.forget = rng.between(milliseconds{5}, milliseconds{200});
    s.plan.guard.own_monitor = rng.chance(0.6);
    s.plan.guard.lateness_worst = rng.between(microseconds{100}, milliseconds{4});
    s.plan.far = rng.chance(0.1);
}

void draw_request(Scenario& s, Rng rng) {
    static constexpr std::array downtimes{150, 200, 300, 500, 1000};
    auto& bounds = s.request.bounds;
    bounds.max_downtime = milliseconds{downtimes[static_cast<std::size_t>(rng.between(0, 4))]};
    if (rng.chance(0.3)) bounds.timeout = milliseconds{rng.between(4000, 20000)};
    const auto link = s.plan.link.rate;
    if (rng.chance(0.5)) bounds.max_bandwidth = scale(link, 0.3 + 0.9 * rng.unit());
    if (rng.chance(0.3)) bounds.switchover_bandwidth = scale(link, 0.4 + 0.5 * rng.unit());
    s.request.forecast = rng.chance(0.3);
}

void draw_fault(Scenario& s, Rng rng) {
    s.fault = static_cast<Fault>(rng.between(0, fault_count - 1));
    s.moment = static_cast<Moment>(rng.between(0, moment_count - 1));
    // A stage that a move need not pass through is made to happen.
    s.hurts_undo = s.moment == Moment::undoing || (s.moment == Moment::closing && rng.chance(0.5));
    s.cancel_first = milliseconds{rng.between(50, 2500)};
    s.which = static_cast<int>(rng.between(0, 2));
    s.effect_happens = rng.chance(0.5);
    if (s.moment == Moment::sampling) s.request.forecast = true;
    if (s.moment >= Moment::stopping && s.moment <= Moment::handing_over) {
        s.plan.guest.rate = std::min(s.plan.guest.rate, mebibytes_per_second(rng.between(1, 20)));
        s.request.bounds.timeout.reset();
    }
    switch (s.moment) {
        case Moment::copying: s.offset = milliseconds{rng.between(0, 2500)}; break;
        case Moment::sampling: s.offset = milliseconds{rng.between(0, 3000)}; break;
        case Moment::any_time: s.offset = milliseconds{rng.between(0, 6000)}; break;
        case Moment::inspecting:
        case Moment::guarding:
        case Moment::preparing: s.offset = rng.between(microseconds{0}, milliseconds{15}); break;
        case Moment::continued: s.offset = rng.between(microseconds{0}, milliseconds{rng.between(0, 80)}); break;
        case Moment::closing:
        case Moment::undoing: s.offset = rng.between(microseconds{0}, milliseconds{rng.between(0, 20)}); break;
        case Moment::stopping:
        case Moment::held:
        case Moment::loaded:
        case Moment::handing_over:
            s.offset = rng.chance(0.4) ? Duration{0} : rng.between(microseconds{0}, milliseconds{4});
            break;
    }
    static constexpr std::array lengths{15, 60, 300, 1200, 6000, 1000000};
    s.length = milliseconds{lengths[static_cast<std::size_t>(rng.between(0, 5))]};
    if (s.fault == Fault::segue_stalled) s.length = std::min<Duration>(s.length, seconds{6});
    if (s.fault == Fault::slow_flush) s.length = milliseconds{rng.between(2000, 3000)};
    if (s.fault == Fault::timeout_short) s.request.bounds.timeout = milliseconds{rng.between(100, 2500)};
}

}  // namespace

Scenario scenario_from(std::uint64_t seed) {
    Scenario s;
    s.seed = seed;
    const Rng rng(seed);
    s.plan.seed = seed;
    s.request.vm = "sim";
    s.request.data_address = {"192.0.2.2", 0};
    draw_world(s, rng.stream("world-plan"));
    draw_request(s, rng.stream("request"));
    draw_fault(s, rng.stream("fault"));
    return s;
}

Scenario plain_scenario(std::uint64_t seed) {
    Scenario s;
    s.seed = seed;
    s.plan.seed = seed;
    s.request.vm = "sim";
    s.request.data_address = {"192.0.2.2", 0};
    s.request.forecast = false;
    s.request.bounds.max_downtime = milliseconds{300};
    return s;
}

std::string_view to_string(Fault fault) noexcept {
    switch (fault) {
        case Fault::none: return "none";
        case Fault::link_collapse: return "link-collapse";
        case Fault::black_hole: return "black-hole";
        case Fault::return_path_lost: return "return-path-lost";
        case Fault::dst_frozen: return "dst-frozen";
        case Fault::dst_dies: return "dst-dies";
        case Fault::src_dies: return "src-dies";
        case Fault::src_monitor_lost: return "src-monitor-lost";
        case Fault::slow_flush: return "slow-flush";
        case Fault::segue_killed: return "segue-killed";
        case Fault::segue_stalled: return "segue-stalled";
        case Fault::guardian_killed: return "guardian-killed";
        case Fault::user_cancel: return "user-cancel";
        case Fault::timeout_short: return "timeout-short";
        case Fault::lost_answer: return "lost-answer";
        case Fault::late_answer: return "late-answer";
        case Fault::cont_refused: return "cont-refused";
    }
    return "unknown";
}

std::string_view to_string(Moment moment) noexcept {
    switch (moment) {
        case Moment::inspecting: return "inspecting";
        case Moment::sampling: return "sampling";
        case Moment::guarding: return "guarding";
        case Moment::preparing: return "preparing";
        case Moment::copying: return "copying";
        case Moment::stopping: return "stopping";
        case Moment::held: return "held";
        case Moment::continued: return "continued";
        case Moment::loaded: return "loaded";
        case Moment::handing_over: return "handing-over";
        case Moment::undoing: return "undoing";
        case Moment::closing: return "closing";
        case Moment::any_time: return "any-time";
    }
    return "unknown";
}

Moment moment_of(MigrationStage stage) noexcept {
    switch (stage) {
        case MigrationStage::inspecting: return Moment::inspecting;
        case MigrationStage::sampling: return Moment::sampling;
        case MigrationStage::guarding: return Moment::guarding;
        case MigrationStage::preparing: return Moment::preparing;
        case MigrationStage::copying: return Moment::copying;
        case MigrationStage::held: return Moment::held;
        case MigrationStage::continued: return Moment::continued;
        case MigrationStage::loaded: return Moment::loaded;
        case MigrationStage::handing_over: return Moment::handing_over;
        case MigrationStage::undoing: return Moment::undoing;
        case MigrationStage::closing: return Moment::closing;
        case MigrationStage::finished: return Moment::any_time;
    }
    return Moment::any_time;
}

}  // namespace segue::sim

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
    s.plan.src_disk.fsync_max = s.plan.dst_disk.fsync_max = rng.between(microseconds{300}, milliseconds{8});
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

/// A quarter of the moves is steered by the controller, with its brake, and half of their guests need it.
void draw_steering(Scenario& s, Rng rng) {
    s.controlled = rng.chance(0.25);
    if (!s.controlled) return;
    s.request.brake = BrakeKind::cgroup;
    s.request.aggression = rng.unit();
    s.request.bounds.min_cpu = {0.02 + 0.2 * rng.unit()};
    if (rng.chance(0.5)) s.plan.guest.rate = scale(s.plan.link.rate, 1 + 4 * rng.unit());
}

/// Faults that last: mostly shorter than a move, sometimes for ever.
Duration draw_length(Fault fault, Rng& rng) {
    static constexpr std::array lengths{15, 60, 300, 1200, 6000, 1000000};
    const Duration length = milliseconds{lengths[static_cast<std::size_t>(rng.between(0, 5))]};
    if (fault == Fault::segue_stalled || fault == Fault::receive_stalled) return std::min<Duration>(length, seconds{6});
    if (fault == Fault::slow_flush) return milliseconds{rng.between(2000, 3000)};
    if (fault == Fault::word_late) return milliseconds{rng.between(200, 900)};
    if (fault == Fault::duplicate_answer) return milliseconds{rng.between(0, 400)};
    return length;
}

Duration draw_offset(Moment moment, Rng& rng) {
    switch (moment) {
        case Moment::copying: return milliseconds{rng.between(0, rng.between(20, 1500))};
        case Moment::sampling: return milliseconds{rng.between(0, rng.between(600, 3000))};  // QEMU 8.2 on: 0.6 s.
        case Moment::any_time: return milliseconds{rng.between(0, rng.between(100, 3000))};
        case Moment::inspecting:
        case Moment::guarding:
        case Moment::preparing: return rng.between(microseconds{0}, milliseconds{15});
        case Moment::continued: return rng.between(microseconds{0}, milliseconds{rng.between(0, 80)});
        case Moment::closing:
        case Moment::undoing: return rng.between(microseconds{0}, milliseconds{rng.between(0, 20)});
        // A guest that Segue stops stands up to 50 ms before QEMU looks.
        case Moment::stopping: return rng.chance(0.4) ? Duration{0} : milliseconds{rng.between(0, rng.between(4, 60))};
        case Moment::held:
        case Moment::loaded:
        case Moment::handing_over:
            return rng.chance(0.4) ? Duration{0} : rng.between(microseconds{0}, milliseconds{4});
        case Moment::step_guarding: case Moment::step_preparing: case Moment::step_migrate: case Moment::step_held:
        case Moment::step_continued: case Moment::step_word: case Moment::step_answered_running:
        case Moment::step_answered_refused: case Moment::step_undoing: case Moment::step_rolled_back:
        case Moment::step_moved: case Moment::step_closed: case Moment::step_dst_prepared:
        case Moment::step_dst_listening: case Moment::step_dst_accepted: case Moment::step_dst_running:
        case Moment::step_dst_refused: case Moment::step_dst_tombstone: break;
    }
    // Before, while and after it is written.
    if (rng.chance(0.4)) return Duration{0};
    return rng.between(microseconds{0}, milliseconds{rng.chance(0.5) ? 1 : 6});
}

/// A stage or step that a move need not pass through is made to happen.
void lead_to(Scenario& s, Rng& rng) {
    const Moment m = s.moment;
    s.hurts_undo = m == Moment::undoing || m == Moment::step_undoing || m == Moment::step_rolled_back ||
                   m == Moment::step_dst_tombstone ||
                   ((m == Moment::closing || m == Moment::step_closed) && rng.chance(0.5));
    s.refuses_word = m == Moment::step_answered_refused || m == Moment::step_dst_refused;
    if (m == Moment::sampling) s.request.forecast = true;
    const bool blackout = m >= Moment::stopping && m <= Moment::handing_over;
    const bool late_step = m >= Moment::step_held && m <= Moment::step_answered_refused;
    const bool whole_move = m == Moment::step_moved || m == Moment::step_dst_accepted ||
                            m == Moment::step_dst_running || m == Moment::step_dst_refused;
    // An undo that comes too late would hurt nothing.
    if (s.hurts_undo) s.plan.guest.rate = std::max(s.plan.guest.rate, mebibytes_per_second(40));
    if (blackout || late_step || whole_move) {
        s.plan.guest.rate = std::min(s.plan.guest.rate, mebibytes_per_second(rng.between(1, 20)));
        s.request.bounds.timeout.reset();
    }
}

void draw_fault(Scenario& s, Cell cell, Rng rng) {
    s.fault = cell.fault;
    s.moment = cell.moment;
    lead_to(s, rng);
    s.cancel_first = milliseconds{rng.between(2, rng.between(20, 500))};
    s.which = static_cast<int>(rng.between(0, rng.between(0, 2)));
    s.effect_happens = rng.chance(0.5);
    s.offset = draw_offset(s.moment, rng);
    s.length = draw_length(s.fault, rng);
    if (s.fault == Fault::timeout_short) s.request.bounds.timeout = milliseconds{rng.between(100, 2500)};
    if (rng.chance(0.1)) s.cancel_on_top = milliseconds{rng.between(0, 1000)};
    s.notice_src = rng.chance(0.7) ? milliseconds{rng.between(0, 5)} : milliseconds{rng.between(0, 5000)};
    s.notice_dst = rng.chance(0.7) ? milliseconds{rng.between(0, 5)} : milliseconds{rng.between(0, 5000)};
    s.recover_early = rng.chance(0.3);
    if (s.plan.guard.own_monitor && rng.chance(0.15)) {
        s.recover_at_once = rng.between(microseconds{0}, milliseconds{rng.between(1, 300)});
    }
    s.lost_for_good = s.fault == Fault::dst_host_lost && rng.chance(0.3);
    if (rng.chance(0.3)) s.recover_killed = rng.between(microseconds{0}, milliseconds{rng.between(1, 800)});
}

/// Most guests that are led to their stop converge by themselves. Of those that are steered by the controller two in
/// three need its brake, so that Segue stops them.
void lead_to_own_stop(Scenario& s, Rng rng) {
    const bool stops = s.moment >= Moment::stopping && s.moment <= Moment::handing_over;
    if (!s.controlled || s.hurts_undo || !stops || !rng.chance(0.67)) return;
    s.plan.guest.rate = scale(s.plan.link.rate, 1 + 2 * rng.unit());
    s.plan.guest.working_set = scale(s.plan.link.rate * s.request.bounds.max_downtime, 1.5 + 2 * rng.unit());
    s.request.bounds.min_cpu = {0.02 + 0.1 * rng.unit()};
}

/// The destination on another host.
void draw_remote(Scenario& s, Rng rng) {
    auto& remote = s.plan.remote;
    remote.used = true;
    remote.by_command = rng.chance(0.5);
    remote.delay = rng.chance(0.7) ? rng.between(microseconds{100}, milliseconds{2})
                                   : rng.between(milliseconds{2}, milliseconds{25});
    remote.clock_offset = milliseconds{rng.between(-900'000, 900'000'000)};
    remote.clock_ppm = static_cast<int>(rng.between(-200, 200));
    s.plan.far = false;
    s.plan.guard.dst_killable = false;
    s.request.remote = true;
    s.request.control_round_trip = remote.delay * 5 / 2 + milliseconds{1};
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
    draw_steering(s, rng.stream("steering"));
    // One cell after the other, in an order that has nothing to do with theirs.
    const auto& cells = reachable_cells();
    const Cell cell = cells[static_cast<std::size_t>(seed * 7919 % cells.size())];
    const bool remote = rng.stream("mode").chance(0.5) || needs_remote(cell.fault) || needs_remote(cell.moment);
    if (remote) draw_remote(s, rng.stream("remote"));
    draw_fault(s, cell, rng.stream("fault"));
    // Drawn last, and by a stream of its own: the other scenarios stay what they are.
    Rng live = rng.stream("live");
    s.request.non_live = !s.controlled && live.chance(0.15);
    auto& timeout = s.request.bounds.timeout;
    if (s.request.non_live && !timeout) timeout = milliseconds{live.between(8000, 36000)};
    lead_to_own_stop(s, rng.stream("own-stop"));
    return s;
}

Scenario pair_from(std::uint64_t seed) {
    Scenario s = scenario_from(seed);
    Rng rng = Rng(seed).stream("second");
    // 0 is `none`. Those of a remote destination are the last.
    const std::size_t last = s.plan.remote.used ? fault_count - 1 : static_cast<std::size_t>(Fault::src_journal_fails);
    s.second = static_cast<Fault>(rng.between(1, static_cast<std::int64_t>(last)));
    s.second_length = draw_length(*s.second, rng);
    s.second_after = rng.between(microseconds{0}, milliseconds{rng.chance(0.5) ? 5 : 3000});
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

}  // namespace segue::sim

#include "brake/cgroup/probe.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <thread>
#include <vector>

#include "brake/cgroup/group.hpp"
#include "io/loop.hpp"

namespace segue {
namespace {

constexpr Duration probe_time = std::chrono::milliseconds{100};
constexpr Share probe_share{0.1};
/// Shorter ones are other processes' doing, and interrupts.
constexpr Duration stall_least = std::chrono::milliseconds{2};
constexpr int ticks_max = 8;

/// The middle one of the times between two stalls; none: 0. Not the longest: the first run of a group, and one on a
/// busy machine now and then, takes two ticks: forecasts made of that were twice the worst stall seen.
Duration spin() {
    std::vector<Duration> runs;
    const Instant begin = now_on_this_host();
    Instant last = begin;
    Instant run_began = begin;
    while (last - begin < probe_time) {
        const Instant now = now_on_this_host();
        if (now - last > stall_least) {
            runs.push_back(last - run_began);
            run_began = now;
        }
        last = now;
    }
    if (runs.size() < 2) return Duration{0};
    std::sort(runs.begin() + 1, runs.end());
    return runs[1 + (runs.size() - 1) / 2];
}

}  // namespace

Duration kernel_tick() {
    // What the coarse clock moves by.
    timespec tick{};
    if (::clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0) return std::chrono::milliseconds{10};
    return std::chrono::seconds{tick.tv_sec} + Duration{tick.tv_nsec};
}

Duration usual_run(const GroupFiles& files, GroupVersion version, const std::string& folder) {
    const Duration tick = kernel_tick();
    if (version != GroupVersion::v1) return tick;
    if (!make_empty_group(files, version, folder)) return tick;
    const Quota quota = quota_for(probe_share, false);
    Duration usual{0};
    const bool set = write_small(folder + "/cpu.cfs_period_us", std::to_string(quota.period_us)) == 0 &&
                     write_small(folder + "/cpu.cfs_quota_us", std::to_string(quota.quota_us)) == 0;
    if (set) {
        std::thread spinning([&] {
            // Inherited from a Segue that runs above everything ordinary: it would spin unheld.
            const sched_param ordinary{};
            if (::sched_setscheduler(0, SCHED_OTHER, &ordinary) != 0) return;
            if (write_small(folder + "/tasks", std::to_string(::gettid())) == 0) usual = spin();
        });
        spinning.join();
    }
    // A thread leaves its group a little after it can be joined; what is left then is removed with the brake.
    static_cast<void>(remove_group(files, version, folder));
    return std::clamp(usual, tick, tick * ticks_max);
}

}  // namespace segue

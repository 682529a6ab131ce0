#include "brake/cgroup/cgroup_brake.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/assert.hpp"
#include "brake/cgroup/probe.hpp"
#include "brake/cgroup/undo.hpp"
#include "io/loop.hpp"

namespace segue {
namespace {

Result<void> check_thread(const VcpuThread& thread, int named) {
    if (!thread.real_time) return {};
    return fail(ErrorKind::conflict,
                fmt::format("vCPU thread {} has a real-time policy, which no quota holds (give it an ordinary one, "
                            "chrt --other --pid 0 {}, or use --brake none)",
                            named, thread.tid));
}

}  // namespace

CgroupBrake::CgroupBrake(std::string name, GroupFiles files) : name_(std::move(name)), files_(std::move(files)) {
    SEGUE_ASSERT(is_our_group("/segue-" + name_ + "-probe"));
}

CgroupBrake::~CgroupBrake() { static_cast<void>(close()); }

Result<BrakeAnswer> CgroupBrake::perform(const BrakeCommand& command) {
    if (const auto* wanted = std::get_if<BrakeOpen>(&command)) return open(*wanted);
    if (const auto* wanted = std::get_if<BrakeWatch>(&command)) return only_watch(*wanted);
    if (std::holds_alternative<BrakeRead>(command)) {
        SEGUE_TRY(sample, read());
        return BrakeAnswer(sample);
    }
    const auto* wanted = std::get_if<BrakeSet>(&command);
    if (auto done = wanted != nullptr ? set(wanted->share) : close(); !done) {
        return std::unexpected(std::move(done).error());
    }
    return BrakeAnswer(BrakeDone{});
}

Result<BrakeAnswer> CgroupBrake::open(const BrakeOpen& command) {
    if (command.vcpu_threads.empty()) {
        return fail(ErrorKind::unsupported, "QEMU names no vCPU threads, so none can be braked (use --brake none)");
    }
    if (command.vcpu_threads.size() > braked_vcpus_max) {
        return fail(ErrorKind::unsupported,
                    fmt::format("the guest has {} vCPUs, and at most {} can be braked (use --brake auto-converge)",
                                command.vcpu_threads.size(), braked_vcpus_max));
    }
    SEGUE_TRY(threads, find_threads(files_, command.pid, command.vcpu_threads));
    const int vcpus = static_cast<int>(threads.size());
    for (std::size_t at = 0; at < threads.size(); ++at) {
        if (auto fits = check_thread(threads[at], command.vcpu_threads[at]); !fits) {
            return std::unexpected(fits.error());
        }
        if (auto fits = check_home(threads[at], vcpus, command.floor); !fits) return std::unexpected(fits.error());
    }
    std::vector<int> tids;
    for (const VcpuThread& thread : threads) tids.push_back(thread.tid);
    watch(command.pid, tids);
    if (command.only_look) {
        std::vector<VcpuGroup> to_be(threads.size());
        for (std::size_t at = 0; at < threads.size(); ++at) {
            to_be[at].thread = threads[at];
            to_be[at].folder = fmt::format("{}/segue-{}-vcpu{}", home_of(threads[at]), name_, at);
        }
        return BrakeAnswer(
            BrakeReady{brake_steps(command.floor, true, kernel_tick()), undo_line("segue-" + name_, to_be)});
    }
    const bool first = groups_.empty();
    if (auto taken = take(command, threads); !taken) {
        if (first) static_cast<void>(close());
        return std::unexpected(taken.error());
    }
    const VcpuGroup& any = groups_.front();
    if (run_.count() == 0) {
        run_ = usual_run(files_, any.thread.version, parent_of(any.folder) + "/segue-" + name_ + "-probe");
    }
    return BrakeAnswer(BrakeReady{brake_steps(floor_, any.burst, run_), undo_line("segue-" + name_, groups_)});
}

Result<BrakeAnswer> CgroupBrake::only_watch(const BrakeWatch& command) {
    if (command.vcpu_threads.empty()) return fail(ErrorKind::unsupported, "QEMU names no vCPU threads");
    if (command.vcpu_threads.size() > braked_vcpus_max) {
        return fail(ErrorKind::unsupported,
                    fmt::format("the guest has {} vCPUs, and the run times of at most {} are read",
                                command.vcpu_threads.size(), braked_vcpus_max));
    }
    SEGUE_TRY(tids, find_tids(files_, command.pid, command.vcpu_threads));
    watch(command.pid, tids);
    return BrakeAnswer(BrakeDone{});
}

/// A thread that stays counts on from when it was first seen.
void CgroupBrake::watch(int pid, const std::vector<int>& tids) {
    pid_ = pid;
    std::vector<Watched> now;
    for (const int tid : tids) {
        const auto known = std::ranges::find(watched_, tid, &Watched::tid);
        now.push_back(known != watched_.end() ? *known : Watched{tid, run_time(files_, pid, tid)});
    }
    watched_ = std::move(now);
}

/// Only what is not ours yet is touched; what is gone goes.
Result<void> CgroupBrake::take(const BrakeOpen& command, const std::vector<VcpuThread>& threads) {
    floor_ = command.floor;
    std::erase_if(groups_, [&](const VcpuGroup& group) {
        const bool stays = std::ranges::find(threads, group.thread.tid, &VcpuThread::tid) != threads.end();
        if (!stays) static_cast<void>(remove_group(files_, group.thread.version, group.folder));
        return !stays;
    });
    for (std::size_t at = 0; at < threads.size(); ++at) {
        const VcpuThread& thread = threads[at];
        const auto ours = [&](const VcpuGroup& group) { return group.thread.tid == thread.tid; };
        if (std::ranges::any_of(groups_, ours)) continue;
        SEGUE_TRY(group, make_group(files_, thread, fmt::format("segue-{}-vcpu{}", name_, made_++)));
        group.named = command.vcpu_threads[at];
        groups_.push_back(std::move(group));
    }
    return set(std::max(share_, floor_));
}

Result<void> CgroupBrake::set(Share share) {
    if (share < floor_) {
        return fail(ErrorKind::invalid, fmt::format("a share of {:.1f} % is below the floor of {:.1f} %",
                                                    share.ratio * 100, floor_.ratio * 100));
    }
    if (groups_.empty() && share < all_of_it) return fail(ErrorKind::conflict, "the brake was not opened");
    Result<void> done;
    for (const VcpuGroup& group : groups_) {
        const auto quota = share < all_of_it ? std::optional(quota_for(share, group.burst)) : std::nullopt;
        // The others all the same: what can be let go of is let go of.
        if (auto written = set_quota(group, quota); !written) done = written;
    }
    if (done) share_ = share;
    return done;
}

Result<BrakeSample> CgroupBrake::read() const {
    BrakeSample sample;
    sample.at = now_on_this_host();
    if (watched_.empty()) return sample;
    bool shown = false;
    sample.worked_least = Duration::max();
    double squares = 0;
    for (const Watched& vcpu : watched_) {
        // A thread that is gone (unplugged, or QEMU ended) shows no more than when it was first seen.
        const RunTime now = run_time(files_, pid_, vcpu.tid);
        shown = shown || now.ran.count() > 0 || vcpu.before.ran.count() > 0;
        const Duration worked = std::max(now.ran - vcpu.before.ran, Duration{0});
        sample.worked += worked;
        sample.worked_least = std::min(sample.worked_least, worked);
        sample.worked_most = std::max(sample.worked_most, worked);
        squares += to_seconds(worked) * to_seconds(worked);
        sample.throttled += std::max(now.kept - vcpu.before.kept, Duration{0});
    }
    // Until one of them has run nobody can tell them from those of a kernel that shows nothing (/proc/PID/schedstat).
    if (!shown) return fail(ErrorKind::unsupported, "the kernel does not show the run times of threads");
    const auto count = static_cast<std::int64_t>(watched_.size());
    sample.worked /= count;
    sample.worked_rms = from_seconds(std::sqrt(squares / static_cast<double>(count)));
    sample.throttled /= count;
    return sample;
}

Result<void> CgroupBrake::close() {
    Result<void> done = set(all_of_it);  // All run free before the first is moved.
    std::set<std::string> homes;
    for (const VcpuGroup& group : groups_) {
        if (auto removed = remove_group(files_, group.thread.version, group.folder); !removed) done = removed;
        static_cast<void>(files_.remove(parent_of(group.folder) + "/segue-" + name_ + "-probe"));
        if (group.enabled_cpu) homes.insert(parent_of(group.folder));
    }
    for (const std::string& home : homes) disable_cpu(home);
    groups_.clear();
    watched_.clear();
    share_ = all_of_it;
    return done;
}

std::vector<HeldGroup> CgroupBrake::held() const {
    std::vector<HeldGroup> list;
    for (const VcpuGroup& group : groups_) {
        list.push_back({group.quota.get(), group.folder_fd.get(), group.thread.version, group.enabled_cpu,
                        group.folder.substr(group.folder.rfind('/') + 1)});
    }
    return list;
}

}  // namespace segue

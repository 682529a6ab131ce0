#include "migration/preflight.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "migration/cpu_features.hpp"
#include "units/text.hpp"

namespace segue {
namespace {

std::string join(const std::vector<std::string>& words) {
    std::string all;
    for (const auto& word : words) all += (all.empty() ? "" : ", ") + word;
    return all;
}

void check_source(const GuestFacts& src, std::vector<Finding>& out) {
    if (src.run_state != RunState::running) {
        out.push_back({fmt::format("source: the guest is not running (its state is {})", src.run_state_word),
                       "start or continue it, or name the monitor of the QEMU that runs it", "source-state"});
    }
    switch (src.migration) {
        case MigrationStatus::none:
        case MigrationStatus::completed:
        case MigrationStatus::failed:
        case MigrationStatus::cancelled: break;
        case MigrationStatus::setup:
        case MigrationStatus::active:
        case MigrationStatus::pre_switchover:
        case MigrationStatus::device:
        case MigrationStatus::cancelling:
        case MigrationStatus::other:
            out.push_back({"source: a migration is under way already", "wait for its end or cancel it first",
                           "migration-under-way"});
    }
    if (!src.missing_features.empty()) {
        out.push_back({fmt::format("source: QEMU {} is too old, it lacks {}", src.version, join(src.missing_features)),
                       "QEMU 4.2 or newer is needed", "qemu-too-old"});
    }
    if (!src.out_of_band) {
        out.push_back({"source: its monitor offers no out-of-band commands, so a stalled blackout could not be ended",
                       "give QEMU a -qmp socket (not a -mon on a serial line)", "no-out-of-band"});
    }
    for (const auto& blocker : src.blockers) {
        out.push_back({"source: QEMU says that this guest cannot be migrated: " + blocker,
                       "remove what blocks it", "blocked"});
    }
}

void check_destination(const GuestFacts& dst, bool remote, std::vector<Finding>& out) {
    if (dst.run_state == RunState::running) {
        out.push_back({"destination: its guest is running, it does not wait for a migration",
                       "start it with -S -incoming defer, or check --dst-qmp", "destination-state"});
    } else if (dst.run_state != RunState::inmigrate) {
        out.push_back(
            {fmt::format("destination: it does not wait for a migration (its state is {})", dst.run_state_word),
             "start it with -S -incoming defer", "destination-state"});
    } else if (dst.migration != MigrationStatus::none) {
        out.push_back({"destination: it listens for, or receives, a migration already",
                       "start it afresh with -S -incoming defer", "destination-state"});
    }
    if (!dst.missing_features.empty()) {
        out.push_back(
            {fmt::format("destination: QEMU {} is too old, it lacks {}", dst.version, join(dst.missing_features)),
             "QEMU 4.2 or newer is needed", "qemu-too-old"});
    }
    if (dst.pid == 0 && !remote) {
        out.push_back(
            {"destination: the process behind --dst-qmp cannot be seen from here, so it could not be ended in a "
             "rollback",
             "run segue in the same pid namespace as that QEMU", "process-unseen"});
    }
}

/// The first few devices that `a` has and `b` lacks, for a message.
std::string lacking(const std::vector<Device>& a, const std::vector<Device>& b) {
    std::vector<Device> missing;
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(missing));
    std::string words;
    for (std::size_t i = 0; i < missing.size() && i < 3; ++i) {
        words += fmt::format("{}{} at {}", words.empty() ? "" : ", ", missing[i].type, missing[i].place);
    }
    if (missing.size() > 3) words += fmt::format(" and {} more", missing.size() - 3);
    return words;
}

/// ",-avx512f,-pku", as -cpu takes it.
std::string without(const std::vector<std::string>& features) {
    std::string words;
    for (const std::string& name : features) words += ",-" + name;
    return words;
}

/// As many as a line holds.
std::string some_of(const std::vector<std::string>& words) {
    constexpr std::ptrdiff_t shown = 12;
    if (std::ssize(words) <= shown) return join(words);
    return fmt::format("{} and {} more", join({words.begin(), words.begin() + shown}), std::ssize(words) - shown);
}

/// QEMU itself loads such a guest, which then uses what is not there.
Finding cpu_features_finding(const GuestFacts& src, const GuestFacts& dst) {
    const CpuDifference difference = compare_cpu_features(src.cpu_features, dst.cpu_features);
    std::vector<std::string> impossible;
    for (const std::string& name : difference.dst_lacks) {
        if (std::ranges::find(dst.cpu_unavailable, name) != dst.cpu_unavailable.end()) impossible.push_back(name);
    }
    std::vector<std::string> what;
    if (!difference.dst_lacks.empty()) {
        what.push_back(fmt::format("the destination lacks {}", some_of(difference.dst_lacks)));
    }
    if (!difference.src_lacks.empty()) {
        what.push_back(fmt::format("the source lacks {}", some_of(difference.src_lacks)));
    }
    what.insert(what.end(), difference.other.begin(), difference.other.end());
    std::string all;
    for (const std::string& one : what) all += (all.empty() ? ": " : "; ") + one;
    std::string sentence = fmt::format("CPU features differ although both are {}{}", src.cpu_type, all);
    if (impossible.empty()) {
        return {std::move(sentence), "name the same -cpu model and flags on both", "cpu-features"};
    }
    sentence += fmt::format("; QEMU {} there was asked for {} and cannot give {}", dst.version, some_of(impossible),
                            impossible.size() == 1 ? "it" : "them");
    return {std::move(sentence),
            fmt::format("move it to a host that can, or start the guest anew with -cpu ...{} and move it then",
                        without(impossible)),
            "cpu-features"};
}

void check_same_machine(const GuestFacts& src, const GuestFacts& dst, std::vector<Finding>& out) {
    const std::string remedy = "start the destination from the same description as the source";
    if (src.machine_type != dst.machine_type) {
        out.push_back({fmt::format("machine type differs: {} on the source, {} on the destination", src.machine_type,
                                   dst.machine_type),
                       "give both -machine with the same versioned name (pc is not the same in every QEMU)",
                       "machine-type"});
    }
    if (src.cpu_type != dst.cpu_type) {
        out.push_back(
            {fmt::format("CPU model differs: {} on the source, {} on the destination", src.cpu_type, dst.cpu_type),
             remedy, "cpu-model"});
    } else if (src.vcpus == dst.vcpus && src.cpu_features != dst.cpu_features) {  // They carry the topology.
        out.push_back(cpu_features_finding(src, dst));
    }
    if (src.vcpus != dst.vcpus) {
        out.push_back(
            {fmt::format("number of vCPUs differs: {} on the source, {} on the destination", src.vcpus, dst.vcpus),
             remedy, "vcpus"});
    }
    if (src.memory != dst.memory) {
        out.push_back({fmt::format("memory differs: {} on the source, {} on the destination ({} and {} bytes)",
                                   to_text(src.memory), to_text(dst.memory), src.memory.count, dst.memory.count),
                       remedy, "memory-size"});
    }
    if (src.devices != dst.devices) {
        const auto on_dst = lacking(src.devices, dst.devices);
        const auto on_src = lacking(dst.devices, src.devices);
        std::string what = "devices differ:";
        if (!on_dst.empty()) what += " the destination lacks " + on_dst;
        if (!on_src.empty()) what += std::string(on_dst.empty() ? "" : ";") + " the source lacks " + on_src;
        out.push_back({what, remedy, "devices"});
    }
}

/// The destination's own brake, where it is asked for.
void check_own_brake(const GuestFacts& src, const GuestFacts& dst, BrakeKind brake, std::vector<Finding>& out) {
    if (brake != BrakeKind::auto_converge) return;
    const std::string remedy = "leave --auto-converge out, or brake with --brake cgroup";
    if (!src.auto_converge) {
        out.push_back({fmt::format("source: QEMU {} has no auto-converge", src.version), remedy, "no-auto-converge"});
    }
    if (!dst.auto_converge) {
        out.push_back(
            {fmt::format("destination: QEMU {} has no auto-converge", dst.version), remedy, "no-auto-converge"});
    }
}

/// A guest may come to use all of its memory at any time, and what its host then lacks is taken from it by force.
void check_free_memory(const GuestFacts& src, const GuestFacts& dst, std::vector<Finding>& certain,
                       std::vector<Finding>& risky) {
    if (dst.host.memory_available.count <= 0 || src.memory != dst.memory) return;
    const Bytes promised = dst.host.memory_promised;
    const Bytes available{std::max<std::int64_t>(dst.host.memory_available.count - promised.count, 0)};
    const auto missing = [&](Bytes needed) {
        return std::max<std::int64_t>(needed.count - dst.host.memory_taken.count, 0);
    };
    const Bytes all{missing(src.memory)};
    if (all <= available) return;
    const Bytes now{missing(std::min(src.resident, src.memory))};
    const std::string others = promised.count == 0 ? std::string()
                                                   : fmt::format(" beside the {} that other guests on their way there "
                                                                 "still need", to_text(promised));
    const std::string_view remedy = promised.count == 0 ? "free memory there, or move it to another host"
                                                        : "wait until those have arrived, or move it to another host";
    if (now > available) {
        certain.push_back({fmt::format("destination: {} of memory are free for this guest{}, and it uses {} now",
                                       to_text(available), others, to_text(now)),
                           std::string(remedy), "memory-free"});
    } else {
        risky.push_back({fmt::format("destination: {} of memory are free for this guest{}, and it may come to use {}",
                                     to_text(available), others, to_text(all)),
                         fmt::format("{}; --unsafe moves it all the same", remedy), "memory-free"});
    }
}

void check_clocks(std::optional<Duration> ahead, std::vector<Finding>& notes) {
    // Below a second the reading itself is as far off.
    if (!ahead || std::chrono::abs(*ahead) < std::chrono::seconds{2}) return;
    notes.push_back({fmt::format("the destination's clock is {} {} the source's", to_text(std::chrono::abs(*ahead)),
                                 ahead->count() > 0 ? "ahead of" : "behind"),
                     "nothing here depends on it; logs of both hosts will not agree", "clocks"});
}

/// Where the guest would come to run and reach nobody: its QEMU starts with any tap.
void check_taps(const GuestFacts& src, const GuestFacts& dst, std::vector<Finding>& risky) {
    const auto carries = [](const Tap& tap) { return tap.carries; };
    const auto needed = std::ranges::count_if(src.host.taps, carries);
    const auto there = std::ranges::count_if(dst.host.taps, carries);
    // None at all: from an older segue, or in a network namespace of its own.
    if (dst.host.taps.empty() || there >= needed) return;
    const Tap& joined = *std::ranges::find_if(src.host.taps, carries);
    for (const Tap& tap : dst.host.taps) {
        if (tap.carries) continue;
        const std::string lacks = tap.bridge.empty()
                                      ? "is joined to nothing"
                                      : fmt::format("is joined to {}, and one of the two is down", tap.bridge);
        risky.push_back({fmt::format("destination: {}, by which the guest would reach its network, {} ({} of the "
                                     "source is joined to {})", tap.name, lacks, joined.name, joined.bridge),
                         "join it there before the move: make it beforehand (ip tuntap add, ip link set NAME master "
                         "BRIDGE up), or give -netdev tap a script= that does; --unsafe moves it all the same",
                         "network-unjoined"});
    }
}

void append(std::vector<Finding>& to, std::vector<Finding> more) {
    std::ranges::move(more, std::back_inserter(to));
}

std::vector<Finding> findings_of(const std::vector<Obstacle>& obstacles) {
    std::vector<Finding> found;
    for (const Obstacle& one : obstacles) found.push_back({"destination: " + one.what, one.remedy, one.code});
    return found;
}

}  // namespace

Preflight preflight(const GuestFacts& src, const GuestFacts& dst, const Request& request,
                    std::optional<Duration> ahead) {
    Preflight all;
    if (!request.remote && src.pid != 0 && src.pid == dst.pid) {
        // Everything else that could be found would only mislead.
        all.findings = {{"source and destination are the same QEMU", "give --dst-qmp the monitor of the waiting one",
                         "same-qemu"}};
        return all;
    }
    std::vector<Finding> risky;
    all.disks = compare_disks(src, dst);
    check_source(src, all.findings);
    check_destination(dst, request.remote, all.findings);
    append(all.findings, findings_of(dst.host.obstacles));
    append(all.findings, disk_findings(all.disks, request.storage_is_shared));
    append(risky, cache_findings(all.disks));
    check_same_machine(src, dst, all.findings);
    check_free_memory(src, dst, all.findings, risky);
    check_taps(src, dst, risky);
    check_own_brake(src, dst, request.brake, all.findings);
    append(request.unsafe ? all.notes : all.findings, std::move(risky));
    check_clocks(ahead, all.notes);
    return all;
}

std::vector<Finding> preflight_without_dst(const std::optional<GuestFacts>& src,
                                           const std::vector<Obstacle>& obstacles) {
    std::vector<Finding> found;
    if (src) check_source(*src, found);
    append(found, findings_of(obstacles));
    return found;
}

void make_non_live(Request& request) {
    // As long as any timeout may be.
    constexpr Duration no_limit = std::chrono::days{30};
    request.bounds.max_downtime = request.bounds.timeout.value_or(no_limit);
    request.bounds.switchover_bandwidth.reset();
    request.brake = BrakeKind::none;
    request.brake_required = false;
    request.forecast = false;
}

Share own_brake_floor(const Bounds& bounds) {
    constexpr double run_s = 0.010;
    return std::max(bounds.min_cpu, Share{run_s / (run_s + to_seconds(bounds.longest_stall()))});
}

FixedCosts switchover_costs(const Request& request) {
    FixedCosts costs = charge_for(request.experience.fixed_costs);
    // The word and its answer cross the control connection once; what was learned may be of a shorter path.
    if (request.remote)
        costs.handover = std::max(costs.handover, request.control_round_trip + prior_fixed_costs.handover);
    return costs;
}

std::vector<Finding> check_bounds(const Request& request, Duration reserve, Duration flush) {
    std::vector<Finding> out;
    const FixedCosts costs = switchover_costs(request);
    const Duration stop = std::max(costs.stop, flush);
    // Room for at least a handful of pages, or no guest that writes at all could ever be moved.
    const Duration least = stop + costs.load + std::max(costs.handover, reserve) + std::chrono::milliseconds{10};
    if (request.bounds.max_downtime < least) {
        const std::string_view option = request.non_live ? "--timeout" : "--max-downtime";
        out.push_back({fmt::format("{} {} cannot hold: stopping takes up to {}, loading {}, handing over "
                                   "{}, and {} are kept for rolling back",
                                   option, to_text(request.bounds.max_downtime), to_text(stop), to_text(costs.load),
                                   to_text(costs.handover), to_text(reserve)),
                       fmt::format("{} >= {} would", option, to_text(least)), "bounds"});
    }
    return out;
}

}  // namespace segue

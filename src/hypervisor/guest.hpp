#pragma once
/// \file  The port to a guest on the source and its twin on the destination. Spoken by migration/,
///        implemented by hypervisor/qemu and hypervisor/sim.
///
/// Rules, which make the engine run in virtual time:
///   1. Nothing blocks and nothing answers from inside `submit`. Answers come later, on the loop thread.
///   2. Every command is answered exactly once: with its value, with the hypervisor's refusal, or with
///      `unavailable`/`timed_out`, after which the truth must be read before anything is decided.
///   3. A driver translates and never decides: no retries, no policy. Settings are absolute targets.
///   4. Quantities are those of units/; what the hypervisor counts otherwise is converted in its driver.
///
/// Facts about QEMU behind the commands: shared research qemu.md sections 1 to 4 (source places there).

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue {

enum class RunState {
    running,
    paused,          ///< Stopped by somebody, or a destination that has loaded and waits.
    inmigrate,       ///< A destination that waits for its stream.
    finish_migrate,  ///< Stopped by the migration itself.
    postmigrate,     ///< Source after `completed`: must never run again unless the word was not sent.
    other,           ///< Anything else (crashed, shut down, io-error, ...): `GuestFacts::run_state_word`.
};

/// Status words of one migration, as QEMU's MigrationStatus.
enum class MigrationStatus {
    none,
    setup,
    active,
    pre_switchover,
    device,
    completed,
    failed,
    cancelling,
    cancelled,
    other,
};

[[nodiscard]] constexpr bool ended_without_move(MigrationStatus s) {
    return s == MigrationStatus::failed || s == MigrationStatus::cancelled;
}

/// A writable disk image, as far as it can be seen from its host.
struct Image {
    std::string node;  ///< The hypervisor's name of it.
    std::string file;  ///< Path on the host; empty when it is no file.
};

/// What stands behind a path, as the host sees it whose process has it open. Compared between hosts, never shown alone.
struct Storage {
    bool seen = false;    ///< False: nothing below says anything.
    bool block = false;   ///< A block device, else a file.
    /// "8:1": of the file's filesystem, or of the block device. It means nothing under another kernel.
    std::string device;
    std::string inode;  ///< In decimal digits; of a file.
    Bytes size;
    std::string filesystem = {};  ///< "nfs4", "ext4"; of a file.
    std::string source = {};      ///< What is mounted there: "filer:/vms", "/dev/sda1"; of a file.
    std::string wwid = {};        ///< What names the block device in the whole world; empty where nothing does.
    friend bool operator==(const Storage&, const Storage&) = default;
};

/// One file, device or address below the guest's disks, backing files included.
struct Disk {
    std::string place;  ///< The same on both sides: "disk0", "disk0, backing file 1", "node b-file".
    std::string file;   ///< Path on its host, or what the hypervisor opened instead ("nbd://filer/vm1").
    bool writable = false;
    bool direct = false;    ///< Past the host's page cache (cache.direct=on).
    bool no_flush = false;  ///< The guest's flushes are ignored (cache=unsafe).
    bool local = false;     ///< The hypervisor opened a file or device of its host, and no network protocol.
    bool flash = false;     ///< Firmware: its content travels with the guest's memory.
    Storage storage = {};
    friend bool operator==(const Disk&, const Disk&) = default;
};

/// What a host says is in the way of this guest there, before anything is changed.
struct Obstacle {
    std::string code;    ///< What kind of thing it is, as `findings[].code` of docs/json-output.md.
    std::string what;    ///< One sentence; whose side it is is said by who shows it.
    std::string remedy;  ///< What to do.
    friend bool operator==(const Obstacle&, const Obstacle&) = default;
};

/// An interface of the host by which the guest's network card reaches the outside.
struct Tap {
    std::string name;
    std::string bridge;      ///< What it is joined to (a bridge, a bond, Open vSwitch); empty: nothing.
    bool carries = false;    ///< It is up, and so is what it is joined to.
    friend bool operator==(const Tap&, const Tap&) = default;
};

/// What the host says of itself. Empty or 0: an older segue, or it cannot be seen.
struct HostFacts {
    std::string boot;         ///< Names one boot of one kernel.
    Bytes memory_available;   ///< What the guest's process may still take, its group's limits included.
    Bytes memory_taken;       ///< Of this guest's memory: what its process has already, huge pages included.
    std::int64_t wall_ms = 0; ///< Since 1970.
    Bytes memory_promised;    ///< Of what is available: what other guests on their way there still need.
    std::vector<Tap> taps = {};  ///< That the guest's process has open, by name.
    std::vector<Obstacle> obstacles = {};
    friend bool operator==(const HostFacts&, const HostFacts&) = default;
};

/// One device of the guest, for comparing both sides: where it sits and what it is.
struct Device {
    std::string place;
    std::string type;
    friend bool operator==(const Device&, const Device&) = default;
    friend auto operator<=>(const Device&, const Device&) = default;
};

/// What one side is and can do. Asked, never guessed from the version.
struct GuestFacts {
    std::string version;  ///< "10.0.13"; shown only.
    std::string name;     ///< -name, or empty.
    std::string uuid;
    RunState run_state = RunState::other;
    std::string run_state_word;  ///< Verbatim.
    MigrationStatus migration = MigrationStatus::none;
    std::string machine_type;  ///< Resolved, for example pc-i440fx-7.2.
    std::string cpu_type;
    std::string cpu_features;  ///< All CPUID words in order; opaque, for comparison.
    std::vector<std::string> cpu_unavailable = {};  ///< Asked for, and not to be had from this hypervisor on this host.
    int vcpus = 0;
    Bytes memory;
    std::vector<Device> devices;  ///< Sorted.
    std::vector<Image> images;
    std::vector<std::string> blockers;          ///< The hypervisor's own words.
    std::vector<std::string> missing_features;  ///< Capabilities that Segue needs and are not there.
    bool native_switchover_bandwidth = false;   ///< avail-switchover-bandwidth exists (8.2+).
    bool out_of_band = false;
    bool hardware_accelerated = false;  ///< KVM; page sampling only, where false.
    int pid = 0;                        ///< 0 where it cannot be seen.
    /// Opaque lines that restore this side's capabilities and parameters; for the guardian.
    std::string put_back_script;
    bool auto_converge = false;  ///< It has this brake of its own.
    bool brief_samples = false;  ///< Dirtying can be sampled over less than a second (QEMU 8.2 and later).
    /// As QEMU names them, in its own pid namespace; empty where it names none. For the brake, on the source.
    std::vector<int> vcpu_threads = {};
    Bytes resident = {};  ///< Memory of its process that is really there; 0 where that cannot be seen.
    std::optional<Bytes> content = {};  ///< RAM that is not zero, of the source at the first look; if it can be seen.
    std::vector<Disk> disks = {};   ///< Everything below them, in the hypervisor's order.
    bool disks_known = false;       ///< False from a segue that does not look at them.
    HostFacts host = {};
};

/// One reading of a migration's counters on the source.
struct SrcProgress {
    MigrationStatus status = MigrationStatus::none;
    Bytes remaining;  ///< Dirty at the last sync and not yet picked for sending.
    Bytes sent;       ///< Bytes that QEMU has handed to the stream.
    Bytes total;
    std::int64_t dirty_syncs = 0;
    std::string error;  ///< Verbatim, when failed.
};

// ---- commands to the source -----------------------------------------------------------------------

struct SrcInspect {};  ///< GuestFacts. Changes nothing.
/// ByteRate: distinct bytes dirtied per second over `interval` (calc-dirty-rate page-sampling). Under 1 s only where
/// GuestFacts::brief_samples says so.
struct SrcSampleDirtying {
    Duration interval;
    Bytes memory;
};
/// Capabilities and parameters for a move that will not stop the guest before it is allowed to.
struct SrcPrepare {
    std::optional<ByteRate> cap;
    /// Let the hypervisor itself brake the guest (QEMU's auto-converge), to this share at the least.
    std::optional<Share> own_brake_floor = {};
};
struct SrcTakeStream {};    ///< Hands it the connected stream.
/// stop: answered when its vCPUs stand and its disks are flushed. Of a move that is not live, and of a braked guest.
struct SrcStop {};
struct SrcStart {};         ///< "Under way", not "done".
struct SrcReadProgress {};  ///< SrcProgress.
/// Go: stop by yourself as soon as at most `budget` is pending. `bandwidth` is what the blackout may use;
/// `cap` bounds the hypervisor's own estimate where it has no native switchover bandwidth.
struct SrcAllowSwitchover {
    Bytes budget;
    ByteRate bandwidth;
    ByteRate cap;
};
struct SrcContinue {};        ///< From pre-switchover on. Its answer may come late.
struct SrcCancel {};          ///< Works until pre-switchover; a no-op once it ended.
struct SrcYank {};            ///< Out of band; works while nothing else is answered.
struct SrcRun {};             ///< cont. Only when the word can never be sent.
struct SrcReadRunState {};    ///< RunState.
struct SrcAwaitForgotten {};  ///< Done once the ended migration is cleaned up.
/// Capabilities and parameters as this connection found them; or, found by an earlier one, by its
/// GuestFacts::put_back_script.
struct SrcPutBack {
    std::string script = {};
};
struct SrcAnnounce {};  ///< Tell the switches that the guest is (still) here.
/// Only once the guest runs elsewhere. Done when its process is seen gone; one that does not quit is killed.
struct SrcEnd {};

using SrcCommand = std::variant<SrcInspect, SrcSampleDirtying, SrcPrepare, SrcTakeStream, SrcStop, SrcStart,
                                SrcReadProgress, SrcAllowSwitchover, SrcContinue, SrcCancel, SrcYank, SrcRun,
                                SrcReadRunState, SrcAwaitForgotten, SrcPutBack, SrcAnnounce, SrcEnd>;

// ---- commands to the destination ------------------------------------------------------------------

struct DataAddress {
    std::string host;
    std::uint16_t port = 0;  ///< 0: the destination picks one.
};

struct DstInspect {};         ///< GuestFacts, or DstObstacles. Changes nothing.
struct DstClearAutostart {};  ///< stop: it must never run before the word.
struct DstPrepare {};         ///< Capabilities.
struct DstListen {
    DataAddress address;
};  ///< DataAddress with the real port. Once in a QEMU's life.
/// Done once the destination's QEMU has the data connection. Where QEMU listens itself, at once.
struct DstAwaitStream {};
struct DstRun {};           ///< The hand-over word.
struct DstReadRunState {};  ///< RunState.
struct DstKill {};          ///< Done when its process is seen dead.
struct DstPutBack {};
struct DstReadTruth {};  ///< DstTruth. For recovery; changes nothing.

using DstCommand = std::variant<DstInspect, DstClearAutostart, DstPrepare, DstListen, DstAwaitStream, DstRun,
                                DstReadRunState, DstKill, DstPutBack, DstReadTruth>;

/// What a destination knows of the word. Where no `segue receive` stands between, only QEMU was asked.
struct DstTruth {
    bool undecided = false;  ///< A word or an abort is being decided just now: ask again.
    bool accepted = false;   ///< A word was accepted, durably. The guest is there, whether it runs or not.
    bool barred = false;     ///< Durably: no word will be accepted any more.
    bool forgotten = false;  ///< It has no record of this move: never had, or lost it.
    bool alive = false;      ///< Its QEMU.
    RunState run_state = RunState::other;  ///< If alive.
};

/// To DstInspect, in place of its facts: nothing was started there, because of these.
struct DstObstacles {
    std::vector<Obstacle> all;
};

struct Done {};
using GuestAnswer =
    std::variant<Done, GuestFacts, SrcProgress, RunState, ByteRate, DataAddress, DstTruth, DstObstacles>;

// ---- notices --------------------------------------------------------------------------------------
// Unasked news. Instants of arrival come with the event that carries the notice.

struct SrcStatusChanged {
    MigrationStatus status = MigrationStatus::other;
};
struct SrcPassBegan {
    std::int64_t pass = 0;
};
struct SrcStopped {};  ///< STOP: its vCPUs stand.
struct SrcResumed {};  ///< RESUME: they run.
struct SrcLost {
    Error error;
};                  ///< Monitor gone. The process may live.
struct SrcDied {};  ///< Process gone: a guest crash unless the destination owns the guest.
struct DstResumed {};
struct DstLost {
    Error error;
};
struct DstDied {};

using GuestNotice = std::variant<SrcStatusChanged, SrcPassBegan, SrcStopped, SrcResumed, SrcLost, SrcDied, DstResumed,
                                 DstLost, DstDied>;

}  // namespace segue

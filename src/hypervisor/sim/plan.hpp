#pragma once
/// \file  What a simulated world is like: guest, link, the two QEMUs, the guardian. Set before the start;
///        the faults of a scenario act on the running world (world.hpp).

#include <cstdint>
#include <optional>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue::sim {

/// How the guest dirties memory over its own run time.
enum class GuestShape { idle, uniform, hot_cold, ramp, phases };

/// Granularity of memory: contents are followed by generation numbers of such chunks.
inline constexpr std::int64_t chunk_bytes = 256 * 1024;

struct GuestPlan {
    GuestShape shape = GuestShape::hot_cold;
    Bytes memory = mebibytes(128);
    Bytes working_set = mebibytes(24);
    ByteRate rate = mebibytes_per_second(20);  ///< Bytes written per second of guest work, not distinct.
    double zero_share = 0.3;                   ///< Of the memory, never written so far.
    double busy = 1;                           ///< Of its time, where nothing holds it back.
};

struct LinkPlan {
    ByteRate rate = mebibytes_per_second(100);
    Duration round_trip = std::chrono::microseconds{300};
    Bytes send_buffer = mebibytes(2);
    Bytes receive_buffer = mebibytes(4);
};

struct QemuPlan {
    bool native_switchover_bandwidth = true;
    bool first_sample_fails = false;      ///< Somebody else is measuring.
    bool continue_answered_late = false;  ///< The answer to migrate-continue loses its race for the lock.
    Duration pause = std::chrono::microseconds{300};         ///< First vCPU stopped to STOP.
    Duration drain_and_flush = std::chrono::milliseconds{1};  ///< STOP to pre-switchover.
    Duration image_flush{0};  ///< Of an image before the stop; 0: 1 to 8 ms.
    Duration sync_silence{0};  ///< After a dirty sync nothing is written for so long.
    ByteRate writes{0};        ///< What its one thread can write at most before the stop; 0: whatever the link takes.
    Bytes device_state = mebibytes(1);
    Duration load = std::chrono::milliseconds{8};  ///< Last byte at the destination to its `completed`.
    Duration dst_cont = std::chrono::milliseconds{2};
    Duration forget = std::chrono::milliseconds{60};  ///< End of the migration to query-yank's forgetting.
};

struct GuardPlan {
    bool starts = true;
    bool own_monitor = true;
    Duration lateness_worst = std::chrono::milliseconds{1};
    bool dst_killable = true;  ///< It holds the destination's pidfd (both on one host).
};

/// A disk as the journal feels it: how long one fsync takes.
struct DiskPlan {
    Duration fsync_min = std::chrono::microseconds{200};
    Duration fsync_max = std::chrono::milliseconds{4};
};

/// The destination on a host of its own, behind `segue receive`.
struct RemotePlan {
    bool used = false;
    bool by_command = false;  ///< Its QEMU is started by `segue receive`; else it waits there already.
    Duration delay = std::chrono::microseconds{300};  ///< Of the control connection, each way.
    Duration clock_offset{0};  ///< Of that host's clock, and how much faster it goes.
    int clock_ppm = 0;
};

/// Faults planted in the world on purpose, to prove that the checks see them. All off in any real run.
enum class Planted {
    none,
    guardian_never_fires,
    word_without_claim,       ///< The claim says yes and the board keeps `open`.
    cancel_instead_of_cut,    ///< Cut and yank do nothing, both send migrate_cancel.
    dst_run_when_held,        ///< The destination is continued at pre-switchover.
    final_sync_left_out,      ///< QEMU forgets what was dirtied since the last sync.
    put_back_left_out,        ///< Settings are said to be restored and are not.
    src_run_after_word,       ///< The source is continued when the answer to the word is late.
    src_ended_early,          ///< The source's QEMU is ended when the word is said, not when it was answered.
    journal_after_act,        ///< Durable steps of the source are written 50 ms after they were said to be.
    accepted_not_durable,     ///< `accepted` is said to be on the disk at once.
    tombstone_not_durable,    ///< The same of the tombstone.
    old_lease_taken,          ///< The destination takes a word on any lease.
    guardian_without_lease,   ///< The destination's guardian knows no deadline.
    recover_guesses_dead,     ///< recover takes a destination that does not answer for dead.
    recover_ignores_accepted, ///< recover does not look at what was accepted.
};

struct BrakePlan {
    bool available = true;  ///< Else it can neither be looked at nor opened.
    bool opens = true;      ///< Else it can only be looked at.
    bool counts = true;     ///< Else the kernel shows nobody how long a thread ran.
    bool loses_watch = false;  ///< Whoever wants to count without a brake gets no answer.
};

struct Plan {
    std::uint64_t seed = 1;
    GuestPlan guest;
    LinkPlan link;
    QemuPlan qemu;
    GuardPlan guard;
    BrakePlan brake;
    DiskPlan src_disk;
    DiskPlan dst_disk;
    RemotePlan remote;
    bool far = false;  ///< The destination's control connection crosses the same link. Not with `remote`.
    Planted planted = Planted::none;
};

}  // namespace segue::sim

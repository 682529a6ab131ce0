#pragma once
/// \file  Which process works on a move, and whether it still lives.

#include <string>

#include "base/result.hpp"
#include "store/journal.hpp"

namespace segue {

/// The kernel's name for this boot of the host; empty where it cannot be read.
[[nodiscard]] std::string boot_id_of_this_host();

/// Now, for a step of the journal.
[[nodiscard]] JournalStamp stamp_now();

/// `refused` where /proc is not mounted: without it nobody could tell later whether this process lives.
[[nodiscard]] Result<MoveOwner> this_process();

/// The process `pid` of this boot, named for ever; `start_ticks` is 0 when there is none.
[[nodiscard]] MoveOwner process_of(std::int64_t pid);

/// When it was started, for ages within this boot; to 10 ms, the kernel's tick.
[[nodiscard]] Instant started_at(const MoveOwner& process);

/// `gone` also when its pid belongs to another process now, or the host was started again. `unknown` when
/// the kernel hides it (hidepid). A zombie is gone: it does nothing any more.
[[nodiscard]] Liveness look_for(const MoveOwner& owner);

}  // namespace segue

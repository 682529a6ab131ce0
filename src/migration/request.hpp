#pragma once
/// \file  What the operator asked for, and how a move can end.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "brake/brake.hpp"
#include "hypervisor/guest.hpp"
#include "model/fixed_costs.hpp"
#include "model/guest_model.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue {

/// The bounds of one move; all hold together. Defaults are DESIGN.md section 1's.
struct Bounds {
    Duration max_downtime = std::chrono::milliseconds{300};
    std::optional<Duration> timeout;               ///< From the first change on either side to the end.
    std::optional<ByteRate> max_bandwidth;         ///< Whole frames, blackout included.
    std::optional<ByteRate> switchover_bandwidth;  ///< What the user knows of the link.
    Share min_cpu = {0.1};                         ///< Of every vCPU, in any 1 s window outside the blackout.
    std::optional<Duration> max_stall = {};        ///< By the brake, at a stretch. None: half of max_downtime.

    [[nodiscard]] Duration longest_stall() const { return max_stall.value_or(max_downtime / 2); }
};

/// What is remembered of this guest from earlier moves.
struct Experience {
    std::vector<FixedCosts> fixed_costs;  ///< Newest first.
    Duration rollback_worst{0};
    GuestMemory guest;
};

struct Request {
    std::string vm;  ///< As the operator named it, for messages.
    Bounds bounds;
    DataAddress data_address;
    bool remote = false;             ///< The destination is reached through `segue receive`.
    Duration control_round_trip{0};  ///< Of that connection, as measured when it was made.
    bool dry_run = false;
    bool storage_is_shared = false;  ///< The operator says so, where it can be neither proven nor disproven.
    bool unsafe = false;             ///< The operator takes what is found risky and not impossible.
    BrakeKind brake = BrakeKind::none;
    bool brake_required = false;  ///< Asked for by name: without it the move is refused, else it goes on without.
    double aggression = 0.5;      ///< View::aggression.
    bool forecast = true;  ///< Sample dirtying for 1 s and 3 s before the start.
    ByteRate zero_scan{0};  ///< How fast the source's host finds zero pages; 0: not known.
    Experience experience;
    /// Stop the guest first, then copy: max_downtime, min_cpu and the brake mean nothing, the timeout is the bound.
    bool non_live = false;
    std::string on_success;  ///< Run here once the guest runs there, before the source's QEMU is ended. Empty: nothing.
};

/// How a move ended. The numbers below 100 are exit statuses and never change.
enum class Outcome {
    moved = 0,
    failed = 1,             ///< The guest runs on the source.
    refused = 2,            ///< Nothing was touched.
    downtime_exceeded = 3,  ///< The bound would break: rolled back, the guest runs on the source.
    timeout = 4,
    cancelled = 5,
    guest_crashed = 9,
    unknown = 10,   ///< Read the truth first.
    planned = 100,  ///< --dry-run found nothing in the way; exit status 0.
};

[[nodiscard]] constexpr int exit_status(Outcome outcome) noexcept {
    return outcome == Outcome::planned ? 0 : static_cast<int>(outcome);
}

[[nodiscard]] std::string_view to_string(Outcome outcome) noexcept;

enum class GuestOn { source, destination, nowhere, unknown };
[[nodiscard]] std::string_view to_string(GuestOn where) noexcept;

/// One thing that is in the way, found before anything was changed.
struct Finding {
    std::string what;    ///< One sentence: the option or side, what is wrong.
    std::string remedy;  ///< What to do.
    std::string code = "other";  ///< What kind of thing it is, for programs; never changes its meaning.
};

struct DowntimeParts {
    Duration stop{0};      ///< Last proof that a vCPU ran to pre-switchover, or to the answer of our own `stop`.
    Duration transfer{0};  ///< To the last byte acknowledged.
    Duration load{0};      ///< To the source's `completed`.
    Duration handover{0};  ///< To the destination's RESUME.
};

/// Everything the result line and its JSON say.
struct Summary {
    Outcome outcome = Outcome::failed;
    GuestOn guest_on = GuestOn::source;
    bool unfinished = false;        ///< `segue recover` has something to do.
    std::string error;              ///< One sentence: what happened, where the guest is, what to do. Empty when moved.
    std::vector<Finding> findings;  ///< When refused.
    bool guest_stopped = false;     ///< Whether it ever stood.
    Duration downtime{0};           ///< Upper bound on the source's clock; zero unless it stopped.
    DowntimeParts parts;            ///< Only when moved.
    Duration total{0};
    Bytes sent;
    std::optional<ByteRate> bandwidth;  ///< Median of the busy windows.
    std::int64_t passes = 0;
    std::optional<Bytes> budget;           ///< The most that was allowed to be pending.
    std::optional<Bytes> pending_at_stop;  ///< Exact, at pre-switchover; of a braked guest some was sent since.
    Duration reserve{0};
    std::optional<FixedCosts> learned;  ///< To be remembered of this guest.
    std::optional<GuestMemory> guest;   ///< The same, of how it dirties memory; of every move that began to copy.
    Share lowest_share;                 ///< The least it was granted.
    Duration rollback{0};               ///< From deciding to RESUME; zero when there was none.
};

}  // namespace segue

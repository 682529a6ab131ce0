#pragma once
/// \file  The port to the journal: what was done, or may have been done, in every move that this host took
///        part in. Written ahead, so that `segue recover` can finish or undo a move whose program died.
///        docs/journal-format.md is the format. To add an implementation, run the contract suite on it
///        (journal_contract_test.hpp).
///
/// Called by `segue`, `segue receive` (through store/sqlite/journal_thread.hpp, off the loop, because a
/// durable call waits for the disk) and app/sim (store/journal_memory.hpp, in virtual time).
/// Thread: any one at a time. Time and process are arguments.
/// Errors: `conflict` when the call is not allowed any more (another process took the move over, it is
/// closed, or an earlier step excludes this one): the caller must stop working on the move. `invalid`:
/// there is no such move, or the detail is none. `refused`: nothing was written (disk full, read only).
/// `unavailable` and `timed_out`: it may be there or not. `corrupt`: the journal is damaged.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "store/journal_steps.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

namespace journal {
/// A detail says how to find a process or a file again, never more.
inline constexpr std::size_t detail_bytes_max = 4096;
/// A move with all retries of `segue recover` needs less than 40; more is a loop.
inline constexpr std::size_t steps_max = 1000;
/// Closed moves that are kept: about 20 MB, years of work for one host.
inline constexpr std::int64_t moves_kept = 10'000;
}  // namespace journal

/// The JOB of the command line: the row number of the move in this host's journal. Never used twice.
enum class JobId : std::int64_t {};

/// The same on both hosts; made at random by the source.
struct MoveId {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend auto operator<=>(const MoveId&, const MoveId&) = default;
};
[[nodiscard]] std::string to_string(MoveId id);               ///< 32 small hex digits.
[[nodiscard]] std::optional<MoveId> parse_move_id(std::string_view text);

/// UTC, to the nanosecond: what people read. Order and ages within one boot come from `since_boot`.
using WallInstant = std::chrono::sys_time<std::chrono::nanoseconds>;

struct JournalStamp {
    WallInstant wall;
    std::string boot_id;  ///< Instants of two boots must not be compared.
    Instant since_boot;
    friend bool operator==(const JournalStamp&, const JournalStamp&) = default;
};

/// The process that works on a move. A pid alone would be taken by another process one day.
struct MoveOwner {
    std::int64_t pid = 0;
    std::uint64_t start_ticks = 0;  ///< Field 22 of /proc/PID/stat.
    std::string boot_id;
    friend bool operator==(const MoveOwner&, const MoveOwner&) = default;
};
enum class Liveness { alive, gone, unknown };

struct MovePlace {
    std::string host;     ///< As people call it; empty where it was not named.
    std::string monitor;  ///< "qmp:PATH", or empty while it is not known.
    friend bool operator==(const MovePlace&, const MovePlace&) = default;
};

/// The bounds of migration/request.hpp, which store/ may not see.
struct MoveBounds {
    Duration max_downtime{0};
    std::optional<Duration> timeout;
    std::optional<ByteRate> max_bandwidth;
    std::optional<ByteRate> switchover_bandwidth;
    friend bool operator==(const MoveBounds&, const MoveBounds&) = default;
};

struct GuestIdentity {
    std::string uuid;  ///< Both empty until the guest was asked.
    std::string name;
    friend bool operator==(const GuestIdentity&, const GuestIdentity&) = default;
};

struct NewMove {
    MoveId id;
    MoveRole role = MoveRole::source;
    std::string vm;  ///< As the operator named it.
    GuestIdentity guest;
    MovePlace src;
    MovePlace dst;
    std::string transport;  ///< The words of --to ("ssh://root@host2", "cmd:..."); empty when both are local.
    MoveBounds bounds;
    MoveOwner owner;
    friend bool operator==(const NewMove&, const NewMove&) = default;
};

struct MoveStep {
    StepKind kind = StepKind::begun;
    JournalStamp at;
    std::string detail = "{}";  ///< A JSON object, at most journal::detail_bytes_max.
    friend bool operator==(const MoveStep&, const MoveStep&) = default;
};

/// How a move ended; words and numbers as in docs/json-output.md.
struct MoveEnding {
    std::string outcome;
    int exit_status = 0;
    std::string guest_on;
    std::string error;  ///< Empty when all is well.
    std::optional<Duration> downtime;  ///< None if the guest never stood.
    Duration total{0};
    Bytes sent;
    friend bool operator==(const MoveEnding&, const MoveEnding&) = default;
};

struct MoveRecord {
    JobId job{};
    NewMove move;  ///< `owner` and `guest` as they are now.
    WallInstant started;
    std::optional<WallInstant> ended;
    std::optional<MoveEnding> ending;  ///< With `ended`.
    std::vector<MoveStep> steps;       ///< In the order in which they were appended; never empty.
    friend bool operator==(const MoveRecord&, const MoveRecord&) = default;
};

/// What a step says besides its number; values are text.
using JournalDetail = std::map<std::string, std::string>;
/// As MoveStep::detail. Values that would make it longer than is allowed are left out, the longest first.
[[nodiscard]] std::string encode_detail(JournalDetail detail);
/// The value of `name` in a MoveStep::detail, if it is there and is text.
[[nodiscard]] std::optional<std::string> detail_text(const std::string& detail, const std::string& name);

enum class Durability {
    /// On the disk when the call returns, with everything before it. One fsync.
    durable,
    /// Survives the end of the process at once and a crash of the host from the next durable call on. For
    /// steps that imply nothing that the guest's monitors do not say as well. No fsync.
    soon,
};

class Journal {
public:
    virtual ~Journal() = default;
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    /// A new move with its first step (`begun`, or `prepared` on the destination). Durable. `conflict` when
    /// this move id is here in this role already.
    [[nodiscard]] virtual Result<JobId> create(const NewMove& move, const MoveStep& first) = 0;
    /// What the guest said of itself. As `Durability::soon`.
    [[nodiscard]] virtual Result<void> identify(JobId job, const MoveOwner& by, const GuestIdentity& guest) = 0;
    /// `by` must own the move. That check, the check of journal_steps.hpp and the writing are one, also
    /// among processes. \pre step.kind is not `closed` and is of the move's role.
    [[nodiscard]] virtual Result<void> append(JobId job, const MoveOwner& by, const MoveStep& step,
                                              Durability durability) = 0;
    /// Appends `closed` with the ending. Durable. Afterwards nothing can be appended.
    [[nodiscard]] virtual Result<void> close(JobId job, const MoveOwner& by, const MoveEnding& ending,
                                             const JournalStamp& at) = 0;
    /// From now on `to` owns the move and nothing of `from` is taken any more. Durable. `conflict` when
    /// `from` does not own it: somebody else was faster. Nobody may act on a move before this succeeded.
    [[nodiscard]] virtual Result<void> take_over(JobId job, const MoveOwner& from, const MoveOwner& to) = 0;

    [[nodiscard]] virtual Result<MoveRecord> load(JobId job) = 0;
    [[nodiscard]] virtual Result<std::optional<MoveRecord>> find(MoveId id, MoveRole role) = 0;
    /// Without a closing step; oldest first.
    [[nodiscard]] virtual Result<std::vector<MoveRecord>> unfinished() = 0;
    /// The last `count`, newest first.
    [[nodiscard]] virtual Result<std::vector<MoveRecord>> latest(std::size_t count) = 0;

protected:
    Journal() = default;
};

/// For implementations: what is wrong with a detail, or nothing.
[[nodiscard]] Result<void> check_detail(const std::string& detail);
/// For implementations: whether `by` may append `next` to a move that stands so. `conflict` or `invalid`.
[[nodiscard]] Result<void> check_append(JobId job, const MoveOwner& owner, const MoveOwner& by,
                                        const std::vector<StepKind>& before, StepKind next);
/// For implementations: the words of their errors.
[[nodiscard]] std::unexpected<Error> no_such_job(JobId job);
[[nodiscard]] std::unexpected<Error> not_the_owner(JobId job, const MoveOwner& owner);
[[nodiscard]] std::unexpected<Error> is_closed(JobId job);
[[nodiscard]] std::unexpected<Error> already_there(JobId job);

}  // namespace segue

#pragma once
/// \file  What goes into the state machine of one migration and what comes out of it.
///
/// `step(event, now)` returns effects in the order in which they must be performed. The shell
/// (app/segue/move/engine.cpp on real parts, app/sim on virtual ones) performs them and feeds the answers
/// back as events. Time is the `now` argument; there is no other.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "brake/brake.hpp"
#include "channel/channel.hpp"
#include "guard/port.hpp"
#include "hypervisor/guest.hpp"
#include "migration/request.hpp"
#include "migration/storage_check.hpp"
#include "model/round_forecast.hpp"
#include "policy/policy.hpp"
#include "store/journal.hpp"

namespace segue {

enum class CommandId : std::uint64_t {};

/// Writes back what the host still holds of these files; answered with `Flushed`. Performed on a thread of its
/// own, never on the loop.
struct FlushImages {
    std::vector<Image> images;
};
struct Flushed {
    Duration took{0};
};

/// A step for the journal of this host (docs/journal-format.md), on a thread of its own. A durable one is
/// answered with `Journaled` once it is on the disk; another has no answer. Steps are written in the order in
/// which they were asked for. An error means: it may be there or not.
struct JournalStep {
    StepKind step{};
    Durability durability = Durability::soon;
    JournalDetail detail = {};
};
struct Journaled {};

/// The operator's `--on-success`, on the source's host: `Done` once it ended with status 0. On a thread of its own.
struct RunOnSuccess {
    std::string command;
    int src_pid = 0;  ///< Of the QEMU that is ended next; 0: not known.
};

using Command = std::variant<SrcCommand, DstCommand, StreamCommand, GuardCommand, BrakeCommand, FlushImages,
                             JournalStep, RunOnSuccess>;
using AnswerValue = std::variant<GuestAnswer, StreamSample, GuardAnswer, BrakeAnswer, Flushed, Journaled>;

/// The `T` in an answer, or null when it holds something else or an error.
template <class T>
[[nodiscard]] const T* answer_as(const Result<AnswerValue>& answer) {
    if (!answer) return nullptr;
    if constexpr (std::is_same_v<T, StreamSample> || std::is_same_v<T, Flushed> || std::is_same_v<T, Journaled>) {
        return std::get_if<T>(&*answer);
    } else if constexpr (std::is_same_v<T, GuardReady> || std::is_same_v<T, GuardClaim>) {
        const auto* guard = std::get_if<GuardAnswer>(&*answer);
        return guard ? std::get_if<T>(guard) : nullptr;
    } else if constexpr (std::is_same_v<T, BrakeReady> || std::is_same_v<T, BrakeSample>) {
        const auto* brake = std::get_if<BrakeAnswer>(&*answer);
        return brake ? std::get_if<T>(brake) : nullptr;
    } else {
        const auto* guest = std::get_if<GuestAnswer>(&*answer);
        return guest ? std::get_if<T>(guest) : nullptr;
    }
}

// ---- effects ---------------------------------------------------------------------------------------

/// Perform `command`; answer within `timeout`, with `timed_out` at the latest. Commands said to have no
/// answer get none.
struct Submit {
    CommandId id{};
    Command command;
    Duration timeout{0};
};

/// For the operator's eyes and the log.
struct ForecastReport {
    bool underway = false;  ///< Told again during pass 1, with a longer sample and the link as it was measured.
    std::vector<DirtySample> samples;
    DirtyCurve curve;
    ByteRate bandwidth;            ///< What it assumes.
    bool bandwidth_known = false;  ///< By cap or by the user; a forecast without it is for nobody.
    Bytes budget;
    RoundForecast rounds;
    // What the policy is told: for the table of `segue plan`.
    Outlook outlook;
    BrakeRange brake;
    Duration reserve{0};
};
/// What the look at both sides found, whether anything is in the way or not.
struct PreflightReport {
    std::vector<DiskVerdict> disks;
    std::vector<Finding> notes;  ///< Worth knowing, and not in the way.
};
struct ProgressReport {
    Duration elapsed{0};
    std::int64_t pass = 0;
    Bytes left;
    Bytes sent;
    std::optional<ByteRate> out;
    std::optional<ByteRate> dirtying;      ///< Distinct bytes per second over the last pass.
    std::optional<Duration> blackout_now;  ///< What a switchover now would cost.
    Duration max_downtime{0};
    std::string_view stage;
    Share share = {};  ///< Granted to each of the guest's vCPUs.
};
struct DecisionReport {
    Duration elapsed{0};
    std::string what;
    std::string because;
};
/// What the policy was shown and what it decided: for the record of this move. Not for people.
struct PolicyReport {
    View view;
    Decision decision;
    std::string policy;
};
struct StageReport {
    Duration elapsed{0};
    std::string_view stage;
};
using Report =
    std::variant<PreflightReport, ForecastReport, ProgressReport, DecisionReport, PolicyReport, StageReport>;

struct Finish {
    Summary summary;
};

using Effect = std::variant<Submit, Report, Finish>;
using Effects = std::vector<Effect>;

// ---- events ----------------------------------------------------------------------------------------

struct Answer {
    CommandId id{};
    Result<AnswerValue> value;
};
struct Tick {};  ///< `wake_at()` has come.
struct CancelRequested {};
using Event = std::variant<Answer, GuestNotice, GuardNotice, Tick, CancelRequested>;

}  // namespace segue

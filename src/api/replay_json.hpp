#pragma once
/// \file  A recorded move played again in virtual time, as values, and as `segue replay --json` prints it: one line of
///        type `replay`, as in docs/json-output.md. Pure.

#include <cstdint>
#include <optional>
#include <string>

namespace segue {

/// One way in which the move went, or would have gone.
struct MoveCost {
    std::string outcome;          ///< Words of `outcome` in docs/json-output.md; `endless` for a move with no end.
    double total_s = 0;
    std::optional<double> downtime_s;  ///< Absent: the guest never stood, or nobody knows.
    double sent_bytes = 0;
    double lost_work_s = 0;       ///< Guest CPU seconds not run that would have been, the standstill included.
    double lowest_share = 1;
};

struct ReplayReport {
    std::int64_t job = 0;
    std::string vm;
    std::string steered_by;
    std::string policy;                ///< That was played.
    std::optional<std::size_t> same;   ///< Recorded moments at which it decides the same; absent: it was shown none.
    std::size_t decisions = 0;
    std::optional<MoveCost> recorded;  ///< As the journal has it; absent where the move is not closed.
    std::optional<MoveCost> replayed;  ///< Absent, like the next, where the record is too short for it.
    std::optional<MoveCost> optimum;
    std::string trouble;               ///< Why they are absent.
};

/// What the virtual move takes for granted, in one line.
inline constexpr const char* replay_assumptions =
    "virtual time; the guest dirties by the curve fitted at the end of the record, without its noise; the link as "
    "measured at each time; the optimum knows both";

/// How much worse than the optimum: absent unless both moved.
struct Regret {
    double lost_work_s = 0;
    double total_s = 0;
};
[[nodiscard]] std::optional<Regret> regret_of(const std::optional<MoveCost>& one, const std::optional<MoveCost>& best);

/// One line, without its newline.
[[nodiscard]] std::string replay_json(const ReplayReport& report);

}  // namespace segue

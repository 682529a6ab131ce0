#pragma once
/// \file  Moves and steps as rows of the journal's tables. Only sqlite_journal.cpp uses it.

#include <vector>

#include "base/result.hpp"
#include "store/journal.hpp"
#include "store/sqlite/sqlite.hpp"

namespace segue::sqlite {

/// What decides whether a process may write to a move.
struct Standing {
    MoveRole role = MoveRole::source;
    MoveOwner owner;
    std::vector<StepKind> steps;
};

[[nodiscard]] Result<JobId> insert_move(Database& database, const NewMove& move, WallInstant started);
/// \param number  Its place in the move, from 1.
[[nodiscard]] Result<void> insert_step(Database& database, JobId job, std::size_t number, const MoveStep& step);
[[nodiscard]] Result<void> write_ending(Database& database, JobId job, const MoveEnding& ending, WallInstant ended);
[[nodiscard]] Result<std::optional<JobId>> find_job(Database& database, MoveId id, MoveRole role);
[[nodiscard]] Result<Standing> read_standing(Database& database, JobId job);
/// \param where  The rest of a SELECT on moves, with at most one parameter.
[[nodiscard]] Result<std::vector<MoveRecord>> read_moves(Database& database, std::string_view where,
                                                         const std::optional<std::int64_t>& parameter);

}  // namespace segue::sqlite

#pragma once
/// \file  The command `segue recover`: chooses the move, takes it over, performs what recovery/ decides.

#include <string>
#include <vector>

#include "app/segue/words/recover_words.hpp"
#include "base/result.hpp"
#include "migration/request.hpp"
#include "store/journal.hpp"

namespace segue {

/// Returns the exit status. \param state_folder  Where the journal is. \param version  Of this program, for
/// the greeting.
[[nodiscard]] int recover(const Recover& wanted, const std::string& state_folder, const std::string& version);

/// The move that is meant, before anything is touched; nothing where none is unfinished. `invalid` or `conflict`,
/// with the next thing to do, where it is not clear which, or where its process lives.
[[nodiscard]] Result<std::optional<MoveRecord>> choose_move(Journal& journal, const Recover& wanted);

/// `invalid` where --fenced and --confirm are not the words of this move.
[[nodiscard]] Result<void> check_fence(const Recover& wanted, const MoveRecord& record);

/// For people, without a newline at the end.
[[nodiscard]] std::string render_recovered(const Summary& summary, const MoveRecord& record);

}  // namespace segue

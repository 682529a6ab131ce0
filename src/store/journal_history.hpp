#pragma once
/// \file  Moves of the journal as `segue history` prints them. Pure.

#include <string>
#include <vector>

#include "store/journal.hpp"

namespace segue {

struct HistoryEntry {
    MoveRecord record;
    /// Of the process that works on it; does not matter for a closed move.
    Liveness owner = Liveness::unknown;
};

/// A table without borders: a header (units in it), then one row a move in the order given, every line ended.
/// Nothing in it can be acted on by a terminal. A move that is not closed shows its last step: "under way" if
/// its process lives, "unfinished" if `segue recover` is needed. A downtime is rounded up.
[[nodiscard]] std::string render_history(const std::vector<HistoryEntry>& entries, bool with_header = true);

/// One line of JSON, without its end, with the rules of docs/json-output.md; the fields are in
/// docs/journal-format.md.
[[nodiscard]] std::string render_history_json(const HistoryEntry& entry);

}  // namespace segue

#pragma once
/// \file  The journal in STATE/journal/journal.db, an SQLite file that all processes of this host share.
///
/// Thread: any one at a time; whoever must not wait for the disk uses journal_thread.hpp. Cost, on the test
/// machine: 0.2 ms for a durable step (one fsync), 0.1 ms for another; see docs/journal-format.md.
/// A writer waits for another process's commit, at most sqlite::busy_max.

#include <memory>
#include <string>

#include "store/journal.hpp"

namespace segue {

/// Below $SEGUE_STATE (store/file/experience_file.hpp has its default).
[[nodiscard]] std::string journal_path(const std::string& state_folder);

/// For everything that moves guests. Makes folder and file; see sqlite/schema.hpp for what it refuses.
[[nodiscard]] Result<std::unique_ptr<Journal>> open_journal(const std::string& path);

/// For `segue history`: changes nothing. Where there is no journal yet: one without moves. Writing calls are
/// answered `refused`.
[[nodiscard]] Result<std::unique_ptr<Journal>> open_journal_read_only(const std::string& path);

}  // namespace segue

#pragma once
/// \file  The journal in STATE/journal/journal.db, an SQLite file that all processes of this host share.
///
/// Thread: any one at a time; whoever must not wait for the disk uses journal_thread.hpp. Cost, on the test
/// machine: a durable call 0.5 ms (one fsync), any other 0.1 ms; docs/journal-format.md has the figures.
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

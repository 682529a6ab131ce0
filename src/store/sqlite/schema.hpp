#pragma once
/// \file  The file of the journal: where it is, who may read it, and its tables through all versions.
///
/// Opening waits for the disk and may take the time of a check of the whole file (45 ms for 10,000 moves):
/// call it before anything is touched, never while a guest stands.

#include <span>
#include <string>

#include "base/result.hpp"
#include "store/sqlite/sqlite.hpp"

namespace segue::sqlite {

/// "Segu": tells the journal from every other SQLite file.
inline constexpr std::int64_t application_id = 0x53656775;

/// What makes version n of version n - 1; the first one begins with an empty file. One that has shipped is
/// never changed: append a new one.
[[nodiscard]] std::span<const char* const> schema_versions();

/// Makes the folder (0700) and the file (0600) where they are missing, takes the rights of group and others
/// off them where they are not, checks the file and brings its tables to the newest version. `unsupported`
/// when a newer Segue wrote it.
[[nodiscard]] Result<Database> open_for_writing(const std::string& path,
                                                std::span<const char* const> versions = schema_versions());

/// Copies the log back into the file once it is large, so that it does not grow for ever. Waits for the disk:
/// call it while no guest stands.
void checkpoint_if_large(Database& database);

/// Changes nothing, not even a lock file where the file system is read-only. \pre The file is there.
[[nodiscard]] Result<Database> open_for_reading(const std::string& path);

}  // namespace segue::sqlite

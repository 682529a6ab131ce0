#pragma once
/// \file  For tests: a folder of its own, and a disk that can be slow, full or broken.

#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "base/folder_test.hpp"
#include "store/sqlite/sqlite_journal.hpp"

namespace segue {

/// What this test program's fdatasync and fsync do (defined in disk_test.cpp; the linker gives ours to
/// SQLite as well).
struct TestDisk {
    std::atomic<int> syncs{0};
    std::atomic<int> sync_milliseconds{0};
    std::atomic<int> sync_error{0};  ///< An errno, or 0.
};
TestDisk& test_disk();

/// While it lives, every write of SQLite fails with ENOSPC.
class FullDisk {
public:
    FullDisk();
    ~FullDisk();
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;
};

/// Holds a state folder, which is not there at first.
class JournalFolder : public TestFolder {
public:
    [[nodiscard]] std::string state() const { return file("state"); }
    [[nodiscard]] std::string journal() const { return journal_path(state()); }
};

/// Fails the test and returns null where it cannot be opened.
inline std::unique_ptr<Journal> opened(const std::string& path) {
    auto journal = open_journal(path);
    EXPECT_TRUE(journal) << to_string(journal.error());
    return journal ? std::move(*journal) : nullptr;
}

}  // namespace segue

#pragma once
/// \file  Memory that guests on their way to this host still need: each `segue receive` says it of its own, for the
///        others to read.
///
/// A file for each, $SEGUE_STATE/receive/MOVE.needs, locked for as long as its process lives: the kernel lets the lock
/// go with it, and what is not locked does not count. Thread: any. Errors: none that a move would wait for; what
/// cannot be written or read counts as nothing.

#include <sys/types.h>

#include <string>

#include "io/fd.hpp"
#include "units/bytes.hpp"

namespace segue {

class MemoryPromise {
public:
    /// \param needs  What the guest may still take. \param pid  Of its QEMU. \param taken  What that has (as in
    /// HostFacts, huge pages included that are not touched yet): what it takes beyond is needed no more.
    MemoryPromise(const std::string& state_folder, const std::string& move, Bytes needs, pid_t pid, Bytes taken);
    ~MemoryPromise();
    MemoryPromise(const MemoryPromise&) = delete;
    MemoryPromise& operator=(const MemoryPromise&) = delete;

private:
    std::string path_;
    Fd file_;
};

/// What the guests of all other living processes still need. \param move  Of the one who asks: not counted.
[[nodiscard]] Bytes promised_to_others(const std::string& state_folder, const std::string& move);

}  // namespace segue

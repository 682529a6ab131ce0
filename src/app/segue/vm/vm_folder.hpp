#pragma once
/// \file  What a host remembers of its VMs: $SEGUE_STATE/vms/NAME, one small file for each fact.
///
///   vm.toml       the description as it was used       uuid           what the guest keeps for ever
///   process.json  its QEMU: pid, start time, boot      qemu.log       what QEMU said
///   moved.json    it was moved away: where, when, by which job
///   arriving.json it is on its way here (vm_arrival.hpp)
///   control.qmp, guard.qmp, spare.qmp  the monitors
///
/// Every file is replaced whole. Who starts a VM, or lets one arrive, holds the lock beside the folder.
/// Thread: any; every call waits for the disk. Errors: `refused` with the kernel's words, `corrupt` where a file
/// cannot be understood: then nothing is started on a guess.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "io/fd.hpp"
#include "store/journal.hpp"

namespace segue {

struct VmMoved {
    std::string host;
    std::int64_t job = 0;
    std::string at;  ///< RFC 3339, UTC.
};

struct VmArriving {
    std::string move;  ///< 32 hex digits.
    std::string from;
    std::string at;
    bool fresh = false;  ///< There was no such folder before.
};

struct VmRecord {
    std::string name;
    std::string folder;
    bool exists = false;
    std::optional<std::string> text;  ///< vm.toml
    std::string uuid;
    std::optional<MoveOwner> process;
    std::optional<VmMoved> moved;
    std::optional<VmArriving> arriving;
};

[[nodiscard]] std::string vm_folder(const std::string& state_folder, const std::string& name);
/// Sorted; those that have a folder.
[[nodiscard]] std::vector<std::string> vm_names(const std::string& state_folder);
/// Where there is no such folder, a record that says so.
[[nodiscard]] Result<VmRecord> load_vm(const std::string& state_folder, const std::string& name);
/// Whether its QEMU lives, as far as can be seen; one that is hidden counts as living.
[[nodiscard]] bool vm_runs(const VmRecord& record);

/// Writes `moved.json`, durably: from then on `segue vm start NAME` refuses. May be repeated. For whoever moves a VM
/// that was named, once its guest runs on `host`. \param at  When it moved.
[[nodiscard]] Result<void> mark_moved(const std::string& state_folder, const std::string& name,
                                      const std::string& host, JobId job, WallInstant at);

[[nodiscard]] Result<void> make_vm_folder(const std::string& folder);
[[nodiscard]] Result<void> write_vm_file(const std::string& folder, std::string_view file, std::string_view text);
[[nodiscard]] Result<void> write_vm_process(const std::string& folder, const MoveOwner& process);
[[nodiscard]] Result<void> write_vm_arriving(const std::string& folder, const VmArriving& arriving);
/// No error where it is not there.
void remove_vm_file(const std::string& folder, std::string_view file);
/// Its monitors' sockets and process.json: of a QEMU that is gone.
void remove_vm_remains(const std::string& folder);
/// Names in the folder are on the disk.
void settle_vm_folder(const std::string& folder);
/// The text of a file of at most 64 KiB; nothing where there is none.
[[nodiscard]] Result<std::optional<std::string>> read_small_file(const std::string& path);

/// "2026-11-21T19:26:26Z"
[[nodiscard]] std::string utc_text(WallInstant at);

/// Held by whoever changes what runs under this name; gone with the process.
class VmLock {
public:
    /// `conflict` when somebody else holds it.
    [[nodiscard]] static Result<VmLock> take(const std::string& state_folder, const std::string& name);
    void release() { file_.reset(); }

private:
    explicit VmLock(Fd file) : file_(std::move(file)) {}
    Fd file_;
};

}  // namespace segue

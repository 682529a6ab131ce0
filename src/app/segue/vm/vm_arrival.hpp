#pragma once
/// \file  A VM that is moved here by its definition: what `segue receive` leaves in $SEGUE_STATE/vms/NAME.
///
/// Until the guest was seen running, everything new stands beside what was there (arriving.json, arriving.toml,
/// arriving.log), so that a move that fails leaves the folder as it was, or no folder.
/// Thread: the loop's; every call waits for the disk, `arrived` for directory operations alone.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "app/segue/vm/vm_folder.hpp"
#include "base/result.hpp"
#include "receive/message.hpp"

namespace segue {

class VmArrival {
public:
    /// `conflict` where a VM of this name runs here or is another one, `invalid` where the definition cannot be used
    /// on this host. \param from  The source, as it calls itself.
    [[nodiscard]] static Result<VmArrival> begin(const std::string& state_folder, const std::string& move,
                                                 const std::string& from, const receive::VmText& vm);
    /// What an earlier session of the move began, if that was by definition.
    [[nodiscard]] static std::optional<VmArrival> find(const std::string& state_folder, const std::string& move);

    [[nodiscard]] const std::vector<std::string>& command() const { return command_; }  ///< Empty after `find`.
    [[nodiscard]] const std::vector<std::string>& environment() const { return environment_; }
    [[nodiscard]] std::string log_path() const { return folder_ + "/arriving.log"; }
    [[nodiscard]] const std::string& name() const { return name_; }

    /// Its QEMU is started.
    [[nodiscard]] Result<void> know_process(pid_t pid);
    /// The guest runs here: it is this host's now.
    void arrived();
    [[nodiscard]] bool has_arrived() const { return arrived_; }
    /// It does not come: all that was made for it is taken away.
    void abandon();

private:
    VmArrival(VmLock lock, std::string name, std::string folder, bool fresh)
        : lock_(std::move(lock)), name_(std::move(name)), folder_(std::move(folder)), fresh_(fresh) {}

    VmLock lock_;
    std::string name_;
    std::string folder_;
    bool fresh_;
    bool arrived_ = false;
    std::vector<std::string> command_;
    std::vector<std::string> environment_;
};

}  // namespace segue

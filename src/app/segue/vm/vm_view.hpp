#pragma once
/// \file  What `segue vm list` and `show` say. Pure: values in, text out.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/segue/vm/vm_folder.hpp"
#include "base/result.hpp"
#include "vm/command_line.hpp"

namespace segue {

/// One VM as this host sees it.
struct VmView {
    std::string name;
    /// running, stopped, moved, arriving, or unknown: it was on its way here, and that it arrived is not known.
    std::string state;
    std::optional<std::int64_t> pid;
    std::optional<VmMoved> moved;
    std::string uuid;  ///< Empty: not drawn yet.
};

/// \param runs  Whether its QEMU lives. \param held  Whether somebody works on it just now.
[[nodiscard]] VmView view_of(const VmRecord& record, bool runs, bool held);

[[nodiscard]] std::string render_vm_list(const std::vector<VmView>& vms);
[[nodiscard]] std::string vm_list_json(const std::vector<VmView>& vms);

/// What `show` adds to the line of the list.
struct VmDetails {
    VmView view;
    std::string file;    ///< Its description.
    std::string folder;  ///< What is remembered of it.
    bool shared_storage = false;
    vm::Limits limits;
    vm::CommandLine command;  ///< On this host.
};
[[nodiscard]] std::string render_vm(const VmDetails& vm);
[[nodiscard]] std::string vm_json(const VmDetails& vm);

}  // namespace segue

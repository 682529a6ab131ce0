#pragma once
/// \file  What `segue migrate` and `segue plan` were asked for. Values only: cli_migrate.hpp reads them,
///        vm_source.hpp and settings_files.hpp fill in what it leaves open.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/segue/words/dst_host.hpp"
#include "app/segue/words/output_words.hpp"
#include "migration/request.hpp"
#include "receive/message.hpp"
#include "settings/settings.hpp"
#include "vm/path_change.hpp"

namespace segue {

/// Of --on-success: a longer one would not fit the detail of a step.
inline constexpr std::size_t on_success_bytes_max = 2048;

/// `segue migrate`. `request.vm` is what the operator typed (NAME or `qmp:PATH`); `request.experience` is empty:
/// it is not known before the guest's identity is.
struct Migrate {
    Request request;
    std::string vm_name;  ///< Of a VM that is known by name; then what follows is filled in by take_named_vm.
    std::optional<receive::VmText> definition;
    vm::Limits given;  ///< What the options say; settings_files.hpp finds the rest.
    std::optional<settings::Level> vm_limits;  ///< Of its description, by take_named_vm.
    /// What holds, and where each is from: by apply_settings. Bounds and data address are in `request` too.
    settings::ResolvedLimits limits;
    std::string src_qmp;
    std::optional<std::string> src_guard_qmp;
    /// Where `--to` leads: the paths and commands of the destination are of that host. Without: of this one.
    std::optional<DstHost> to;
    std::string dst_qmp;                   ///< Empty where `dst_command` starts the destination.
    std::vector<std::string> dst_command;  ///< Only with `to`.
    /// The destination is built from the command line of the QEMU behind `src_qmp`, by command_of_foreign.
    bool foreign = false;
    std::vector<vm::PathChange> path_map;  ///< Only with `foreign`.
    std::uint16_t port_first = 0;          ///< Of the data address, only with `to`; 0: no range.
    std::uint16_t port_last = 0;
    bool plan = false;                     ///< `segue plan`: a dry run that ends with the table.
    std::string policy = "converge";      ///< Steering::policy.
    OutputOptions output;
    /// What was understood where the words alone do not say it ("--timeout 120 means 120 s"); to be shown.
    std::vector<std::string> notes;
};

}  // namespace segue

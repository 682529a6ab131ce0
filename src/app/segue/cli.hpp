#pragma once
/// \file  The command line of `segue`: words in, an invocation or one sentence for the operator out.
///
/// Nothing is opened, resolved or asked here; what is refused here is refused before anything is touched.
/// Thread: any. Errors: `invalid` (exit status 2), whose message names the option, what is wrong with it,
/// what is valid and what to write instead.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "app/segue/config_words.hpp"
#include "app/segue/dst_host.hpp"
#include "app/segue/explain.hpp"
#include "app/segue/jobs.hpp"
#include "app/segue/vm_words.hpp"
#include "base/nearest_word.hpp"
#include "base/result.hpp"
#include "migration/request.hpp"
#include "receive/message.hpp"
#include "settings/settings.hpp"
#include "units/bound_ranges.hpp"
#include "vm/path_change.hpp"

namespace segue {

/// What the options accept, ends included.
namespace cli_range {
using namespace bound_range;
/// The longest path that a unix socket's address can hold, without its closing zero.
inline constexpr std::size_t socket_path_bytes_max = 107;
}  // namespace cli_range

struct OutputOptions {
    bool json = false;
    bool verbose = false;
};

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
    /// The destination is built from the command line of the QEMU behind `src_qmp`, by take_foreign_vm.
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
struct Help { std::string text; };  ///< For standard output; exit status 0.
struct Version {};
struct Receive {};  ///< `segue receive --stdio`.
/// `segue recover`. Both of `fenced` and `confirm`, or neither.
struct Recover {
    std::optional<std::int64_t> job;  ///< None: the only unfinished move.
    std::optional<std::string> fenced;
    std::optional<std::string> confirm;
    OutputOptions output;
};
using Invocation = std::variant<Migrate, Help, Version, Receive, Recover, JobsCommand, VmWords, ExplainJob, ReplayJob,
                                ConfigWords, DoctorWords>;

[[nodiscard]] Result<Invocation> parse_command_line(int argc, const char* const* argv);

/// Every command, in the order of the help.
[[nodiscard]] std::vector<std::string> command_words();
/// What `segue help COMMAND` prints; of no command the overview.
[[nodiscard]] std::string_view help_about(std::string_view command);
/// The long names of the options of `segue migrate`.
[[nodiscard]] std::vector<std::string> migrate_options();

/// Whether these words ask for JSON, valid or not: then even a refused command line ends with a result line.
[[nodiscard]] bool asks_for_json(int argc, const char* const* argv);

/// A data address with its port (0: none) or its range of ports (0: none).
struct DataPlace {
    DataAddress address;
    std::uint16_t port_first = 0;
    std::uint16_t port_last = 0;
};
/// "HOST", "HOST:PORT", "HOST:FIRST-LAST", and the same with "[V6]"; the brackets are taken off.
[[nodiscard]] Result<DataPlace> parse_data_place(std::string_view text);

}  // namespace segue

#pragma once
/// \file  The words of `segue vm`, and what its --help prints.

#include <string>
#include <string_view>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

/// \param arguments  What follows `vm`.
[[nodiscard]] Result<Invocation> parse_vm(const std::vector<std::string>& arguments);

/// start, stop and so on.
[[nodiscard]] std::vector<std::string> vm_verbs();
/// The options of one of them; none where it is not one.
[[nodiscard]] std::vector<std::string> vm_options(std::string_view verb);

inline constexpr std::string_view vm_help_text =
    R"(segue vm: the VMs that this host knows by name, and their definitions.

  segue vm start NAME|FILE.toml   start its QEMU from its description
  segue vm stop NAME              ask the guest to power down, and wait
  segue vm list                   all of them: running, stopped, moved away
  segue vm show NAME|FILE.toml    one, with the command that starts it here
  segue vm check FILE.toml...     everything that is wrong with a description

NAME is described by /etc/segue/vms/NAME.toml ($SEGUE_CONFIG instead of
/etc/segue), or by the move that brought it here; docs/vm-file.md has every
field. What is remembered of it is in $SEGUE_STATE/vms/NAME. Then
segue migrate NAME --to HOST moves it: the other QEMU is started there from
the same description, and this host will not start it again.

  --forget-move           start: although it was moved away. Only when that
                          host is gone for ever, or two copies would run
  --now                   stop: end its QEMU at once, as a power cut would
  --wait TIME             stop: how long the guest may take; default 1min
  --json                  list, show: one JSON object on standard output

$SEGUE_HOST is this host's name for [host."NAME"] and for the journal;
without it the name of the system.

Exit    0 done   1 failed, see the sentence   2 refused, nothing changed
)";

}  // namespace segue

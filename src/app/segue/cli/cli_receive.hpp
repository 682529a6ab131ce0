#pragma once
/// \file  The words of `segue receive`, and what its --help prints.

#include <string>
#include <string_view>
#include <vector>

#include "app/segue/cli/invocation.hpp"
#include "base/result.hpp"

namespace segue {

/// \param arguments  What follows `receive`.
[[nodiscard]] Result<Invocation> parse_receive(const std::vector<std::string>& arguments);

inline constexpr std::string_view receive_help_text =
    R"(segue receive: the other end of a move, on the destination host.

  segue receive --stdio   started by segue migrate --to, seldom by hand: speaks
                          the receive protocol on standard input and output,
                          one JSON object a line; says what it does on standard
                          error

It starts or takes over the destination's QEMU, hands it the guest's memory,
lets it run at the source's word, and ends it when the word does not come.
Its journal is in $SEGUE_STATE, else in /var/lib/segue.

Exit    0 nothing left to do here   1 the move was undone here
        2 refused, nothing changed
)";

}  // namespace segue

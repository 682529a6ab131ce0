#pragma once
/// \file  HOST of `--to`: which command carries the control connection to the destination's `segue receive`.
///
/// Nothing is started or looked up here, and nothing ever goes through a shell on this side.
/// Thread: any. Errors: `invalid`, one sentence that says what to write instead.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace segue {

struct DstHost {
    std::string as_written;            ///< "ssh://root@host2"; for messages.
    std::vector<std::string> command;  ///< Program and arguments; its standard streams carry control.
    bool ssh = false;
    std::string name;  ///< Before what it says: ssh's host, or "destination".
};

/// "cmd:WORDS" or "ssh://[USER@]HOST[:PORT]". $SEGUE_SSH holds the words that are started instead of "ssh", as
/// `split_words` reads them: for a key, a known_hosts or a configuration of the operator's choice.
[[nodiscard]] Result<DstHost> parse_dst_host(std::string_view text);

/// Splits as a shell does: blanks, '...', "...", backslashes. What a shell would act on ($, |, ;, ...) must be
/// quoted, because no shell is there to do it. The error has no remedy for a special option: `what` names it.
[[nodiscard]] Result<std::vector<std::string>> split_words(std::string_view what, std::string_view text);

/// `--dst-command`: a JSON array of strings, or words as above.
[[nodiscard]] Result<std::vector<std::string>> parse_dst_command(std::string_view text);

}  // namespace segue

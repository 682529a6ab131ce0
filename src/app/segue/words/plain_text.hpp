#pragma once
/// \file  Text from outside (paths, a hypervisor's words) as it may be shown on a terminal.

#include <string>
#include <string_view>

namespace segue {

/// Every byte that a terminal could act on (control characters; C1 ones in UTF-8 too) becomes '?'; other
/// UTF-8 stays.
[[nodiscard]] std::string plain_text(std::string_view text);
/// The same, but newlines stay.
[[nodiscard]] std::string plain_text_lines(std::string_view text);

}  // namespace segue

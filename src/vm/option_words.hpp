#pragma once
/// \file  How QEMU writes the argument of an option: "a,b=c,,d", or an object of JSON. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace segue::vm {

[[nodiscard]] bool is_json_option(std::string_view word);

/// "a,b=c,,d" into "a" and "b=c,,d": two commas stand for one, and stay as they are.
[[nodiscard]] std::vector<std::string> option_pieces(std::string_view word);

/// Of "key=value" pieces, as they stand; or of the outermost object of JSON where the value is text or a number.
[[nodiscard]] std::optional<std::string> option_value(std::string_view word, std::string_view key);

}  // namespace segue::vm

#pragma once
/// \file  Which characters a text of a message may hold. Pure.

#include <cstddef>
#include <string>
#include <string_view>

#include "receive/fields.hpp"

namespace segue::receive {

/// Whether `value` may stand in a message; what is only shown is made so.
[[nodiscard]] bool make_clean(std::string& value, std::size_t bytes_max, Text kind);

/// 32 lower-case hex digits.
[[nodiscard]] bool is_hex128(std::string_view text);

}  // namespace segue::receive

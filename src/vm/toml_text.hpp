#pragma once
/// \file  TOML text to a table, by toml++, whose complaints and broken assertions become one Problem. Pure.

#include <expected>
#include <stdexcept>
#include <string_view>

namespace segue::vm {

/// toml++ 3.3 asserts on some broken files ("[=]") instead of complaining; such a file must not end this process.
[[noreturn]] void toml_is_broken();

}  // namespace segue::vm

#define TOML_ASSERT(expression) \
    static_cast<void>((expression) || (::segue::vm::toml_is_broken(), false))
#include <toml++/impl/preprocessor.h>
// Its test for blanks runs into this at most letters that are no ASCII, which is undefined; "no blank" is right there.
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return {}
#include <toml++/toml.h>

#include "vm/description.hpp"

namespace segue::vm {

[[nodiscard]] std::expected<toml::table, Problem> parse_toml(std::string_view text);

}  // namespace segue::vm

#pragma once
/// \file  What a policy was shown and what it decided, as lines of JSON: the record of a migration's decisions. Read
///        back and shown again, the same policy decides the same, bit for bit (docs/json-output.md, "Decisions").
///
/// A line holds "view" or "decision" as its type. Times are whole nanoseconds, amounts whole bytes; numbers with a
/// fraction are strings of the shortest decimal that gives the same double again, since readers of JSON may round.
/// Unknown fields are ignored, missing and mistyped ones are an error.
/// Pure. Errors: `corrupt`, naming the field, never the peer's bytes. Cost: about 0.1 ms a view.

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "policy/policy.hpp"

namespace segue::decision {

inline constexpr std::size_t line_bytes_max = 256 * 1024;
inline constexpr std::size_t list_max = 1024;  ///< Passes, shares.

/// One line, without its newline. \pre every number is finite or infinite, none is NaN.
[[nodiscard]] std::string encode(const View& view);
[[nodiscard]] std::string encode(const Decision& decision);
[[nodiscard]] std::string encode(const Outlook& outlook);

[[nodiscard]] Result<View> parse_view(std::string_view line);
[[nodiscard]] Result<Decision> parse_decision(std::string_view line);
[[nodiscard]] Result<Outlook> parse_outlook(std::string_view line);

}  // namespace segue::decision

#pragma once
/// \file  Values of a line of JSON, written as docs/json-output.md says. For whatever prints lines of JSON.
///
/// Pure. Errors: none; text that is not UTF-8 is repaired with U+FFFD.

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue::json_line {

namespace json = boost::json;

[[nodiscard]] json::value text_value(std::string_view text);
[[nodiscard]] json::value text_or_null(std::string_view text);
[[nodiscard]] json::value seconds(Duration duration);
[[nodiscard]] json::value seconds(const std::optional<Duration>& duration);
[[nodiscard]] json::value amount(const std::optional<Bytes>& bytes);
[[nodiscard]] json::value rate(const std::optional<ByteRate>& value);
/// Numbers as people write them: 0.212, not 2.12E-1. Without a newline.
[[nodiscard]] std::string line_of(const json::object& object);

}  // namespace segue::json_line

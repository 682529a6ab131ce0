#pragma once
/// \file  What `--json` prints: one JSON object per report and one for the result. docs/json-output.md
///        says what every field means, docs/json-output.schema.json what its type is; a test holds the
///        three together.
///
/// Every field of a type is always there, null where there is nothing to say. Times are in seconds, data
/// in bytes, whatever the command line used. The words of outcome, guest_on and stage are migration/words.cpp's.
/// Pure. Errors: none; text that is not UTF-8 is repaired with U+FFFD.

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "migration/event.hpp"
#include "migration/request.hpp"

namespace segue {

/// The `schema` field: counts up only when a field changes its meaning or goes.
inline constexpr int json_schema_version = 1;

/// What every line or the result line repeats of the request.
struct JsonContext {
    std::string vm;  ///< Empty where the command line did not get that far: null.
    Bounds bounds;
    bool dry_run = false;
    std::optional<std::int64_t> job = {};  ///< Its number in the journal; a dry run has none.
};

/// One line, without its newline.
[[nodiscard]] std::string report_json(const Report& report, const JsonContext& context);
[[nodiscard]] std::string result_json(const Summary& summary, const JsonContext& context);
/// The result line of a command line that was refused, or of a start that failed before anything began.
[[nodiscard]] std::string refusal_json(const Error& error, const JsonContext& context);

}  // namespace segue

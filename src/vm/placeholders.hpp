#pragma once
/// \file  Finding and filling `{key}` in a text. Pure, any thread.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace segue::vm {

/// The text with every `{key}` replaced by what `value_of` gives; what it does not know is left out and was told to
/// it. `{{key}}` becomes `{key}`.
[[nodiscard]] std::string fill(std::string_view text,
                               const std::function<std::optional<std::string>(std::string_view key)>& value_of);

/// A letter, then letters, digits, - and _ .
[[nodiscard]] bool is_key(std::string_view text);

}  // namespace segue::vm

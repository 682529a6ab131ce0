#pragma once
/// \file  "Did you mean ...?" for a word that is not known. Thread: any. Cost: a few hundred steps a word.

#include <string>
#include <string_view>
#include <vector>

namespace segue {

/// The closest of `known` to a misspelt word, or empty when none is close.
[[nodiscard]] std::string_view nearest_word(std::string_view word, const std::vector<std::string>& known);
/// What it returns is one of `known`, which must outlive it.
std::string_view nearest_word(std::string_view word, std::vector<std::string>&& known) = delete;

}  // namespace segue

#include "receive/message.hpp"

#include <algorithm>

#include "receive/fields.hpp"

namespace segue::receive {

std::string_view to_string(Stage stage) noexcept {
    const auto place = std::ranges::find(stage_words, stage, &WordOf<Stage>::value);
    return place == stage_words.end() ? std::string_view{"?"} : place->word;
}

std::optional<int> common_version(const Hello& ours, const Hello& theirs) noexcept {
    const int highest = std::min(ours.versions_max, theirs.versions_max);
    const int lowest = std::max(ours.versions_min, theirs.versions_min);
    return highest >= lowest ? std::optional(highest) : std::nullopt;
}

}  // namespace segue::receive

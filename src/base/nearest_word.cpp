#include "base/nearest_word.hpp"

#include <algorithm>
#include <numeric>

namespace segue {
namespace {

/// Edits (a letter more, less or other, or two neighbours swapped) from one word to the other.
std::size_t edits_between(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> now(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, replaced});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) now[j] = std::min(now[j], before[j - 2] + 1);
        }
        std::swap(before, last);
        std::swap(last, now);
    }
    return last[b.size()];
}

}  // namespace

std::string_view nearest_word(std::string_view word, const std::vector<std::string>& known) {
    constexpr std::size_t word_bytes_max = 64;
    if (word.size() > word_bytes_max) return {};
    const auto letters = [](std::string_view text) {
        return text.substr(std::min(text.find_first_not_of('-'), text.size()));
    };
    std::string_view best;
    std::size_t best_edits = 0;
    for (const std::string& candidate : known) {
        const std::size_t length = letters(candidate).size();
        const std::size_t edits = edits_between(letters(word), letters(candidate));
        // A third of the letters may be wrong; a beginning of some length counts as well.
        const bool beginning = letters(word).size() >= 4 && letters(candidate).starts_with(letters(word));
        const bool close = edits <= std::max<std::size_t>(1, length / 3) || beginning;
        if (close && (best.empty() || edits < best_edits)) {
            best = candidate;
            best_edits = edits;
        }
    }
    return best;
}

}  // namespace segue

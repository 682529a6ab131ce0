#include "app/segue/words/plain_text.hpp"

#include <algorithm>

namespace segue {

std::string plain_text(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
        if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F: some terminals obey them.
            result += '?';
            ++i;
        } else {
            result += (byte < 0x20 || byte == 0x7f) ? '?' : text[i];
        }
    }
    return result;
}

std::string plain_text_lines(std::string_view text) {
    std::string result;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        if (begin > 0) result += '\n';
        result += plain_text(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return result;
}

}  // namespace segue

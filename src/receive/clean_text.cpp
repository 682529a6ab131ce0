#include "receive/clean_text.hpp"

#include <algorithm>

namespace segue::receive {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// Bytes of the well-formed UTF-8 character that begins there; 0 where none does.
std::size_t utf8_length(std::string_view text) {
    const auto at = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const unsigned first = at(0);
    const std::size_t length =
        first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xc0U) != 0x80U) return 0;
    }
    const unsigned second = at(1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool beyond = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
    return overlong || beyond ? 0 : length;
}

/// Makes text well-formed by '?' where that is allowed (what a hypervisor says may be in any encoding).
bool make_utf8(std::string& value, bool may_change) {
    for (std::size_t i = 0; i < value.size();) {
        const std::size_t length = utf8_length(std::string_view(value).substr(i));
        if (length == 0 && !may_change) return false;
        if (length == 0) value[i] = '?';
        i += std::max<std::size_t>(length, 1);
    }
    return true;
}

}  // namespace

bool make_clean(std::string& value, std::size_t bytes_max, Text kind) {
    if (value.size() > bytes_max || !make_utf8(value, kind == Text::shown)) return false;
    switch (kind) {
        case Text::plain: return std::ranges::none_of(value, is_control);
        case Text::shown: std::ranges::replace_if(value, is_control, ' '); return true;
        case Text::lines:
            return std::ranges::none_of(value, [](char c) { return is_control(c) && c != '\n' && c != '\t'; });
    }
    return false;
}

bool is_hex128(std::string_view text) {
    return text.size() == 32 &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace segue::receive

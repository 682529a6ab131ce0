#include "api/json_line.hpp"

#include <fmt/format.h>

namespace segue::json_line {
namespace {

/// How long the sequence of valid UTF-8 at `at` is; 0 where there is none (RFC 3629: no surrogates, nothing
/// overlong, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
        return byte(i) >= low && byte(i) <= high;
    };
    const unsigned first = byte(at);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return follows(at + 1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const bool second = follows(at + 1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
        return second && follows(at + 2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool second = follows(at + 1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
        return second && follows(at + 2) && follows(at + 3) ? 4 : 0;
    }
    return 0;
}

/// As json::serialize, but with numbers as people write them: 0.212, not 2.12E-1.
void append(std::string& out, const json::value& value) {
    if (const auto* object = value.if_object()) {
        char before = '{';
        if (object->empty()) out += before;
        for (const auto& [key, member] : *object) {
            out += before;
            out += json::serialize(json::string(key));
            out += ':';
            append(out, member);
            before = ',';
        }
        out += '}';
    } else if (const auto* array = value.if_array()) {
        out += '[';
        for (std::size_t i = 0; i < array->size(); ++i) {
            if (i > 0) out += ',';
            append(out, (*array)[i]);
        }
        out += ']';
    } else if (const auto* number = value.if_double()) {
        // Times only, all made of whole nanoseconds: nine decimals hold them, and no more is known.
        std::string text = fmt::format("{:.9f}", *number);
        while (text.ends_with('0') && !text.ends_with(".0")) text.pop_back();
        out += text;
    } else {
        out += json::serialize(value);
    }
}

}  // namespace

json::value text_value(std::string_view text) {
    std::string repaired;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = utf8_length(text, i);
        if (length == 0) {
            repaired += "\xef\xbf\xbd";
            ++i;
        } else {
            repaired += text.substr(i, length);
            i += length;
        }
    }
    return json::value(repaired);
}

json::value text_or_null(std::string_view text) { return text.empty() ? json::value(nullptr) : text_value(text); }

json::value seconds(Duration duration) { return to_seconds(duration); }

json::value seconds(const std::optional<Duration>& duration) {
    return duration ? seconds(*duration) : json::value(nullptr);
}

json::value amount(const std::optional<Bytes>& bytes) {
    return bytes ? json::value(bytes->count) : json::value(nullptr);
}

json::value rate(const std::optional<ByteRate>& value) {
    return value ? json::value(value->per_second) : json::value(nullptr);
}

std::string line_of(const json::object& object) {
    std::string out;
    append(out, object);
    return out;
}

}  // namespace segue::json_line

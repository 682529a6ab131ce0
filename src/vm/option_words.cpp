#include "vm/option_words.hpp"

namespace segue::vm {

bool is_json_option(std::string_view word) { return word.starts_with('{'); }

std::vector<std::string> option_pieces(std::string_view word) {
    std::vector<std::string> pieces(1);
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] != ',') {
            pieces.back() += word[i];
        } else if (i + 1 < word.size() && word[i + 1] == ',') {
            pieces.back() += ",,";
            ++i;
        } else {
            pieces.emplace_back();
        }
    }
    return pieces;
}

std::optional<std::string> option_value(std::string_view word, std::string_view key) {
    if (!is_json_option(word)) {
        for (const std::string& piece : option_pieces(word)) {
            if (piece.starts_with(std::string(key) + "=")) return piece.substr(key.size() + 1);
        }
        return std::nullopt;
    }
    int depth = 0;
    std::string last;
    bool is_name = false;  // `last` is followed by a colon.
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] == '"') {
            std::string text;
            for (++i; i < word.size() && word[i] != '"'; ++i) {
                if (word[i] == '\\') ++i;
                if (i < word.size()) text += word[i];
            }
            if (depth == 1 && is_name && last == key) return text;
            last = std::move(text);
            is_name = false;
        } else if (word[i] == ':') {
            is_name = true;
        } else if (word[i] == '{' || word[i] == '[') {
            ++depth;
            is_name = false;
        } else if (word[i] == '}' || word[i] == ']') {
            --depth;
        } else if (word[i] == ',') {
            is_name = false;
        } else if (depth == 1 && is_name && last == key && word[i] != ' ') {
            return std::string(word.substr(i, word.find_first_of(",}", i) - i));
        }
    }
    return std::nullopt;
}

}  // namespace segue::vm

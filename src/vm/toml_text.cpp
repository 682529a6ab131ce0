#include "vm/toml_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace segue::vm {
namespace {

/// Where toml++ gave up without saying where: the first table header that begins with no key. 0: not found.
int broken_header(std::string_view text) {
    constexpr std::string_view blanks = " \t";
    int line = 0;
    while (!text.empty()) {
        ++line;
        const auto end = std::min(text.find('\n'), text.size());
        std::string_view rest = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
        if (!rest.starts_with('[')) continue;
        rest.remove_prefix(std::min(rest.find_first_not_of("[ \t"), rest.size()));
        const char c = rest.empty() ? ' ' : rest.front();
        const bool key = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                         c == '_' || c == '"' || c == '\'';
        if (!key) return line;
    }
    return 0;
}

}  // namespace

std::string shown(std::string_view text) {
    constexpr std::size_t shown_max = 200;
    std::string result(text.substr(0, shown_max));
    std::ranges::replace_if(result, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return result;
}

std::string kind_of(const toml::node& node) {
    switch (node.type()) {
        case toml::node_type::table: return "a table";
        case toml::node_type::array: return "an array";
        case toml::node_type::string: return "a string";
        case toml::node_type::integer:
        case toml::node_type::floating_point: return "a number";
        case toml::node_type::boolean: return "a boolean";
        case toml::node_type::date:
        case toml::node_type::time:
        case toml::node_type::date_time: return "a date or time";
        case toml::node_type::none: break;
    }
    return "nothing";
}

void toml_is_broken() { throw std::logic_error("toml++ lost its way"); }

std::expected<toml::table, Problem> parse_toml(std::string_view text) {
    try {
        return toml::parse(text);
    } catch (const toml::parse_error& error) {
        return std::unexpected(Problem{static_cast<int>(error.source().begin.line),
                                       fmt::format("it is no TOML: {}", error.description()),
                                       static_cast<int>(error.source().begin.column)});
    } catch (const std::logic_error&) {
        return std::unexpected(Problem{broken_header(text), "it is no TOML: between the brackets of a table stands no "
                                                            "name"});
    }
}

}  // namespace segue::vm

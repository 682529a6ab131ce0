#include "units/share_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace segue {
namespace {

constexpr int whole_max = 100;
constexpr std::size_t digits_max = 3;
constexpr int thousandths = 1000;

std::string shown(std::string_view text) {
    std::string result(text.substr(0, 40));
    std::ranges::replace_if(result, [](char c) { return c < ' ' || c > '~' || c == '"'; }, '?');
    return result;
}

bool all_digits(std::string_view text) {
    return !text.empty() && text.size() <= digits_max && text.find_first_not_of("0123456789") == std::string_view::npos;
}

int number_of(std::string_view digits) {
    int value = 0;
    for (const char c : digits) value = value * 10 + (c - '0');
    return value;
}

}  // namespace

Result<Share> parse_share(std::string_view text) {
    const auto wrong = [&](std::string_view why) {
        return fail(ErrorKind::invalid, fmt::format("\"{}\" {}", shown(text), why));
    };
    std::string_view number = text;
    while (!number.empty() && number.back() == ' ') number.remove_suffix(1);
    if (!number.ends_with('%')) return wrong("is no share: write it in percent, for example 20%");
    number.remove_suffix(1);
    while (!number.empty() && number.back() == ' ') number.remove_suffix(1);
    const auto point = number.find('.');
    const std::string_view whole = number.substr(0, point);
    std::string fraction(point == std::string_view::npos ? "0" : number.substr(point + 1));
    if (!all_digits(whole) || !all_digits(fraction)) {
        return wrong("is no share: write a number from 0 to 100 and %, for example 20%");
    }
    fraction.resize(digits_max, '0');
    const int value = number_of(whole) * thousandths + number_of(fraction);
    if (value > whole_max * thousandths) return wrong("is more than all of it: 100% is the most");
    return Share{static_cast<double>(value) / (whole_max * thousandths)};
}

std::string to_text(Share share) {
    std::string text = fmt::format("{:.3f}", share.ratio * whole_max);
    while (text.ends_with('0')) text.pop_back();
    if (text.ends_with('.')) text.pop_back();
    return text + "%";
}

}  // namespace segue

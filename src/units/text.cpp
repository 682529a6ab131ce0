#include "units/text.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "base/assert.hpp"

namespace segue {
namespace {

/// Products of two 64-bit numbers are formed here, so that nothing is ever lost in a double.
__extension__ using Wide = unsigned __int128;

constexpr Wide largest = static_cast<Wide>(std::numeric_limits<std::int64_t>::max());

/// More digits than this cannot change a 64-bit result.
constexpr std::size_t fraction_digits_max = 18;

/// One unit is `times / over` of the base unit (nanosecond, byte, byte per second).
struct Unit {
    std::string_view name;
    std::uint64_t times;
    std::uint64_t over = 1;
};

constexpr std::array duration_units = {
    Unit{"ns", 1},
    Unit{"us", 1'000},
    Unit{"ms", 1'000'000},
    Unit{"s", 1'000'000'000},
    Unit{"min", 60'000'000'000},
    Unit{"h", 3'600'000'000'000},
    Unit{"d", 86'400'000'000'000},
};

constexpr std::array amount_units = {
    Unit{"B", 1},
    Unit{"kB", 1'000},
    Unit{"KiB", 1ULL << 10},
    Unit{"MB", 1'000'000},
    Unit{"MiB", 1ULL << 20},
    Unit{"GB", 1'000'000'000},
    Unit{"GiB", 1ULL << 30},
    Unit{"TB", 1'000'000'000'000},
    Unit{"TiB", 1ULL << 40},
};

constexpr std::array rate_units = {
    Unit{"B/s", 1},
    Unit{"kB/s", 1'000},
    Unit{"KiB/s", 1ULL << 10},
    Unit{"MB/s", 1'000'000},
    Unit{"MiB/s", 1ULL << 20},
    Unit{"GB/s", 1'000'000'000},
    Unit{"GiB/s", 1ULL << 30},
    Unit{"TB/s", 1'000'000'000'000},
    Unit{"TiB/s", 1ULL << 40},
    Unit{"bit/s", 1, 8},
    Unit{"kbit/s", 1'000, 8},
    Unit{"Mbit/s", 1'000'000, 8},
    Unit{"Gbit/s", 1'000'000'000, 8},
    Unit{"Tbit/s", 1'000'000'000'000, 8},
};

/// What is being read: its name in errors, its units, and how a near miss is recognised.
struct Kind {
    std::string_view noun;
    std::string_view example;
    std::string_view unit_list;
    std::span<const Unit> units;
    std::vector<std::string_view> (*near_misses)(std::string_view unit);
};

struct Number {
    std::uint64_t whole = 0;
    std::uint64_t fraction = 0;  ///< Of `fraction_scale`.
    std::uint64_t fraction_scale = 1;
    bool positive = false;  ///< Some digit is not 0, cut ones included.
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return result;
}

/// The input as it may be shown: short, and nothing in it that a terminal or JSON would act on.
std::string shown(std::string_view text) {
    constexpr std::size_t shown_max = 40;
    std::string result = "\"";
    for (const char c : text.substr(0, shown_max)) {
        result += (c >= ' ' && c <= '~' && c != '"') ? c : '?';
    }
    if (text.size() > shown_max) result += "...";
    return result + '"';
}

const Unit* find_unit(const Kind& kind, std::string_view name) {
    for (const Unit& unit : kind.units) {
        if (unit.name == name) return &unit;
    }
    return nullptr;
}

/// Takes `suffix` off the end of `text`; whether it was there.
bool drop_suffix(std::string& text, std::string_view suffix) {
    if (!text.ends_with(suffix)) return false;
    text.resize(text.size() - suffix.size());
    return true;
}

/// A wrong unit of data taken apart: "Mb/s" is prefix 'm', not binary, one letter b, small.
struct DataUnit {
    char prefix = 0;  ///< k m g t, or 0 for none.
    bool binary = false;
    enum class Of { bytes, bits, unsaid } of = Of::unsaid;
    bool small_b = false;  ///< A lone small b, which some people write for bits and some for bytes.
};

std::optional<DataUnit> take_apart(std::string_view text) {
    std::string rest = lower(text);
    for (const std::string_view per_second : {"/second", "/sec", "/s", "ps"}) {
        if (drop_suffix(rest, per_second)) break;
    }
    DataUnit unit;
    const std::size_t body_end = rest.size();
    if (drop_suffix(rest, "bits") || drop_suffix(rest, "bit")) {
        unit.of = DataUnit::Of::bits;
    } else if (drop_suffix(rest, "bytes") || drop_suffix(rest, "byte")) {
        unit.of = DataUnit::Of::bytes;
    } else if (drop_suffix(rest, "b")) {
        unit.of = DataUnit::Of::bytes;
        unit.small_b = text[body_end - 1] == 'b';
    }
    unit.binary = drop_suffix(rest, "i");
    if (rest.size() > 1) return std::nullopt;
    if (rest.size() == 1) {
        unit.prefix = rest[0];
        if (std::string_view("kmgt").find(unit.prefix) == std::string_view::npos) return std::nullopt;
    }
    if (unit.prefix == 0 && (unit.binary || unit.of == DataUnit::Of::unsaid)) return std::nullopt;
    return unit;
}

/// The member of `units` with this prefix and ending, or empty.
std::string_view pick(std::span<const Unit> units, char prefix, std::string_view ending) {
    std::string name;
    if (prefix != 0) name += prefix;
    name = lower(name + std::string(ending));
    for (const Unit& unit : units) {
        // bit/s and B/s differ in more than case, so comparing in small letters is safe.
        if (lower(unit.name) == name) return unit.name;
    }
    return {};
}

std::vector<std::string_view> data_near_misses(std::string_view text, std::span<const Unit> units,
                                               std::string_view per_second) {
    std::vector<std::string_view> found;
    const auto unit = take_apart(text);
    if (!unit) return found;
    const auto add = [&](std::string_view body) {
        const auto name = pick(units, unit->prefix, std::string(body) + std::string(per_second));
        if (!name.empty()) found.push_back(name);
    };
    // Amounts have no unit in bits, and none in bytes may be suggested for one: it is 8 times as much.
    if (unit->of == DataUnit::Of::bits || unit->of == DataUnit::Of::unsaid || unit->small_b) {
        if (unit->of == DataUnit::Of::bits || !unit->binary) add("bit");
    }
    if (unit->of == DataUnit::Of::bits) return found;
    // "KB" is written for both 1000 and 1024 bytes; "MiB" can only be the one.
    if (!unit->binary) add("b");
    const bool either = unit->of == DataUnit::Of::unsaid || (unit->prefix == 'k' && !unit->small_b);
    if (unit->binary || either) add("ib");
    return found;
}

std::vector<std::string_view> rate_near_misses(std::string_view text) {
    return data_near_misses(text, rate_units, "/s");
}

std::vector<std::string_view> amount_near_misses(std::string_view text) {
    return data_near_misses(text, amount_units, "");
}

std::vector<std::string_view> duration_near_misses(std::string_view text) {
    std::string name = lower(text);
    if (name == "m") return {"min", "ms"};
    // Both code points for micro, as UTF-8.
    if (name == "\xc2\xb5s" || name == "\xce\xbcs") return {"us"};
    if (name.size() > 1) drop_suffix(name, "s");
    struct Alias {
        std::string_view written, meant;
    };
    static constexpr std::array aliases = {
        Alias{"nsec", "ns"},        Alias{"nanosecond", "ns"}, Alias{"n", "ns"},
        Alias{"usec", "us"},        Alias{"microsecond", "us"}, Alias{"u", "us"},
        Alias{"msec", "ms"},        Alias{"millisecond", "ms"}, Alias{"m", "ms"},
        Alias{"sec", "s"},          Alias{"second", "s"},      Alias{"s", "s"},
        Alias{"min", "min"},        Alias{"minute", "min"},    Alias{"h", "h"},
        Alias{"hr", "h"},           Alias{"hour", "h"},        Alias{"d", "d"},
        Alias{"day", "d"},
    };
    for (const Alias& alias : aliases) {
        if (alias.written == name) return {alias.meant};
    }
    return {};
}

const Kind duration_kind{"a duration", "10 s", "ns us ms s min h d", duration_units, duration_near_misses};
const Kind amount_kind{"an amount of data", "64 MiB", "B kB KiB MB MiB GB GiB TB TiB",
                       amount_units, amount_near_misses};
const Kind rate_kind{"a rate", "100 MiB/s",
                     "B/s kB/s KiB/s MB/s MiB/s GB/s GiB/s TB/s TiB/s bit/s kbit/s Mbit/s Gbit/s Tbit/s",
                     rate_units, rate_near_misses};

/// The number at the start of `text`, which is moved past it. nullopt: more than 64 bits.
std::optional<Number> take_number(std::string_view& text) {
    Number number;
    std::size_t at = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) {
        const auto digit = static_cast<std::uint64_t>(text[at] - '0');
        if (number.whole > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) return std::nullopt;
        number.whole = number.whole * 10 + digit;
        number.positive = number.positive || digit != 0;
    }
    if (at + 1 < text.size() && text[at] == '.' && is_digit(text[at + 1])) {
        std::size_t used = 0;
        for (++at; at < text.size() && is_digit(text[at]); ++at) {
            const auto digit = static_cast<std::uint64_t>(text[at] - '0');
            number.positive = number.positive || digit != 0;
            if (used++ >= fraction_digits_max) continue;
            number.fraction = number.fraction * 10 + digit;
            number.fraction_scale *= 10;
        }
    }
    text.remove_prefix(at);
    return number;
}

/// `number` units in base units, to the nearest; nullopt when it does not fit.
std::optional<std::int64_t> in_base_units(const Number& number, const Unit& unit) {
    const Wide whole = static_cast<Wide>(number.whole) * unit.times;
    if (whole > largest * unit.over) return std::nullopt;
    // At most 2^66 * 10^18, which fits 128 bits.
    const Wide scaled = whole * number.fraction_scale + static_cast<Wide>(number.fraction) * unit.times;
    const Wide divisor = static_cast<Wide>(unit.over) * number.fraction_scale;
    const Wide rounded = (scaled + divisor / 2) / divisor;
    if (rounded > largest) return std::nullopt;
    return static_cast<std::int64_t>(rounded);
}

std::string wrong_unit_message(const Kind& kind, std::string_view text, std::string_view unit) {
    const auto meant = kind.near_misses(unit);
    if (meant.empty()) {
        return fmt::format("{} is not {}: unknown unit {}; units are {}", shown(text), kind.noun,
                           shown(unit), kind.unit_list);
    }
    std::string list;
    for (std::size_t i = 0; i < meant.size(); ++i) {
        if (i > 0) list += i + 1 == meant.size() ? " or " : ", ";
        list += meant[i];
    }
    return fmt::format("{} is not {}: did you mean {}?", shown(text), kind.noun, list);
}

/// Why `text` does not even start with a number.
std::string no_number_message(const Kind& kind, std::string_view text) {
    if (text.empty()) return fmt::format("{} is missing; units are {}", kind.noun, kind.unit_list);
    if (text[0] == '-') return fmt::format("{} is not {}: it cannot be negative", shown(text), kind.noun);
    return fmt::format("{} is not {}: write a plain number and a unit, for example \"{}\"", shown(text),
                       kind.noun, kind.example);
}

Result<std::int64_t> parse(const Kind& kind, std::string_view text, std::string_view default_unit) {
    SEGUE_ASSERT(default_unit.empty() || find_unit(kind, default_unit) != nullptr);
    if (text.empty() || !is_digit(text[0])) return fail(ErrorKind::invalid, no_number_message(kind, text));

    std::string_view rest = text;
    const auto number = take_number(rest);
    const auto too_large = [&] {
        return fail(ErrorKind::invalid, fmt::format("{} is too large for {}", shown(text), kind.noun));
    };
    if (!number) return too_large();
    if (!rest.empty() && (rest[0] == '.' || rest[0] == ',')) {
        return fail(ErrorKind::invalid,
                    fmt::format("{} is not {}: write decimals with one point and digits on both sides",
                                shown(text), kind.noun));
    }
    if (rest.size() > 1 && (rest[0] == 'e' || rest[0] == 'E') &&
        (is_digit(rest[1]) || rest[1] == '+' || rest[1] == '-')) {
        return fail(ErrorKind::invalid,
                    fmt::format("{} is not {}: exponents are not taken", shown(text), kind.noun));
    }
    while (!rest.empty() && is_blank(rest[0])) rest.remove_prefix(1);
    if (rest.empty() && default_unit.empty()) {
        return fail(ErrorKind::invalid,
                    fmt::format("{} has no unit; units are {}", shown(text), kind.unit_list));
    }
    const std::string_view unit_name = rest.empty() ? default_unit : rest;
    const Unit* unit = find_unit(kind, unit_name);
    if (unit == nullptr) return fail(ErrorKind::invalid, wrong_unit_message(kind, text, unit_name));

    const auto value = in_base_units(*number, *unit);
    if (!value) return too_large();
    // A tiny bound must not turn into 0, which means something else in many places.
    if (*value == 0 && number->positive) {
        return fail(ErrorKind::invalid, fmt::format("{} is too small for {}", shown(text), kind.noun));
    }
    return *value;
}

/// Three significant digits or all digits of the whole part, whichever is more; no trailing zeros.
std::string three_digits(double value) {
    const int decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
    std::string text = fmt::format("{:.{}f}", value, decimals);
    if (decimals > 0) {
        while (text.back() == '0') text.pop_back();
        if (text.back() == '.') text.pop_back();
    }
    return text;
}

std::string binary_text(std::int64_t count, std::string_view suffix) {
    const double magnitude = std::abs(static_cast<double>(count));
    if (magnitude < 1024) return fmt::format("{} B{}", count, suffix);
    static constexpr std::array names = {"KiB", "MiB", "GiB", "TiB"};
    double value = magnitude / 1024;
    std::size_t name = 0;
    while (value >= 1024 && name + 1 < names.size()) {
        value /= 1024;
        ++name;
    }
    return fmt::format("{}{} {}{}", count < 0 ? "-" : "", three_digits(value), names[name], suffix);
}

/// The unit in which people would say it: 90 s, 10 min, 2.5 h, but 151 s.
const Unit& natural_unit(std::uint64_t ns) {
    const auto& [nano, micro, milli, second, minute, hour, day] = duration_units;
    if (ns < micro.times) return nano;
    if (ns < milli.times) return micro;
    if (ns < 100 * milli.times) return milli;
    if (ns < minute.times) return second;
    if (ns < 10 * minute.times && ns % minute.times != 0) return second;
    if (ns < 2 * hour.times && ns % hour.times != 0) return minute;
    if (ns < 2 * day.times && ns % day.times != 0) return hour;
    return day;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text, std::string_view default_unit) {
    SEGUE_TRY(value, parse(duration_kind, text, default_unit));
    return Duration{value};
}

Result<ByteRate> parse_byte_rate(std::string_view text, std::string_view default_unit) {
    SEGUE_TRY(value, parse(rate_kind, text, default_unit));
    return ByteRate{value};
}

Result<Bytes> parse_bytes(std::string_view text, std::string_view default_unit) {
    SEGUE_TRY(value, parse(amount_kind, text, default_unit));
    return Bytes{value};
}

std::string to_text(Duration duration) {
    if (duration.count() == 0) return "0 s";
    const bool negative = duration.count() < 0;
    // Unsigned negation also holds for the smallest number.
    const auto count = static_cast<std::uint64_t>(duration.count());
    const std::uint64_t ns = negative ? 0 - count : count;
    const Unit& unit = natural_unit(ns);
    const double value = static_cast<double>(ns) / static_cast<double>(unit.times);
    return fmt::format("{}{} {}", negative ? "-" : "", three_digits(value), unit.name);
}

std::string to_text(ByteRate rate) { return binary_text(rate.per_second, "/s"); }

std::string to_text(Bytes amount) { return binary_text(amount.count, ""); }

}  // namespace segue

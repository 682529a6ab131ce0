#include "store/journal_history.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <string_view>

namespace segue {
namespace {

namespace json = boost::json;

constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::int64_t ns_per_ms = 1'000'000;

/// How long the UTF-8 sequence at the start of `text` is; 0 where there is none (RFC 3629).
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    // The second byte tells overlong forms, surrogates and what is above U+10FFFF.
    const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0xc2 || first > 0xf4 || byte(1) < low || byte(1) > high) return 0;
    for (std::size_t i = 2; i < length; ++i) {
        if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
    }
    return length;
}

/// Names and paths come from outside: what is no UTF-8 becomes U+FFFD, and for a terminal every control
/// character (C1 ones too) becomes '?'.
std::string clean(std::string_view text, bool for_terminal) {
    std::string result;
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        const std::string_view one = text.substr(0, std::max<std::size_t>(length, 1));
        const bool c1 = length == 2 && one[0] == '\xc2' && static_cast<unsigned char>(one[1]) < 0xa0;
        const bool control = c1 || (length == 1 && (static_cast<unsigned char>(one[0]) < 0x20 || one[0] == 0x7f));
        if (length == 0) {
            result += "\xef\xbf\xbd";
        } else if (control && for_terminal) {
            result += '?';
        } else {
            result += one;
        }
        text.remove_prefix(one.size());
    }
    return result;
}

std::string time_text(WallInstant at, std::string_view between, std::string_view end) {
    const auto second = std::chrono::floor<std::chrono::seconds>(at);
    const auto day = std::chrono::floor<std::chrono::days>(at);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{second - day};
    return fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), between,
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count(), end);
}

// ---- the table -------------------------------------------------------------------------------------

constexpr std::size_t columns = 11;
constexpr std::size_t first_number_column = 7;
using Cells = std::array<std::string, columns>;

std::string first_of(const std::string& a, const std::string& b, const std::string& c) {
    const std::string& text = !a.empty() ? a : !b.empty() ? b : c;
    return text.empty() ? "-" : clean(text, true);
}

std::string seconds_up_to_ms(Duration duration) {
    const std::int64_t ms = (duration.count() + ns_per_ms - 1) / ns_per_ms;
    return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
}

std::string state_of(const HistoryEntry& entry) {
    const MoveRecord& record = entry.record;
    if (record.ending) return clean(record.ending->outcome, true);
    const std::string_view step = record.steps.empty() ? "begun" : to_string(record.steps.back().kind);
    switch (entry.owner) {
        case Liveness::alive: return fmt::format("under way: {}", step);
        case Liveness::gone: return fmt::format("unfinished: {}", step);
        case Liveness::unknown: break;
    }
    return fmt::format("not closed: {}", step);
}

Cells cells_of(const HistoryEntry& entry) {
    const auto& [job, move, started, ended, ending, steps] = entry.record;
    Cells cells = {fmt::format("{}", static_cast<std::int64_t>(job)), time_text(started, " ", ""),
                   std::string(to_string(move.role)), first_of(move.vm, move.guest.name, move.guest.uuid),
                   first_of(move.src.host, move.src.monitor, ""),
                   first_of(move.dst.host, move.dst.monitor, move.transport), state_of(entry), "-",
                   move.role == MoveRole::source ? seconds_up_to_ms(move.bounds.max_downtime) : "-", "-", "-"};
    if (ending) {
        if (ending->downtime) cells[7] = seconds_up_to_ms(*ending->downtime);
        cells[9] = fmt::format("{:.1f}", to_seconds(ending->total));
        cells[10] = fmt::format("{}", ending->sent.count / mebibytes(1).count);
    }
    return cells;
}

/// Characters, not bytes.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80; }));
}

// ---- JSON ------------------------------------------------------------------------------------------

/// `{"a":..,"b":..}`. Boost would write 0.212 as 2.12E-1.
class JsonObject {
public:
    JsonObject& raw(std::string_view name, std::string_view value) {
        text_ += fmt::format("{}\"{}\":{}", text_.empty() ? "" : ",", name, value);
        return *this;
    }
    JsonObject& text(std::string_view name, std::string_view value) {
        return raw(name, json::serialize(json::string(clean(value, false))));
    }
    JsonObject& text_or_null(std::string_view name, std::string_view value) {
        return value.empty() ? raw(name, "null") : text(name, value);
    }
    JsonObject& number(std::string_view name, const std::optional<std::int64_t>& value) {
        return raw(name, value ? fmt::format("{}", *value) : "null");
    }
    /// Exact to the nanosecond.
    JsonObject& seconds(std::string_view name, const std::optional<Duration>& value) {
        if (!value) return raw(name, "null");
        const bool negative = value->count() < 0;
        const std::int64_t ns = negative ? -value->count() : value->count();
        std::string digits = fmt::format("{}{}.{:09}", negative ? "-" : "", ns / ns_per_s, ns % ns_per_s);
        while (digits.ends_with('0')) digits.pop_back();
        if (digits.ends_with('.')) digits.pop_back();
        return raw(name, digits);
    }
    JsonObject& time(std::string_view name, const std::optional<WallInstant>& value) {
        if (!value) return raw(name, "null");
        const auto ns = (*value - std::chrono::floor<std::chrono::seconds>(*value)).count();
        return raw(name, fmt::format("\"{}\"", time_text(*value, "T", fmt::format(".{:09}Z", ns))));
    }
    [[nodiscard]] std::string end() const { return "{" + text_ + "}"; }

private:
    std::string text_;
};

std::optional<std::int64_t> rate(const std::optional<ByteRate>& value) {
    return value ? std::optional(value->per_second) : std::nullopt;
}

std::string steps_json(const std::vector<MoveStep>& steps) {
    std::string text;
    for (const auto& step : steps) {
        // Written anew, so that a line stays a line whatever blanks are in it.
        json::error_code problem;
        const json::value detail = json::parse({step.detail.data(), step.detail.size()}, problem);
        JsonObject object;
        object.text("step", to_string(step.kind)).time("at", step.at.wall).text("boot_id", step.at.boot_id);
        object.seconds("since_boot_seconds", step.at.since_boot.since_boot);
        object.raw("detail", problem ? "null" : json::serialize(detail));
        text += (text.empty() ? "" : ",") + object.end();
    }
    return "[" + text + "]";
}

std::string_view state_word(const HistoryEntry& entry) {
    if (entry.record.ending) return "closed";
    switch (entry.owner) {
        case Liveness::alive: return "under-way";
        case Liveness::gone: return "unfinished";
        case Liveness::unknown: break;
    }
    return "unknown";
}

}  // namespace

std::string render_history(const std::vector<HistoryEntry>& entries, bool with_header) {
    std::vector<Cells> rows;
    if (with_header) {
        rows.push_back({"JOB", "STARTED (UTC)", "SIDE", "VM", "FROM", "TO", "OUTCOME", "DOWNTIME (s)", "LIMIT (s)",
                        "TOTAL (s)", "SENT (MiB)"});
    }
    for (const auto& entry : entries) rows.push_back(cells_of(entry));
    std::array<std::size_t, columns> widths{};
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], width(row[i]));
    }
    std::string text;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < columns; ++i) {
            const std::string blanks(widths[i] - width(row[i]), ' ');
            const bool right = i == 0 || i >= first_number_column;
            text += (i == 0 ? "" : "  ") + (right ? blanks + row[i] : row[i] + blanks);
        }
        text += '\n';
    }
    return text;
}

std::string render_history_json(const HistoryEntry& entry) {
    const auto& [job, move, started, ended, ending, steps] = entry.record;
    JsonObject object;
    object.text("type", "move").number("schema", 1).number("job", static_cast<std::int64_t>(job));
    object.text("move_id", to_string(move.id)).text("side", to_string(move.role)).text("state", state_word(entry));
    object.text("vm", move.vm).text_or_null("guest_uuid", move.guest.uuid).text_or_null("guest_name", move.guest.name);
    object.text_or_null("src_host", move.src.host).text_or_null("src_monitor", move.src.monitor);
    object.text_or_null("dst_host", move.dst.host).text_or_null("dst_monitor", move.dst.monitor);
    object.text_or_null("transport", move.transport);
    object.seconds("max_downtime_seconds", move.bounds.max_downtime).seconds("timeout_seconds", move.bounds.timeout);
    object.number("max_bandwidth_bytes_per_second", rate(move.bounds.max_bandwidth));
    object.number("switchover_bandwidth_bytes_per_second", rate(move.bounds.switchover_bandwidth));
    object.number("owner_pid", move.owner.pid).time("started", started).time("ended", ended);
    object.text_or_null("outcome", ending ? ending->outcome : "");
    object.number("exit_status", ending ? std::optional<std::int64_t>(ending->exit_status) : std::nullopt);
    object.text_or_null("guest_on", ending ? ending->guest_on : "").text_or_null("error", ending ? ending->error : "");
    object.seconds("downtime_seconds", ending ? ending->downtime : std::nullopt);
    object.seconds("total_seconds", ending ? std::optional(ending->total) : std::nullopt);
    object.number("sent_bytes", ending ? std::optional(ending->sent.count) : std::nullopt);
    return object.raw("steps", steps_json(steps)).end();
}

}  // namespace segue

#include "api/job_codec.hpp"

#include <cmath>

#include "api/json_line.hpp"

namespace segue::job {
namespace {

using namespace json_line;

/// A message is flat; one level more is allowed for fields of a later version.
constexpr std::size_t depth_max = 4;
/// 2^53 - 1: what every JSON reader can hold.
constexpr std::int64_t whole_max = 9'007'199'254'740'991;
/// Longer times would not fit into nanoseconds.
constexpr double seconds_max = 9e9;

// ---- writing ---------------------------------------------------------------------------------------

/// Never in the middle of a character.
std::string_view cut(std::string_view text) {
    if (text.size() <= text_bytes_max) return text;
    std::size_t end = text_bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80) --end;
    return text.substr(0, end);
}

json::value short_text(std::string_view text) { return text_value(cut(text)); }

json::object begin(std::string_view type) { return {{"type", type}, {"version", version}}; }

json::object object_of(const StatusRequest&) { return begin("status"); }
json::object object_of(const CancelRequest&) { return begin("cancel"); }

json::object object_of(const Status& status) {
    json::object line = begin("status");
    line["job"] = status.job;
    line["vm"] = short_text(status.vm);
    line["src"] = short_text(status.src);
    line["dst"] = short_text(status.dst);
    line["stage"] = short_text(status.stage);
    line["guest_on"] = short_text(status.guest_on);
    line["elapsed_seconds"] = seconds(status.elapsed);
    line["pass"] = status.pass ? json::value(*status.pass) : json::value(nullptr);
    line["left_bytes"] = amount(status.left);
    line["sent_bytes"] = amount(status.sent);
    line["out_bytes_per_second"] = rate(status.out);
    line["dirtying_bytes_per_second"] = rate(status.dirtying);
    line["blackout_now_seconds"] = seconds(status.blackout_now);
    line["max_downtime_seconds"] = seconds(status.max_downtime);
    line["timeout_seconds"] = seconds(status.timeout);
    return line;
}
json::object object_of(const Cancelling&) { return begin("cancelling"); }
json::object object_of(const Refused& refused) {
    json::object line = begin("refused");
    line["reason"] = short_text(refused.reason);
    return line;
}
json::object object_of(const Failed& failed) {
    json::object line = begin("error");
    line["message"] = short_text(failed.message);
    return line;
}

template <class Message>
std::string encode_any(const Message& message) {
    return line_of(std::visit([](const auto& one) { return object_of(one); }, message)) + '\n';
}

// ---- reading ---------------------------------------------------------------------------------------

std::unexpected<Error> broken(std::string what) { return fail(ErrorKind::corrupt, std::move(what)); }

/// Takes fields and remembers the first that is not as it must be.
class Fields {
public:
    explicit Fields(const json::object& object) : object_(object) {}

    [[nodiscard]] const std::optional<std::string>& problem() const { return problem_; }

    std::string text(const char* name) {
        const auto* value = find(name, false);
        if (value == nullptr) return {};
        if (const auto* found = value->if_string(); found && found->size() <= text_bytes_max) {
            return {found->data(), found->size()};
        }
        wrong(name);
        return {};
    }
    std::optional<std::int64_t> whole(const char* name, bool may_be_null) {
        const auto* value = find(name, may_be_null);
        if (value == nullptr) return std::nullopt;
        if (const auto* found = value->if_int64(); found && *found >= -whole_max && *found <= whole_max) return *found;
        wrong(name);
        return std::nullopt;
    }
    std::optional<Duration> time(const char* name, bool may_be_null) {
        const auto* value = find(name, may_be_null);
        if (value == nullptr) return std::nullopt;
        if (value->is_number()) {
            const double found = value->to_number<double>();
            if (std::isfinite(found) && std::abs(found) < seconds_max) return from_seconds(found);
        }
        wrong(name);
        return std::nullopt;
    }

private:
    const json::value* find(const char* name, bool may_be_null) {
        const auto* value = object_.if_contains(name);
        if (value != nullptr && !value->is_null()) return value;
        if (value == nullptr || !may_be_null) wrong(name);
        return nullptr;
    }
    void wrong(const char* name) {
        if (!problem_) problem_ = std::string("its field ") + name + " is missing or of the wrong type";
    }

    const json::object& object_;
    std::optional<std::string> problem_;
};

struct Opened {
    json::object object;
    std::string type;
};

Result<Opened> open(std::string_view line) {
    if (line.size() > line_bytes_max) return broken("the line is longer than 64 KiB");
    json::parse_options options;
    options.max_depth = depth_max;
    json::error_code problem;
    auto value = json::parse({line.data(), line.size()}, problem, {}, options);
    if (problem || !value.is_object()) return broken("the line is no JSON object");
    Opened opened{std::move(value.get_object()), {}};
    Fields fields(opened.object);
    opened.type = fields.text("type");
    const auto spoken = fields.whole("version", false);
    if (fields.problem()) return broken("the message is broken: " + *fields.problem());
    if (*spoken != version) return fail(ErrorKind::unsupported, "only version 1 is spoken here");
    return opened;
}

std::optional<Bytes> bytes_of(const std::optional<std::int64_t>& count) {
    return count ? std::optional(Bytes{*count}) : std::nullopt;
}
std::optional<ByteRate> rate_of(const std::optional<std::int64_t>& count) {
    return count ? std::optional(ByteRate{*count}) : std::nullopt;
}

Status read_status(Fields& fields) {
    Status status;
    status.job = fields.whole("job", false).value_or(0);
    status.vm = fields.text("vm");
    status.src = fields.text("src");
    status.dst = fields.text("dst");
    status.stage = fields.text("stage");
    status.guest_on = fields.text("guest_on");
    status.elapsed = fields.time("elapsed_seconds", false).value_or(Duration{0});
    status.pass = fields.whole("pass", true);
    status.left = bytes_of(fields.whole("left_bytes", true));
    status.sent = bytes_of(fields.whole("sent_bytes", true));
    status.out = rate_of(fields.whole("out_bytes_per_second", true));
    status.dirtying = rate_of(fields.whole("dirtying_bytes_per_second", true));
    status.blackout_now = fields.time("blackout_now_seconds", true);
    status.max_downtime = fields.time("max_downtime_seconds", false).value_or(Duration{0});
    status.timeout = fields.time("timeout_seconds", true);
    return status;
}

}  // namespace

std::string encode(const Request& request) { return encode_any(request); }
std::string encode(const Reply& reply) { return encode_any(reply); }

Result<Request> parse_request(std::string_view line) {
    SEGUE_TRY(opened, open(line));
    if (opened.type == "status") return StatusRequest{};
    if (opened.type == "cancel") return CancelRequest{};
    return fail(ErrorKind::unsupported, "there is no such request: status and cancel are known here");
}

Result<Reply> parse_reply(std::string_view line) {
    SEGUE_TRY(opened, open(line));
    Fields fields(opened.object);
    Reply reply = Cancelling{};
    if (opened.type == "status") {
        reply = read_status(fields);
    } else if (opened.type == "refused") {
        reply = Refused{fields.text("reason")};
    } else if (opened.type == "error") {
        reply = Failed{fields.text("message")};
    } else if (opened.type != "cancelling") {
        return fail(ErrorKind::unsupported, "the answer is of a kind that is not known here");
    }
    if (fields.problem()) return broken("the answer is broken: " + *fields.problem());
    return reply;
}

LineReader::Lines LineReader::feed(std::span<const char> bytes) {
    Lines lines;
    for (const char byte : bytes) {
        if (too_long_) break;
        if (byte != '\n') {
            begun_ += byte;
            too_long_ = begun_.size() > line_bytes_max;
        } else if (!begun_.empty()) {
            lines.whole.push_back(std::move(begun_));
            begun_.clear();
        }
    }
    lines.too_long = too_long_;
    return lines;
}

}  // namespace segue::job

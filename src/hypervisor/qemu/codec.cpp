#include "hypervisor/qemu/codec.hpp"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <utility>

#include "base/limits.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;

const json::object* member_object(const json::object& object, std::string_view key) {
    const json::value* found = object.if_contains(key);
    return found != nullptr ? found->if_object() : nullptr;
}

/// The text of a member, empty when it is missing or of another type.
std::string member_text(const json::object& object, std::string_view key) {
    const json::value* found = object.if_contains(key);
    const json::string* text = found != nullptr ? found->if_string() : nullptr;
    return text != nullptr ? std::string(text->data(), text->size()) : std::string();
}

std::optional<std::int64_t> member_integer(const json::object& object, std::string_view key) {
    const json::value* found = object.if_contains(key);
    if (found == nullptr) return std::nullopt;
    json::error_code error;
    const auto number = found->to_number<std::int64_t>(error);
    if (error || found->is_double()) return std::nullopt;
    return number;
}

/// Our numbers only: whatever else stands there belongs to no command of ours.
std::optional<std::uint64_t> id_of(const json::object& object) {
    const json::value* found = object.if_contains("id");
    if (found == nullptr) return std::nullopt;
    json::error_code error;
    const auto number = found->to_number<std::uint64_t>(error);
    if (error || found->is_double()) return std::nullopt;
    return number;
}

Result<Message> read_greeting(const json::object& qmp) {
    const json::object* version = member_object(qmp, "version");
    const json::object* numbers = version != nullptr ? member_object(*version, "qemu") : nullptr;
    if (numbers == nullptr) return fail(ErrorKind::corrupt, "QMP greeting without a version");
    const auto major = member_integer(*numbers, "major");
    const auto minor = member_integer(*numbers, "minor");
    const auto micro = member_integer(*numbers, "micro");
    if (!major || !minor || !micro) return fail(ErrorKind::corrupt, "QMP greeting without a version");

    Greeting greeting{fmt::format("{}.{}.{}", *major, *minor, *micro), false};
    const json::value* capabilities = qmp.if_contains("capabilities");
    if (capabilities != nullptr && capabilities->is_array()) {
        for (const json::value& capability : capabilities->get_array()) {
            greeting.oob = greeting.oob || (capability.is_string() && capability.get_string() == "oob");
        }
    }
    return greeting;
}

QmpEvent read_event(json::object& object) {
    QmpEvent event;
    event.name = member_text(object, "event");
    if (json::value* data = object.if_contains("data"); data != nullptr && data->is_object()) {
        event.data = std::move(data->get_object());
    }
    if (const json::object* stamp = member_object(object, "timestamp")) {
        const auto seconds = member_integer(*stamp, "seconds");
        const auto micros = member_integer(*stamp, "microseconds");
        // QEMU writes -1 when it could not read its clock. The upper bound is the year 100000.
        constexpr std::int64_t seconds_max = 3'000'000'000'000;
        if (seconds && micros && *seconds >= 0 && *seconds < seconds_max && *micros >= 0 && *micros < 1'000'000) {
            event.stamp_us = *seconds * 1'000'000 + *micros;
        }
    }
    return event;
}

Message read_error(const json::object& object, const json::object& error) {
    std::string description = member_text(error, "desc");
    const auto id = id_of(object);
    if (!id) return Complaint{std::move(description)};
    // The one class that the protocol defines for telling apart; every other is GenericError or historic.
    const ErrorKind kind = member_text(error, "class") == "CommandNotFound" ? ErrorKind::unsupported
                                                                            : ErrorKind::refused;
    return Reply{*id, fail(kind, "QEMU refused the command", std::move(description))};
}

Result<Message> read_message(json::object& object) {
    if (json::value* result = object.if_contains("return")) {
        const auto id = id_of(object);
        // All our commands are numbered, so this answers none of them. Not worth losing the monitor.
        if (!id) return Complaint{"QEMU sent an answer without a number"};
        return Reply{*id, std::move(*result)};
    }
    const json::value* event = object.if_contains("event");
    if (event != nullptr && event->is_string()) return read_event(object);
    if (const json::object* error = member_object(object, "error")) return read_error(object, *error);
    if (const json::object* qmp = member_object(object, "QMP")) return read_greeting(*qmp);
    return fail(ErrorKind::corrupt, "the monitor sent a JSON object that is no QMP message");
}

json::parse_options options() {
    json::parse_options result;
    result.max_depth = limits::qmp_depth_max;
    return result;
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

struct MessageReader::Impl {
    json::stream_parser parser{{}, options()};
    /// Bytes of the message that has begun; 0 between messages.
    std::size_t taken = 0;
    std::optional<Error> broken;

    Result<void> feed(std::span<const char> bytes, std::vector<Message>& messages);
    Result<std::size_t> take(std::span<const char> bytes);
};

/// Gives the parser what it may have of `bytes`; how much it used.
Result<std::size_t> MessageReader::Impl::take(std::span<const char> bytes) {
    const std::size_t room = limits::qmp_message_bytes_max - taken;
    const std::size_t offered = bytes.size() < room ? bytes.size() : room;
    json::error_code error;
    const std::size_t used = parser.write_some(bytes.data(), offered, error);
    if (error) {
        return fail(ErrorKind::corrupt, "the monitor sent what is not QMP", error.message());
    }
    taken += used;
    if (!parser.done() && taken >= limits::qmp_message_bytes_max) {
        return fail(ErrorKind::corrupt,
                    fmt::format("the monitor sent a message of more than {} bytes", limits::qmp_message_bytes_max));
    }
    return used;
}

Result<void> MessageReader::Impl::feed(std::span<const char> bytes, std::vector<Message>& messages) {
    while (!bytes.empty()) {
        if (taken == 0) {
            if (is_blank(bytes.front())) {
                bytes = bytes.subspan(1);
                continue;
            }
            // Told at the first byte: a number or a string at the top would make the parser wait for more.
            if (bytes.front() != '{') return fail(ErrorKind::corrupt, "the monitor sent what is not QMP");
        }
        SEGUE_TRY(used, take(bytes));
        bytes = bytes.subspan(used);
        if (!parser.done()) continue;
        json::value value = parser.release();
        parser.reset();
        taken = 0;
        SEGUE_TRY(message, read_message(value.get_object()));
        messages.push_back(std::move(message));
    }
    return {};
}

MessageReader::MessageReader() : impl_(std::make_unique<Impl>()) {}
MessageReader::~MessageReader() = default;
MessageReader::MessageReader(MessageReader&&) noexcept = default;
MessageReader& MessageReader::operator=(MessageReader&&) noexcept = default;

Result<std::vector<Message>> MessageReader::feed(std::span<const char> bytes) {
    if (impl_->broken) return std::unexpected(*impl_->broken);
    std::vector<Message> messages;
    if (auto fed = impl_->feed(bytes, messages); !fed) {
        impl_->broken = std::move(fed).error();
        // What came whole before the fault is true and may be the answer that decides a migration.
        if (messages.empty()) return std::unexpected(*impl_->broken);
    }
    return messages;
}

std::string encode_command(std::string_view name, const json::object& arguments, std::uint64_t id,
                           bool out_of_band) {
    json::object command;
    command[out_of_band ? "exec-oob" : "execute"] = name;
    if (!arguments.empty()) command["arguments"] = arguments;
    command["id"] = id;
    return json::serialize(command) + "\n";
}

}  // namespace segue::qemu

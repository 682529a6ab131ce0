#include "receive/codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "receive/clean_text.hpp"
#include "receive/fields.hpp"

namespace segue::receive {
namespace {

namespace json = boost::json;

std::unexpected<Error> corrupt(std::string what) { return fail(ErrorKind::corrupt, std::move(what)); }

template <class T>
constexpr std::uint64_t as_number(T value) {
    return static_cast<std::uint64_t>(value);
}

// ---- Reading ---------------------------------------------------------------------------------------

/// Remembers the first thing that is wrong and then does nothing.
class Reader {
public:
    explicit Reader(const json::object& object) : object_(&object) {}

    template <class T>
    void number(std::string_view name, T& value, T low, T high) {
        const auto* found = find(name);
        if (found == nullptr) return;
        json::error_code error;
        const auto n = found->is_double() ? 0 : found->to_number<std::uint64_t>(error);
        if (found->is_double() || error || n < as_number(low) || n > as_number(high)) return wrong(name);
        value = static_cast<T>(n);
    }
    void flag(std::string_view name, bool& value) {
        const auto* found = find(name);
        if (found == nullptr) return;
        if (!found->is_bool()) return wrong(name);
        value = found->get_bool();
    }
    /// Absent, from an older segue, is false.
    void newer_flag(std::string_view name, bool& value) {
        if (!fault_ && object_->if_contains(name) != nullptr) flag(name, value);
    }
    /// Absent, from an older segue, is what it was.
    template <class T>
    void newer_number(std::string_view name, T& value, T low, T high) {
        if (!fault_ && object_->if_contains(name) != nullptr) number(name, value, low, high);
    }
    template <class E, std::size_t N>
    void word(std::string_view name, E& value, const std::array<WordOf<E>, N>& words) {
        const auto* found = find(name);
        if (found == nullptr) return;
        if (!found->is_string()) return wrong(name);
        const std::string_view said = found->get_string();
        const auto place = std::ranges::find(words, said, &WordOf<E>::word);
        if (place == words.end()) return wrong(name);
        value = place->value;
    }
    void text(std::string_view name, std::string& value, std::size_t bytes, Text kind) {
        if (const auto* found = find(name)) take(name, *found, value, bytes, kind);
    }
    void newer_text(std::string_view name, std::string& value, std::size_t bytes, Text kind) {
        if (!fault_ && object_->if_contains(name) != nullptr) text(name, value, bytes, kind);
    }
    void hex(std::string_view name, std::string& value) {
        text(name, value, 32, Text::plain);
        if (!fault_ && !is_hex128(value)) wrong(name);
    }
    void optional_hex(std::string_view name, std::optional<MoveId>& value) {
        if (fault_ || object_->if_contains(name) == nullptr) return;
        hex(name, value.emplace().hex);
    }
    void names(std::string_view name, std::vector<std::string>& list, std::size_t bytes, Text kind) {
        const auto* entries = find_list(name);
        if (entries == nullptr) return;
        for (const auto& entry : *entries) take(name, entry, list.emplace_back(), bytes, kind);
    }
    void newer_names(std::string_view name, std::vector<std::string>& list, std::size_t bytes, Text kind) {
        if (!fault_ && object_->if_contains(name) != nullptr) names(name, list, bytes, kind);
    }
    template <class T>
    void object(std::string_view name, T& value) {
        if (const auto* found = find(name)) inside(name, *found, value);
    }
    template <class T>
    void optional_object(std::string_view name, std::optional<T>& value) {
        if (fault_ || object_->if_contains(name) == nullptr) return;
        object(name, value.emplace());
    }
    template <class T>
    void objects(std::string_view name, std::vector<T>& list) {
        const auto* entries = find_list(name);
        if (!entries) return;
        for (const auto& entry : *entries) inside(name, entry, list.emplace_back());
    }
    template <class T>
    void newer_object(std::string_view name, T& value) {
        if (!fault_ && object_->if_contains(name) != nullptr) object(name, value);
    }
    template <class T>
    void newer_objects(std::string_view name, std::vector<T>& list, bool& known) {
        known = !fault_ && object_->if_contains(name) != nullptr;
        if (known) objects(name, list);
    }

    template <class T>
    void newer_list(std::string_view name, std::vector<T>& list) {
        if (!fault_ && object_->if_contains(name) != nullptr) objects(name, list);
    }

    [[nodiscard]] const std::optional<std::string>& fault() const { return fault_; }

private:
    const json::value* find(std::string_view name) {
        if (fault_) return nullptr;
        const auto* found = object_->if_contains(name);
        if (found == nullptr) fault_ = fmt::format("no field \"{}\"", name);
        return found;
    }
    const json::array* find_list(std::string_view name) {
        const auto* found = find(name);
        if (found == nullptr) return nullptr;
        if (found->is_array() && found->get_array().size() <= list_entries_max) return &found->get_array();
        wrong(name);
        return nullptr;
    }
    void take(std::string_view name, const json::value& found, std::string& value, std::size_t bytes, Text kind) {
        if (fault_) return;
        if (!found.is_string()) return wrong(name);
        value = std::string(std::string_view(found.get_string()));
        if (!make_clean(value, bytes, kind)) wrong(name);
    }
    template <class T>
    void inside(std::string_view name, const json::value& found, T& value) {
        if (fault_) return;
        if (!found.is_object()) return wrong(name);
        const json::object* outer = std::exchange(object_, &found.get_object());
        describe(*this, value);
        object_ = outer;
        if (fault_) *fault_ += fmt::format(" in \"{}\"", name);
    }
    void wrong(std::string_view name) {
        if (!fault_) fault_ = fmt::format("field \"{}\" has a value that it cannot have", name);
    }

    const json::object* object_;
    std::optional<std::string> fault_;
};

// ---- Writing ---------------------------------------------------------------------------------------

class Writer {
public:
    explicit Writer(json::object& object) : object_(&object) {}

    template <class T>
    void number(std::string_view name, T& value, T low, T high) {
        if (value < low || value > high) return wrong(name);
        (*object_)[name] = as_number(value);
    }
    template <class T>
    void newer_number(std::string_view name, T& value, T low, T high) {
        number(name, value, low, high);
    }
    void flag(std::string_view name, bool& value) { (*object_)[name] = value; }
    void newer_flag(std::string_view name, bool& value) { flag(name, value); }
    template <class E, std::size_t N>
    void word(std::string_view name, E& value, const std::array<WordOf<E>, N>& words) {
        const auto place = std::ranges::find(words, value, &WordOf<E>::value);
        if (place == words.end()) return wrong(name);
        (*object_)[name] = place->word;
    }
    void text(std::string_view name, std::string& value, std::size_t bytes, Text kind) {
        (*object_)[name] = clean(name, value, bytes, kind);
    }
    void newer_text(std::string_view name, std::string& value, std::size_t bytes, Text kind) {
        if (!value.empty()) text(name, value, bytes, kind);
    }
    void hex(std::string_view name, std::string& value) {
        if (!is_hex128(value)) return wrong(name);
        (*object_)[name] = value;
    }
    void optional_hex(std::string_view name, std::optional<MoveId>& value) {
        if (value) hex(name, value->hex);
    }
    void names(std::string_view name, std::vector<std::string>& list, std::size_t bytes, Text kind) {
        if (list.size() > list_entries_max) return wrong(name);
        json::array entries;
        for (auto& entry : list) entries.emplace_back(clean(name, entry, bytes, kind));
        (*object_)[name] = std::move(entries);
    }
    void newer_names(std::string_view name, std::vector<std::string>& list, std::size_t bytes, Text kind) {
        if (!list.empty()) names(name, list, bytes, kind);
    }
    template <class T>
    void object(std::string_view name, T& value) {
        (*object_)[name] = inside(value);
    }
    template <class T>
    void optional_object(std::string_view name, std::optional<T>& value) {
        if (value) object(name, *value);
    }
    template <class T>
    void objects(std::string_view name, std::vector<T>& list) {
        if (list.size() > list_entries_max) return wrong(name);
        json::array entries;
        for (auto& entry : list) entries.emplace_back(inside(entry));
        (*object_)[name] = std::move(entries);
    }
    template <class T>
    void newer_object(std::string_view name, T& value) {
        object(name, value);
    }
    template <class T>
    void newer_objects(std::string_view name, std::vector<T>& list, bool& known) {
        if (known) objects(name, list);
    }
    template <class T>
    void newer_list(std::string_view name, std::vector<T>& list) {
        if (!list.empty()) objects(name, list);
    }

    [[nodiscard]] const std::optional<std::string>& fault() const { return fault_; }

private:
    /// What people read is cut to fit: a long complaint of QEMU's must not end the connection.
    std::string& clean(std::string_view name, std::string& value, std::size_t bytes, Text kind) {
        if (kind == Text::shown && value.size() > bytes) {
            while (bytes > 0 && (static_cast<unsigned char>(value[bytes]) & 0xc0U) == 0x80U) --bytes;
            value.resize(bytes);
        }
        if (!make_clean(value, bytes, kind)) wrong(name);
        return value;
    }
    template <class T>
    json::object inside(T& value) {
        json::object inner;
        json::object* outer = std::exchange(object_, &inner);
        describe(*this, value);
        object_ = outer;
        return inner;
    }
    void wrong(std::string_view name) {
        if (!fault_) fault_ = fmt::format("field \"{}\" has a value that it cannot have", name);
    }

    json::object* object_;
    std::optional<std::string> fault_;
};

template <std::size_t I = 0>
Result<Message> read_fields(std::size_t index, const json::object& object) {
    if constexpr (I + 1 < std::variant_size_v<Message>) {
        if (I != index) return read_fields<I + 1>(index, object);
        std::variant_alternative_t<I, Message> message;
        Reader reader(object);
        describe(reader, message);
        if (reader.fault()) return corrupt(fmt::format("\"{}\": {}", type_words[I], *reader.fault()));
        return Message(std::in_place_index<I>, std::move(message));
    } else {
        return corrupt("a message of no type");
    }
}

/// What one field alone cannot show.
Result<void> check_whole(const Message& message) {
    if (const auto* hello = std::get_if<Hello>(&message); hello && hello->versions_min > hello->versions_max) {
        return corrupt("\"hello\": its versions end before they begin");
    }
    if (const auto* prepare = std::get_if<Prepare>(&message)) {
        const int ways = int{!prepare->monitor.empty()} + int{!prepare->command.empty()} + int{prepare->vm.has_value()};
        if (ways != 1) return corrupt("\"prepare\": needs one of a monitor, a command and a VM");
        if (!prepare->monitor.empty() && prepare->monitor.front() != '/') {
            return corrupt("\"prepare\": the monitor is no absolute path");
        }
    }
    if (const auto* prepare = std::get_if<Prepare>(&message);
        prepare && prepare->data && prepare->data->port_first > prepare->data->port_last) {
        return corrupt("\"prepare\": its ports end before they begin");
    }
    if (const auto* listen = std::get_if<Listen>(&message); listen && listen->port_first > listen->port_last) {
        return corrupt("\"listen\": its ports end before they begin");
    }
    return {};
}

}  // namespace

Result<Message> parse(std::string_view line) {
    if (line.size() > line_bytes_max) return corrupt(fmt::format("a line of more than {} bytes", line_bytes_max));
    json::parse_options options;
    options.max_depth = depth_max;
    json::error_code error;
    const json::value value = json::parse(json::string_view(line.data(), line.size()), error, {}, options);
    if (error) return corrupt("a line that is no JSON: " + error.message());
    if (!value.is_object()) return corrupt("a line that is no JSON object");
    const auto& object = value.get_object();
    const auto* type = object.if_contains("type");
    if (!type || !type->is_string()) return corrupt("a message without a type");
    const std::string_view word = type->get_string();
    const auto known = std::find(type_words.begin(), type_words.end() - 1, word);
    if (known == type_words.end() - 1) {
        const auto* optional = object.if_contains("optional");
        std::string name(word.substr(0, name_bytes_max));
        const bool ignore = optional != nullptr && optional->is_bool() && optional->get_bool();
        if (ignore) return Message(Ignored{std::move(name)});
        return corrupt("a message of a type that this version does not know");
    }
    SEGUE_TRY(message, read_fields(static_cast<std::size_t>(known - type_words.begin()), object));
    if (auto whole = check_whole(message); !whole) return std::unexpected(std::move(whole).error());
    return std::move(message);
}

Result<std::string> encode(const Message& message) {
    Message copy = message;
    const std::string_view type = type_words[message.index()];
    json::object object;
    object["type"] = type;
    Writer writer(object);
    std::visit([&writer](auto& fields) { describe(writer, fields); }, copy);
    if (type.empty()) return fail(ErrorKind::invalid, "a message of no type cannot be sent");
    if (writer.fault()) return fail(ErrorKind::invalid, fmt::format("\"{}\": {}", type, *writer.fault()));
    if (auto whole = check_whole(copy); !whole) return fail(ErrorKind::invalid, whole.error().message);
    std::string line = json::serialize(object);
    if (line.size() > line_bytes_max) {
        return fail(ErrorKind::invalid,
                    fmt::format("\"{}\" would be a line of {} bytes, over {}", type, line.size(), line_bytes_max));
    }
    return line + "\n";
}

Fed LineReader::feed(std::span<const char> bytes) {
    Fed fed;
    while (!fault_ && !bytes.empty()) {
        const auto end = std::ranges::find(bytes, '\n');
        const auto length = static_cast<std::size_t>(end - bytes.begin());
        if (line_.size() + length > line_bytes_max) {
            fault_ = corrupt(fmt::format("a line of more than {} bytes", line_bytes_max)).error();
            break;
        }
        line_.append(bytes.data(), length);
        if (end == bytes.end()) break;
        bytes = bytes.subspan(length + 1);
        if (!line_.empty()) {
            if (auto message = parse(line_)) fed.messages.push_back(std::move(*message));
            else fault_ = std::move(message).error();
        }
        line_.clear();
    }
    fed.fault = fault_;
    return fed;
}

}  // namespace segue::receive

#pragma once
/// \file  Just enough of QMP for the guardian: which message came, and the few words of it that matter.
///
/// Takes bytes as they come (any split, any white space), keeps no message: every value that is not one
/// of those below is passed over, so the memory is constant and there is no heap. Strings are followed
/// with their escapes and containers with their kinds, so nothing inside an event's data or an error's
/// text can look like a message of its own.
///
/// Errors: bytes that cannot be JSON, nesting over `depth_max`, a message over `bytes_max`: `broken()`
/// for good, the connection must be closed. It is lenient where a wrong guess cannot matter (numbers,
/// literals, missing commas): the peer is a QEMU, not an attacker, but it may be cut in the middle.
/// Thread: values only.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace segue::guard {

/// A short text without heap; longer input is cut and then equals nothing it is compared with.
template <std::size_t Capacity>
class Word {
public:
    constexpr void clear() noexcept {
        length_ = 0;
        cut_ = false;
    }
    constexpr void push(char c) noexcept {
        if (length_ < Capacity) {
            text_[length_++] = c;
        } else {
            cut_ = true;
        }
    }
    template <std::size_t Other>
    constexpr void assign(const Word<Other>& other) noexcept {
        clear();
        for (const char c : other.view()) push(c);
        cut_ = cut_ || other.cut();
    }
    [[nodiscard]] constexpr std::string_view view() const noexcept { return {text_.data(), length_}; }
    [[nodiscard]] constexpr bool is(std::string_view text) const noexcept {
        return !cut_ && view() == text;
    }
    [[nodiscard]] constexpr bool cut() const noexcept { return cut_; }

private:
    std::array<char, Capacity> text_{};
    std::size_t length_ = 0;
    bool cut_ = false;
};

enum class QmpKind {
    other,
    greeting,  ///< {"QMP": ...}
    event,     ///< {"event": ...}
    answer,    ///< {"return": ...}
    error,     ///< {"error": ...}
};

struct QmpMessage {
    QmpKind kind = QmpKind::other;
    std::uint64_t id = 0;      ///< Our ids are numbers above 0; 0: none, or not ours.
    Word<40> event;            ///< The event's name.
    Word<24> status;           ///< return.status (query-status) or data.status (MIGRATION).
    Word<120> description;     ///< error.desc, cut.
    bool oob = false;          ///< Greeting: out-of-band commands may be enabled.
    bool migration_yank = false;  ///< query-yank: return has {"type": "migration"}.
};

class QmpScanner {
public:
    /// Deeper than any reply to what the guardian asks or any event (those stay below 10).
    static constexpr unsigned depth_max = 64;
    /// As limits::qmp_message_bytes_max: a longer message is a mistake on the other side.
    static constexpr std::size_t bytes_max = 1024 * 1024;

    /// True when this byte ended a message: see `message()`, valid until the next push.
    [[nodiscard]] constexpr bool push(char c) noexcept {
        if (broken_) return false;
        if (depth_ > 0 && ++bytes_ > bytes_max) return fail();
        if (in_string_) {
            in_string(c);
            return false;
        }
        return outside(c);
    }

    [[nodiscard]] constexpr const QmpMessage& message() const noexcept { return message_; }
    [[nodiscard]] constexpr bool broken() const noexcept { return broken_; }
    /// False in the middle of a message.
    [[nodiscard]] constexpr bool between_messages() const noexcept { return depth_ == 0; }

private:
    enum class Key : std::uint8_t {
        other, qmp, event, data, answer, error, id, status, description, type, capabilities
    };

    constexpr bool fail() noexcept {
        broken_ = true;
        return false;
    }

    [[nodiscard]] static constexpr Key classify(const Word<120>& word) noexcept {
        if (word.is("QMP")) return Key::qmp;
        if (word.is("event")) return Key::event;
        if (word.is("data")) return Key::data;
        if (word.is("return")) return Key::answer;
        if (word.is("error")) return Key::error;
        if (word.is("id")) return Key::id;
        if (word.is("status")) return Key::status;
        if (word.is("desc")) return Key::description;
        if (word.is("type")) return Key::type;
        if (word.is("capabilities")) return Key::capabilities;
        return Key::other;
    }

    [[nodiscard]] constexpr bool in_object() const noexcept {
        return depth_ > 0 && (objects_ >> (depth_ - 1) & 1U) != 0;
    }
    [[nodiscard]] constexpr Key key_at(unsigned depth) const noexcept {
        return depth >= 1 && depth <= keys_.size() ? keys_[depth - 1] : Key::other;
    }

    constexpr void in_string(char c) noexcept {
        if (escaped_) {
            escaped_ = false;
            // What an escape stands for never matters to us; a backslash keeps the word from being
            // taken for another.
            if (c != '"' && c != '\\' && c != '/') word_.push('\\');
            word_.push(c);
        } else if (c == '\\') {
            escaped_ = true;
        } else if (c == '"') {
            in_string_ = false;
            end_of_string();
        } else if (static_cast<unsigned char>(c) < 0x20) {
            broken_ = true;
        } else {
            word_.push(c);
        }
    }

    constexpr void end_of_string() noexcept {
        if (key_next_) {
            key_next_ = false;
            if (depth_ <= keys_.size()) keys_[depth_ - 1] = classify(word_);
            if (depth_ == 1) top_level_key(keys_[0]);
            return;
        }
        const Key top = key_at(1);
        if (depth_ == 1 && top == Key::event) message_.event.assign(word_);
        if (depth_ == 2 && in_object()) {
            const Key key = key_at(2);
            const bool has_status = top == Key::answer || top == Key::data;
            if (has_status && key == Key::status) message_.status.assign(word_);
            if (top == Key::error && key == Key::description) message_.description.assign(word_);
        }
        if (depth_ == 3) {
            const bool listed = !in_object() && top == Key::qmp && key_at(2) == Key::capabilities;
            if (listed && word_.is("oob")) message_.oob = true;
            const bool typed = in_object() && top == Key::answer && key_at(3) == Key::type;
            if (typed && word_.is("migration")) message_.migration_yank = true;
        }
    }

    constexpr void top_level_key(Key key) noexcept {
        if (message_.kind != QmpKind::other) return;
        switch (key) {
            case Key::qmp: message_.kind = QmpKind::greeting; break;
            case Key::event: message_.kind = QmpKind::event; break;
            case Key::answer: message_.kind = QmpKind::answer; break;
            case Key::error: message_.kind = QmpKind::error; break;
            case Key::other:
            case Key::data:
            case Key::id:
            case Key::status:
            case Key::description:
            case Key::type:
            case Key::capabilities: break;
        }
    }

    [[nodiscard]] constexpr bool outside(char c) noexcept {
        if (depth_ == 0) {
            if (c == ' ' || c == '\n' || c == '\r' || c == '\t') return false;
            if (c != '{') return fail();
            message_ = QmpMessage{};
            bytes_ = 1;
            return open(true);
        }
        switch (c) {
            case '{': return open(true);
            case '[': return open(false);
            case '}': return close(true);
            case ']': return close(false);
            case '"':
                in_string_ = true;
                word_.clear();
                return false;
            case ',': key_next_ = in_object(); return false;
            case ':': key_next_ = false; return false;
            default: break;
        }
        if (depth_ == 1 && key_at(1) == Key::id && c >= '0' && c <= '9') {
            message_.id = message_.id * 10 + static_cast<std::uint64_t>(c - '0');
        }
        return false;
    }

    constexpr bool open(bool object) noexcept {
        if (depth_ == depth_max) return fail();
        const std::uint64_t bit = std::uint64_t{1} << depth_;
        objects_ = object ? objects_ | bit : objects_ & ~bit;
        ++depth_;
        if (depth_ <= keys_.size()) keys_[depth_ - 1] = Key::other;
        key_next_ = object;
        return false;
    }

    constexpr bool close(bool object) noexcept {
        if (in_object() != object) return fail();
        --depth_;
        key_next_ = false;
        return depth_ == 0;
    }

    QmpMessage message_;
    Word<120> word_;                ///< The string being read.
    std::array<Key, 3> keys_{};     ///< The key that is open at depth 1, 2, 3.
    std::uint64_t objects_ = 0;     ///< Bit d: the container at depth d + 1 is an object.
    std::size_t bytes_ = 0;
    unsigned depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
    bool key_next_ = false;
    bool broken_ = false;
};

}  // namespace segue::guard

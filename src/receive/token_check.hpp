#pragma once
/// \file  Who may be the data connection: the stranger who says the one-time token first, in time.
///
/// The listener's shell makes one `TokenCheck` per accepted connection and one `TokenGate` per move. At most
/// `token_bytes_max` bytes are awaited for `token_wait`; what follows the token's newline is the stream and
/// stays unread. The comparison takes the same time wherever the first wrong byte is.

#include <cstddef>
#include <span>
#include <string>

#include "receive/message.hpp"
#include "units/duration.hpp"

namespace segue::receive {

inline constexpr std::size_t token_bytes_max = 64;
inline constexpr Duration token_wait = std::chrono::seconds{2};
/// Strangers who may be on the way at once, and in all: more is an attack, and the listener is closed.
inline constexpr int strangers_at_once_max = 8;
inline constexpr int strangers_max = 64;

/// Same time for every `said` of one length.
[[nodiscard]] bool equal_in_constant_time(std::string_view expected, std::string_view said) noexcept;

enum class TokenVerdict { waiting, right, wrong };

class TokenCheck {
public:
    TokenCheck(Token token, Instant accepted_at) : token_(std::move(token)), deadline_(accepted_at + token_wait) {}

    /// Bytes to read at most: one more would be the stream's.
    [[nodiscard]] std::size_t wanted() const { return token_.hex.size() + 1 - said_.size(); }
    /// \pre bytes.size() <= wanted().
    [[nodiscard]] TokenVerdict feed(std::span<const char> bytes, Instant now);
    [[nodiscard]] Instant deadline() const { return deadline_; }

private:
    Token token_;
    Instant deadline_;
    std::string said_;
};

/// Counts connections of one listener.
class TokenGate {
public:
    /// Whether one more may try. A refused one is closed unread.
    [[nodiscard]] bool enter();
    /// It ended without the right token, or with it. True if it is the data connection.
    [[nodiscard]] bool leave(TokenVerdict verdict);
    [[nodiscard]] int refused() const { return refused_; }
    /// The listener must be closed: taken, or too many strangers.
    [[nodiscard]] bool closed() const { return taken_ || refused_ >= strangers_max; }

private:
    int inside_ = 0;
    int refused_ = 0;
    bool taken_ = false;
};

}  // namespace segue::receive

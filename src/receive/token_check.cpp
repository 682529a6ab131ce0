#include "receive/token_check.hpp"

#include "base/assert.hpp"

namespace segue::receive {

bool equal_in_constant_time(std::string_view expected, std::string_view said) noexcept {
    unsigned differ = expected.size() == said.size() ? 0U : 1U;
    for (std::size_t i = 0; i < said.size(); ++i) {
        const char other = expected.empty() ? '\0' : expected[i % expected.size()];
        differ |= static_cast<unsigned>(static_cast<unsigned char>(other) ^ static_cast<unsigned char>(said[i]));
    }
    return differ == 0;
}

TokenVerdict TokenCheck::feed(std::span<const char> bytes, Instant now) {
    SEGUE_ASSERT(bytes.size() <= wanted() && token_.hex.size() < token_bytes_max);
    if (now >= deadline_) return TokenVerdict::wrong;
    said_.append(bytes.data(), bytes.size());
    if (wanted() > 0) return TokenVerdict::waiting;
    const bool right = equal_in_constant_time(token_.hex + "\n", said_);
    return right ? TokenVerdict::right : TokenVerdict::wrong;
}

bool TokenGate::enter() {
    if (closed() || inside_ >= strangers_at_once_max) {
        ++refused_;
        return false;
    }
    ++inside_;
    return true;
}

bool TokenGate::leave(TokenVerdict verdict) {
    SEGUE_ASSERT(inside_ > 0);
    --inside_;
    if (verdict == TokenVerdict::right && !taken_) return taken_ = true;
    ++refused_;
    return false;
}

}  // namespace segue::receive

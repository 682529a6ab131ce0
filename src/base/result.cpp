#include "base/result.hpp"

namespace segue {

std::string_view to_string(ErrorKind kind) noexcept {
    switch (kind) {
        case ErrorKind::invalid: return "invalid";
        case ErrorKind::refused: return "refused";
        case ErrorKind::unsupported: return "unsupported";
        case ErrorKind::conflict: return "conflict";
        case ErrorKind::unavailable: return "unavailable";
        case ErrorKind::timed_out: return "timed-out";
        case ErrorKind::corrupt: return "corrupt";
    }
    return "unknown";
}

std::string to_string(const Error& error) {
    if (error.source.empty()) return error.message;
    return error.message + ": " + error.source;
}

}  // namespace segue

#pragma once
/// \file  How the outside world's failures travel: `Result<T>` with an `Error` made for the operator.
///
/// Thread: values only. Cost: one string or two per error.

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace segue {

/// Chosen by what the caller can do about it, not by who failed.
enum class ErrorKind {
    invalid,      ///< Bad input: name the option and the valid range.
    refused,      ///< The other side said no; nothing was changed by this request.
    unsupported,  ///< The other side lacks the feature.
    conflict,     ///< Not in this state.
    unavailable,  ///< The connection broke: the request may or may not have happened.
    timed_out,    ///< No answer in time: the request may or may not have happened.
    corrupt,      ///< The answer could not be understood.
};

/// Stable words for JSON and logs.
[[nodiscard]] std::string_view to_string(ErrorKind kind) noexcept;

struct Error {
    ErrorKind kind = ErrorKind::refused;
    /// One sentence for the operator: what happened, to what.
    std::string message;
    /// The hypervisor's or the kernel's own words, verbatim; shown, never parsed for decisions.
    std::string source;
};

/// After these the truth must be read before anything else is decided.
[[nodiscard]] constexpr bool outcome_unknown(ErrorKind kind) noexcept {
    return kind == ErrorKind::unavailable || kind == ErrorKind::timed_out;
}

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorKind kind, std::string message,
                                                 std::string source = {}) {
    return std::unexpected<Error>(Error{kind, std::move(message), std::move(source)});
}

/// "message: source", or the message alone.
[[nodiscard]] std::string to_string(const Error& error);

}  // namespace segue

/// Declares `name` as the value of `expression`, or returns its error from this function.
/// (g++ 12's std::expected has no monadic members.)
#define SEGUE_TRY(name, expression)                                        \
    auto name##_result = (expression);                                     \
    if (!name##_result) return std::unexpected(std::move(name##_result).error()); \
    auto& name = *name##_result

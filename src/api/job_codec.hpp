#pragma once
/// \file  What `segue status` and `segue cancel` say to a running `segue migrate`, and its answers.
///
/// One JSON object a line on a unix socket, at most `job::line_bytes_max` bytes, ended by a newline. The words are
/// in docs/json-output.md, "The socket of a job". Unknown fields are ignored, unknown types are an error; a field
/// never changes its meaning within a version.
/// Pure. Errors: `corrupt` for what is no message, `unsupported` for a message or version that is not known here;
/// they never hold the peer's bytes.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue::job {

inline constexpr std::int64_t version = 1;
inline constexpr std::size_t line_bytes_max = 64 * 1024;
/// Of one answer's sentences and names: several of them fit a line, escapes and all.
inline constexpr std::size_t text_bytes_max = 1024;

struct StatusRequest {
    friend bool operator==(const StatusRequest&, const StatusRequest&) = default;
};
struct CancelRequest {
    friend bool operator==(const CancelRequest&, const CancelRequest&) = default;
};
using Request = std::variant<StatusRequest, CancelRequest>;

/// How far a move is.
struct Status {
    std::int64_t job = 0;
    std::string vm;
    std::string src;  ///< As people call them: "host1 qmp:/run/a.qmp".
    std::string dst;
    std::string stage;     ///< As in docs/json-output.md.
    std::string guest_on;  ///< `source`, `destination` or `unknown`.
    Duration elapsed{0};
    std::optional<std::int64_t> pass;  ///< These five before the first progress: none.
    std::optional<Bytes> left;
    std::optional<Bytes> sent;
    std::optional<ByteRate> out;
    std::optional<ByteRate> dirtying;
    std::optional<Duration> blackout_now;
    Duration max_downtime{0};
    std::optional<Duration> timeout;
    friend bool operator==(const Status&, const Status&) = default;
};
/// The move is being undone. It may still turn out that the word went first: the journal says how it ended.
struct Cancelling {
    friend bool operator==(const Cancelling&, const Cancelling&) = default;
};
struct Refused {
    std::string reason;
    friend bool operator==(const Refused&, const Refused&) = default;
};
/// The request was not understood; the connection is closed.
struct Failed {
    std::string message;
    friend bool operator==(const Failed&, const Failed&) = default;
};
using Reply = std::variant<Status, Cancelling, Refused, Failed>;

/// With their newline. Texts are repaired to UTF-8 and cut to `text_bytes_max`.
[[nodiscard]] std::string encode(const Request& request);
[[nodiscard]] std::string encode(const Reply& reply);

/// Of one line without its newline.
[[nodiscard]] Result<Request> parse_request(std::string_view line);
[[nodiscard]] Result<Reply> parse_reply(std::string_view line);

/// Cuts a stream into lines, however it was cut before.
class LineReader {
public:
    struct Lines {
        std::vector<std::string> whole;  ///< Without newlines; empty ones are skipped.
        bool too_long = false;           ///< For good: nothing is read any more.
    };
    [[nodiscard]] Lines feed(std::span<const char> bytes);

private:
    std::string begun_;
    bool too_long_ = false;
};

}  // namespace segue::job

#pragma once
/// \file  QMP messages out of bytes, and bytes out of commands. Pure: no socket, no clock.
///
/// QMP is a stream of JSON objects with no promise about read boundaries (QEMU docs/interop/qmp-spec).
/// `feed` takes whatever a read returned and hands out the messages that became complete.
/// Errors: a message over limits::qmp_message_bytes_max or limits::qmp_depth_max, or bytes that are no
/// QMP message, make the reader `corrupt` for good: the connection must be closed. Messages that were
/// whole before the fault are handed out first; the next call, with or without bytes, tells the error.
/// Cost: about 1.3 us per query-migrate reply (Boost.JSON, measured).

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace segue::qemu {

/// First thing a monitor says. `version` as "10.0.13"; `oob` if out-of-band commands may be enabled.
struct Greeting {
    std::string version;
    bool oob = false;
};

struct Reply {
    std::uint64_t id = 0;
    /// The `return` member, or QEMU's error with its `desc` in `source`: `unsupported` when QEMU does not
    /// know the command (class CommandNotFound), else `refused`.
    Result<boost::json::value> result;
};

/// QEMU's own stamp is host CLOCK_REALTIME in microseconds, taken when the event was emitted; 0 when it
/// sent none that can be used.
struct QmpEvent {
    std::string name;
    boost::json::object data;
    std::int64_t stamp_us = 0;
};

/// An error or an answer without a number of ours: QEMU could not parse what was sent.
struct Complaint {
    std::string description;
};

using Message = std::variant<Greeting, Reply, QmpEvent, Complaint>;

class MessageReader {
public:
    MessageReader();
    ~MessageReader();
    MessageReader(MessageReader&&) noexcept;
    MessageReader& operator=(MessageReader&&) noexcept;

    [[nodiscard]] Result<std::vector<Message>> feed(std::span<const char> bytes);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// One line, with its newline. `out_of_band` writes exec-oob.
[[nodiscard]] std::string encode_command(std::string_view name, const boost::json::object& arguments,
                                         std::uint64_t id, bool out_of_band);

}  // namespace segue::qemu

#pragma once
/// \file  The command that carries the control connection: a child whose standard streams are ours.
///
/// Never blocks the loop, never uses a shell. The child is in a session of its own, so that Ctrl-C on the
/// terminal does not reach it. Its end is noticed by its pidfd and it is reaped, also after this is gone.
/// Thread: the loop's; the loop must outlive this.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "io/loop.hpp"

namespace segue {

namespace transport_limits {
/// Four of the protocol's longest lines: a child that leaves more unread is dead or stuck.
inline constexpr std::size_t unread_bytes_max = 256 * 1024;
/// Of what the child says on its standard error; more is noise.
inline constexpr std::size_t note_bytes_max = 512;
inline constexpr int notes_max = 200;
/// A child that closed its output has this long to say with its status why.
inline constexpr Duration exit_wait = std::chrono::seconds{1};
}  // namespace transport_limits

/// Why there is no connection any more.
struct TransportEnd {
    std::string why;            ///< "ended with status 255".
    std::optional<int> status;  ///< Its exit status, where it ended by itself.
    std::string last_note;      ///< Last line of its standard error, or empty.
};

class Transport {
public:
    struct Callbacks {
        std::function<void(std::string_view bytes)> on_bytes;
        std::function<void(const std::string& line)> on_note;  ///< One line of its standard error.
        /// Once, after everything it had said; nothing comes afterwards.
        std::function<void(const TransportEnd& end)> on_end;
    };

    /// Starts `command`. No callback from inside.
    /// Errors: `unavailable` with the kernel's words in `source`; "No such file or directory": not in PATH.
    [[nodiscard]] static Result<std::unique_ptr<Transport>> start(Loop& loop, const std::vector<std::string>& command,
                                                                  Callbacks callbacks);
    /// Closes the child's input and output and leaves it to end by itself.
    ~Transport();
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    /// In order, as fast as the child reads. Dropped once the connection has ended.
    void send(std::string_view bytes);
    /// SIGTERM to the child and what it has started. For a child that was never greeted by its other side.
    void terminate();

private:
    struct Impl;
    explicit Transport(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace segue

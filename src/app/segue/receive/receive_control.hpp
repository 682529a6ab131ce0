#pragma once
/// \file  The control connection of `segue receive`: lines in from standard input, lines out to standard output.
///
/// A peer that does not read never holds the loop up: what it does not take waits here, up to a limit, and
/// then the connection is over.
/// Thread: the loop's. Errors: the end, told once.

#include <functional>
#include <optional>
#include <string>

#include "io/fd.hpp"
#include "io/loop.hpp"
#include "receive/codec.hpp"

namespace segue {

class ReceiveControl {
public:
    /// Sixteen of the longest lines, or 2 hours of leases.
    static constexpr std::size_t waiting_bytes_max = 1024 * 1024;

    struct Callbacks {
        std::function<void(receive::Message)> on_message;
        std::function<void(std::string why)> on_end;  ///< At most once, never from inside `send`.
    };

    /// \param in,out  Stay the caller's; their flags are not changed, other programs share them.
    ReceiveControl(Loop& loop, int in, int out, Callbacks callbacks);
    ~ReceiveControl();
    ReceiveControl(const ReceiveControl&) = delete;
    ReceiveControl& operator=(const ReceiveControl&) = delete;

    void send(const receive::Message& message);
    /// Nothing is read or sent any more. What waits is tried once more, then dropped.
    void close();
    [[nodiscard]] bool open() const noexcept { return open_; }
    /// Waits until all is written, at most so long. For the end only.
    void drain(Duration at_most);

private:
    void read_some();
    void flush();
    void end(const std::string& why);
    [[nodiscard]] long write_some() const;

    Loop& loop_;
    int in_;
    int out_;
    Fd own_out_;  ///< The same pipe opened once more, so that O_NONBLOCK is ours alone.
    bool out_is_socket_ = false;
    Callbacks callbacks_;
    receive::LineReader reader_;
    std::string waiting_;
    bool open_ = true;
    bool out_gone_ = false;
    std::optional<Loop::WatchId> in_watch_;
    std::optional<Loop::WatchId> out_watch_;
    std::optional<Loop::TimerId> end_timer_;
};

}  // namespace segue

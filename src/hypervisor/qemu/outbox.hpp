#pragma once
/// \file  What waits to be written to a monitor, with the descriptors that go along.
///
/// Thread: the loop's. Writes without blocking and without SIGPIPE.

#include <deque>
#include <string>

#include "io/fd.hpp"

namespace segue::qemu {

class Outbox {
public:
    enum class Flush {
        empty,    ///< Everything is written.
        blocked,  ///< The socket takes no more at present.
        broken,   ///< The socket is of no use any more; see `error_number`.
    };

    /// `passed` goes with the first byte of `bytes`, once, and is closed then.
    void push(std::string bytes, Fd passed = Fd());
    /// The same, before all that has not begun to be written. Those pushed ahead keep their order.
    void push_ahead(std::string bytes);

    [[nodiscard]] Flush flush(int socket);
    [[nodiscard]] int error_number() const noexcept { return error_number_; }
    void clear() { frames_.clear(); }

private:
    struct Frame {
        std::string bytes;
        std::size_t written = 0;
        Fd passed;
        bool ahead = false;
    };

    std::deque<Frame> frames_;
    int error_number_ = 0;
};

}  // namespace segue::qemu

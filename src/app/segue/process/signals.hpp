#pragma once
/// \file  Ctrl-C and polite signals as events of the loop.
///
/// On a terminal the first Ctrl-C only asks; the second cancels. Without a terminal, and for SIGTERM and
/// SIGHUP, the first one cancels. A cancelled move puts everything back before the program ends.
/// Thread: the loop's; blocks those signals for the whole process from construction on.

#include <functional>

#include "io/fd.hpp"
#include "io/loop.hpp"

namespace segue {

class Signals {
public:
    Signals(Loop& loop, bool terminal, std::function<void()> on_ask, std::function<void()> on_cancel);
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

private:
    void on_signal();

    Loop& loop_;
    Fd fd_;
    Loop::WatchId watch_{};
    bool ask_first_;
    std::function<void()> on_ask_;
    std::function<void()> on_cancel_;
};

}  // namespace segue

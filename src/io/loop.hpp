#pragma once
/// \file  The event loop and the one real clock. Everything that waits in Segue waits here, on one thread.
///
/// Thread: all calls from the thread that runs `run()`, but `stop()`, which may be called from any.
/// Ownership: callbacks are owned by the loop until they ran (timers) or were cancelled (watches).
/// Cost: one epoll registration a watch, one heap entry a timer. Asio is behind this face only.

#include <cstdint>
#include <functional>
#include <memory>

#include "units/duration.hpp"

namespace segue {

/// CLOCK_BOOTTIME, so that a host's suspend counts as time passed.
[[nodiscard]] Instant now_on_this_host() noexcept;

class Loop {
public:
    enum class TimerId : std::uint64_t {};
    enum class WatchId : std::uint64_t {};

    Loop();
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    [[nodiscard]] Instant now() const noexcept { return now_on_this_host(); }

    /// Runs `action` once, at `when` or as soon after as the loop gets to it.
    TimerId at(Instant when, std::function<void()> action);
    /// Harmless when the timer has fired already.
    void cancel(TimerId timer) noexcept;

    /// Calls `ready` whenever `fd` has something to read (or its peer is gone), until `unwatch`. The
    /// caller keeps owning `fd` and must unwatch before closing it.
    WatchId watch_readable(int fd, std::function<void()> ready);
    /// The same for "can be written" (used only while something waits to be written).
    WatchId watch_writable(int fd, std::function<void()> ready);
    /// May be called from inside the watch's own callback.
    void unwatch(WatchId watch) noexcept;

    /// Runs `action` after the current callback returned.
    void post(std::function<void()> action);

    /// Until `stop()`; one that came before makes it return at once. May be called again afterwards:
    /// timers, watches and posted actions are kept.
    void run();
    void stop() noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue

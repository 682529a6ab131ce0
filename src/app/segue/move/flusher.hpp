#pragma once
/// \file  Writes back what the host still holds of disk images, on a thread of its own, and says how long
///        it took. An fsync can take seconds; the loop must never wait for one.
///
/// Thread: `flush` on the loop's; the callback on the loop's. One flush at a time.

#include <functional>
#include <memory>
#include <vector>

#include "hypervisor/guest.hpp"
#include "io/loop.hpp"

namespace segue {

class Flusher {
public:
    explicit Flusher(Loop& loop);
    /// Waits for a flush that is under way: the kernel cannot be told to stop it.
    ~Flusher();
    Flusher(const Flusher&) = delete;
    Flusher& operator=(const Flusher&) = delete;

    /// Images that cannot be opened from here are passed over: QEMU flushes them itself at the stop.
    void flush(std::vector<Image> images, std::function<void(Duration took)> on_done);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace segue

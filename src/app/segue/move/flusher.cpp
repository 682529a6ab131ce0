#include "app/segue/move/flusher.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "io/fd.hpp"

namespace segue {

struct Flusher::Impl {
    Loop& loop;
    Fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Loop::WatchId watch{};
    std::thread worker;
    Duration took{0};  ///< Written by the worker before it rings, read after.
    std::function<void(Duration)> on_done;

    explicit Impl(Loop& l) : loop(l) {
        SEGUE_ASSERT(static_cast<bool>(bell));
        watch = loop.watch_readable(bell.get(), [this] { finished(); });
    }
    ~Impl() {
        loop.unwatch(watch);
        if (worker.joinable()) worker.join();
    }

    void finished() {
        std::uint64_t count = 0;
        if (::read(bell.get(), &count, sizeof count) < 0) return;
        worker.join();
        auto callback = std::exchange(on_done, nullptr);
        callback(took);
    }
};

Flusher::Flusher(Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}
Flusher::~Flusher() = default;

void Flusher::flush(std::vector<Image> images, std::function<void(Duration)> on_done) {
    SEGUE_ASSERT(!impl_->worker.joinable());
    impl_->on_done = std::move(on_done);
    impl_->worker = std::thread([impl = impl_.get(), images = std::move(images)] {
        const Instant began = now_on_this_host();
        for (const auto& image : images) {
            if (image.file.empty()) continue;
            const Fd file(::open(image.file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
            if (file) static_cast<void>(::fsync(file.get()));
        }
        impl->took = now_on_this_host() - began;
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto rung = ::write(impl->bell.get(), &one, sizeof one);
    });
}

}  // namespace segue

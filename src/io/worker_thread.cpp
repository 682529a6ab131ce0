#include "io/worker_thread.hpp"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "io/fd.hpp"

namespace segue {

struct WorkerThread::Impl {
    Loop& loop;
    Fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Loop::WatchId watch{};

    std::mutex mutex;  // Guards the three below. `ending` is written by the loop's thread alone, which reads it freely.
    std::deque<Job> jobs;
    std::deque<Answer> answers;
    bool ending = false;
    std::condition_variable wake;

    std::size_t outstanding = 0;  ///< Loop's thread only.
    std::thread thread;

    explicit Impl(Loop& l) : loop(l) {}

    void work() {
        for (;;) {
            Job job;
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [this] { return ending || !jobs.empty(); });
                if (jobs.empty()) return;
                job = std::move(jobs.front());
                jobs.pop_front();
            }
            Answer answer = job();
            job = nullptr;
            {
                const std::scoped_lock lock(mutex);
                answers.push_back(std::move(answer));
            }
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto rung = ::write(bell.get(), &one, sizeof one);
        }
    }

    void deliver() {
        std::uint64_t count = 0;
        if (::read(bell.get(), &count, sizeof count) < 0) return;
        std::deque<Answer> ready;
        {
            const std::scoped_lock lock(mutex);
            ready.swap(answers);
        }
        for (Answer& answer : ready) {
            // An answer may have destroyed the WorkerThread; nobody is answered after that.
            if (ending) return;
            --outstanding;
            if (answer) answer();
        }
    }
};

WorkerThread::WorkerThread(Loop& loop) : impl_(std::make_shared<Impl>(loop)) {
    SEGUE_ASSERT(static_cast<bool>(impl_->bell));
    // Shared: an answer may destroy this object while deliver() runs.
    impl_->watch = loop.watch_readable(impl_->bell.get(), [impl = impl_] { impl->deliver(); });
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    impl_->thread = std::thread([impl = impl_.get()] { impl->work(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

WorkerThread::~WorkerThread() {
    {
        const std::scoped_lock lock(impl_->mutex);
        impl_->ending = true;
    }
    impl_->wake.notify_one();
    impl_->thread.join();
    impl_->loop.unwatch(impl_->watch);
}

void WorkerThread::perform(Job job) {
    ++impl_->outstanding;
    {
        const std::scoped_lock lock(impl_->mutex);
        impl_->jobs.push_back(std::move(job));
    }
    impl_->wake.notify_one();
}

void WorkerThread::answer_later(Answer answer) {
    impl_->loop.post([weak = std::weak_ptr(impl_), answer = std::move(answer)] {
        const auto impl = weak.lock();
        if (impl && !impl->ending && answer) answer();
    });
}

std::size_t WorkerThread::outstanding() const { return impl_->outstanding; }

}  // namespace segue

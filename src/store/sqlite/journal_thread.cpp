#include "store/sqlite/journal_thread.hpp"

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

struct JournalThread::Impl {
    Loop& loop;
    std::unique_ptr<Journal> journal;
    Fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Loop::WatchId watch{};

    std::mutex mutex;  // Guards the four below.
    std::condition_variable wake;
    std::deque<Request> requests;
    std::deque<std::function<void()>> answers;
    bool ending = false;
    /// Asked and not yet answered. At most requests_max, which bounds both queues. Loop's thread only.
    std::size_t outstanding = 0;

    std::thread worker;

    Impl(Loop& l, std::unique_ptr<Journal> j) : loop(l), journal(std::move(j)) {}

    void ring() const {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto rung = ::write(bell.get(), &one, sizeof one);
    }

    void work() {
        for (;;) {
            Request request;
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [this] { return ending || !requests.empty(); });
                if (requests.empty()) return;
                request = std::move(requests.front());
                requests.pop_front();
            }
            auto answer = request(journal.get());
            // What the request owns ends on this thread, before the loop can hear of it.
            request = nullptr;
            const std::scoped_lock lock(mutex);
            answers.push_back(std::move(answer));
            ring();
        }
    }

    void deliver() {
        std::uint64_t count = 0;
        if (::read(bell.get(), &count, sizeof count) < 0) return;
        std::deque<std::function<void()>> ready;
        {
            const std::scoped_lock lock(mutex);
            ready.swap(answers);
        }
        for (auto& answer : ready) {
            // An answer may have destroyed the JournalThread; nobody is answered after that.
            if (ending) return;
            --outstanding;
            answer();
        }
    }
};

JournalThread::JournalThread(Loop& loop, std::unique_ptr<Journal> journal)
    : impl_(std::make_shared<Impl>(loop, std::move(journal))) {
    SEGUE_ASSERT(static_cast<bool>(impl_->bell));
    // Shared: an answer may destroy this object while deliver() runs.
    impl_->watch = loop.watch_readable(impl_->bell.get(), [impl = impl_] { impl->deliver(); });
    // Signals are for the loop's thread: one that ends the process must not be taken here.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    impl_->worker = std::thread([impl = impl_.get()] { impl->work(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

JournalThread::~JournalThread() {
    {
        const std::scoped_lock lock(impl_->mutex);
        impl_->ending = true;
    }
    impl_->wake.notify_one();
    impl_->worker.join();
    impl_->loop.unwatch(impl_->watch);
}

void JournalThread::perform(Request request) {
    if (impl_->outstanding >= journal::requests_max) {
        impl_->loop.post([weak = std::weak_ptr(impl_), answer = request(nullptr)] {
            const auto impl = weak.lock();
            if (impl && !impl->ending) answer();
        });
        return;
    }
    ++impl_->outstanding;
    {
        const std::scoped_lock lock(impl_->mutex);
        impl_->requests.push_back(std::move(request));
    }
    impl_->wake.notify_one();
}

void JournalThread::append(JobId job, const MoveOwner& by, const MoveStep& step, Durability durability,
                           OnDone on_done) {
    ask<void>([=](Journal& journal) { return journal.append(job, by, step, durability); }, std::move(on_done));
}

std::unexpected<Error> JournalThread::too_many() {
    return fail(ErrorKind::unavailable, "the journal's disk does not answer: too many requests wait for it");
}

}  // namespace segue

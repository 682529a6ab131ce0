#include "app/segue/brake_port.hpp"

#include <sched.h>
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
namespace {

/// One reading outstanding and a setting or two; more means that nobody waits for answers.
constexpr std::size_t commands_max = 64;

}  // namespace

struct BrakePort::Impl {
    struct Done {
        Result<BrakeAnswer> answer;
        std::vector<HeldGroup> held;
        bool opened = false;
    };

    Loop& loop;
    CgroupBrake brake;  ///< The worker's alone.
    Fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Loop::WatchId watch{};

    std::mutex mutex;  // Guards the four below.
    std::condition_variable wake;
    std::deque<BrakeCommand> commands;
    std::deque<Done> done;
    bool ending = false;

    std::deque<OnAnswer> waiting;  ///< In the order of the commands. Loop's thread only, like the next.
    std::vector<HeldGroup> held;

    std::thread worker;

    Impl(Loop& l, std::string name) : loop(l), brake(std::move(name)) {}

    void work() {
        // It must not wait behind the busy guests that it is to hold; every stretch of its work is short.
        sched_param lowest{};
        lowest.sched_priority = 1;
        static_cast<void>(::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest));
        for (;;) {
            BrakeCommand command;
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [this] { return ending || !commands.empty(); });
                if (commands.empty()) break;
                command = std::move(commands.front());
                commands.pop_front();
            }
            auto answer = brake.perform(command);
            const bool opened = answer && std::holds_alternative<BrakeOpen>(command);
            const std::scoped_lock lock(mutex);
            done.push_back({std::move(answer), opened ? brake.held() : std::vector<HeldGroup>{}, opened});
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto rung = ::write(bell.get(), &one, sizeof one);
        }
        static_cast<void>(brake.perform(BrakeClose{}));
    }

    void deliver() {
        std::uint64_t count = 0;
        if (::read(bell.get(), &count, sizeof count) < 0) return;
        std::deque<Done> ready;
        {
            const std::scoped_lock lock(mutex);
            ready.swap(done);
        }
        for (Done& each : ready) {
            // An answer may have destroyed the port; nobody is answered after that.
            if (ending) return;
            if (each.opened) held = std::move(each.held);
            const auto on_answer = std::move(waiting.front());
            waiting.pop_front();
            on_answer(std::move(each.answer));
        }
    }
};

BrakePort::BrakePort(Loop& loop, std::string name) : impl_(std::make_shared<Impl>(loop, std::move(name))) {
    SEGUE_ASSERT(static_cast<bool>(impl_->bell));
    // Shared: an answer may destroy this object while deliver() runs.
    impl_->watch = loop.watch_readable(impl_->bell.get(), [impl = impl_] { impl->deliver(); });
    // Signals are for the loop's thread.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    impl_->worker = std::thread([impl = impl_.get()] { impl->work(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

BrakePort::~BrakePort() {
    {
        const std::scoped_lock lock(impl_->mutex);
        impl_->ending = true;
    }
    impl_->wake.notify_one();
    impl_->worker.join();
    impl_->loop.unwatch(impl_->watch);
}

void BrakePort::submit(const BrakeCommand& command, OnAnswer on_answer) {
    SEGUE_ASSERT(impl_->waiting.size() < commands_max);
    if (std::holds_alternative<BrakeClose>(command)) impl_->held.clear();
    impl_->waiting.push_back(std::move(on_answer));
    {
        const std::scoped_lock lock(impl_->mutex);
        impl_->commands.push_back(command);
    }
    impl_->wake.notify_one();
}

const std::vector<HeldGroup>& BrakePort::held() const { return impl_->held; }

}  // namespace segue

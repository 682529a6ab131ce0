#include "io/loop.hpp"

#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "io/fd.hpp"

namespace segue {
namespace {

namespace asio = boost::asio;

enum Direction : std::size_t { readable, writable };

timespec to_timespec(Duration d) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(d);
    timespec result{};
    result.tv_sec = whole.count();
    result.tv_nsec = (d - whole).count();
    return result;
}

}  // namespace

Instant now_on_this_host() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return {std::chrono::seconds{now.tv_sec} + Duration{now.tv_nsec}};
}

struct Loop::Impl {
    struct Watch {
        WatchId id;
        Direction direction;
        std::function<void()> ready;
        bool active = true;
    };

    /// Everything that watches one descriptor. epoll takes a descriptor once only, so that a reader and
    /// a writer of the same socket share one registration.
    struct Watched {
        Watched(asio::io_context& context, int fd) : descriptor(context, fd) {}
        asio::posix::stream_descriptor descriptor;
        std::vector<std::shared_ptr<Watch>> watches;
        /// At most one wait a direction is in the reactor, however often watches come and go.
        std::array<bool, 2> waiting{};
        bool gone = false;
    };

    using TimerKey = std::pair<Instant, TimerId>;

    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    std::atomic<bool> stop_wanted{false};
    std::deque<std::function<void()>> posted;

    std::map<TimerKey, std::function<void()>> timers;
    std::map<TimerId, Instant> timer_instants;
    std::uint64_t last_id = 0;
    Fd alarm;
    Instant alarm_at{};  ///< Zero: off.
    bool firing = false;

    std::map<int, std::shared_ptr<Watched>> watched;
    std::map<WatchId, int> watch_fds;

    Impl();
    void drop_everything();
    void set_alarm();
    void fire_timers();
    WatchId watch(int fd, Direction direction, std::function<void()> ready);
    void unwatch(WatchId id) noexcept;
    void wait(const std::shared_ptr<Watched>& entry, Direction direction);
    void notify(const std::shared_ptr<Watched>& entry, Direction direction);
};

// One timerfd on CLOCK_BOOTTIME carries all timers: asio's own timers run on CLOCK_MONOTONIC, which stands
// still while the host is suspended, and a deadline must not.
Loop::Impl::Impl() : alarm(::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)) {
    SEGUE_ASSERT(alarm);
    watch(alarm.get(), readable, [this] { fire_timers(); });
}

/// Callbacks may own objects whose destructors call cancel() or unwatch(): every container is emptied
/// first and its contents are destroyed while the loop still answers.
void Loop::Impl::drop_everything() {
    while (!posted.empty() || !timers.empty() || !watched.empty()) {
        auto old_posted = std::exchange(posted, {});
        auto old_timers = std::exchange(timers, {});
        timer_instants.clear();
        auto old_watched = std::exchange(watched, {});
        watch_fds.clear();
        for (auto& [fd, entry] : old_watched) {
            entry->gone = true;
            entry->descriptor.release();
        }
    }
}

void Loop::Impl::set_alarm() {
    // While timers fire the alarm is set once, at the end.
    if (firing) return;
    const Instant wanted = timers.empty() ? Instant{} : timers.begin()->first.first;
    if (wanted == alarm_at) return;
    alarm_at = wanted;
    itimerspec setting{};
    // Zero switches it off; an instant in the past fires at once.
    setting.it_value = to_timespec(wanted.since_boot);
    const int failed = ::timerfd_settime(alarm.get(), TFD_TIMER_ABSTIME, &setting, nullptr);
    SEGUE_ASSERT(failed == 0);
}

void Loop::Impl::fire_timers() {
    firing = true;
    const Instant now = now_on_this_host();
    std::vector<TimerKey> due;
    for (const auto& [key, action] : timers) {
        if (key.first > now) break;
        due.push_back(key);
    }
    // Timers made by these callbacks wait for the next round, or a timer that re-arms itself in the past
    // would lock everything else out.
    for (const TimerKey& key : due) {
        if (stop_wanted) break;
        const auto found = timers.find(key);
        if (found == timers.end()) continue;
        const auto action = std::move(found->second);
        timers.erase(found);
        timer_instants.erase(key.second);
        action();
    }
    firing = false;
    // Always set anew: that is also what takes the expiry off the descriptor.
    alarm_at = Instant{Duration{-1}};
    set_alarm();
}

Loop::WatchId Loop::Impl::watch(int fd, Direction direction, std::function<void()> ready) {
    SEGUE_ASSERT(fd >= 0);
    auto& entry = watched[fd];
    if (!entry) entry = std::make_shared<Watched>(context, fd);
    const WatchId id{++last_id};
    entry->watches.push_back(std::make_shared<Watch>(Watch{id, direction, std::move(ready)}));
    watch_fds.emplace(id, fd);
    wait(entry, direction);
    return id;
}

void Loop::Impl::unwatch(WatchId id) noexcept {
    const auto found = watch_fds.find(id);
    if (found == watch_fds.end()) return;
    const auto place = watched.find(found->second);
    watch_fds.erase(found);
    // Held until the end: the callback may own what is calling here.
    const std::shared_ptr<Watched> entry = place->second;
    const auto watch = std::ranges::find(entry->watches, id, [](const auto& w) { return w->id; });
    const std::shared_ptr<Watch> removed = *watch;
    removed->active = false;
    entry->watches.erase(watch);
    if (!entry->watches.empty()) return;
    entry->gone = true;
    entry->descriptor.release();
    watched.erase(place);
}

/// Asks the reactor for one notice. Asking again looks at the present state anew, so that what a callback
/// left unread is notified again.
void Loop::Impl::wait(const std::shared_ptr<Watched>& entry, Direction direction) {
    if (entry->waiting[direction]) return;
    entry->waiting[direction] = true;
    const auto wait_for = direction == readable ? asio::posix::stream_descriptor::wait_read
                                                : asio::posix::stream_descriptor::wait_write;
    entry->descriptor.async_wait(wait_for, [this, entry, direction](const boost::system::error_code&) {
        entry->waiting[direction] = false;
        if (!entry->gone) notify(entry, direction);
    });
}

void Loop::Impl::notify(const std::shared_ptr<Watched>& entry, Direction direction) {
    // A copy, since callbacks may add and remove watches; `active` tells the removed ones.
    const auto watches = entry->watches;
    for (const auto& watch : watches) {
        if (watch->direction == direction && watch->active) watch->ready();
    }
    const bool wanted = std::ranges::any_of(
        entry->watches, [direction](const auto& watch) { return watch->direction == direction; });
    if (!entry->gone && wanted) wait(entry, direction);
}

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() { impl_->drop_everything(); }

Loop::TimerId Loop::at(Instant when, std::function<void()> action) {
    // Instant 0 stands for "no alarm".
    when = std::max(when, Instant{Duration{1}});
    const TimerId id{++impl_->last_id};
    impl_->timers.emplace(Impl::TimerKey{when, id}, std::move(action));
    impl_->timer_instants.emplace(id, when);
    impl_->set_alarm();
    return id;
}

void Loop::cancel(TimerId timer) noexcept {
    const auto found = impl_->timer_instants.find(timer);
    if (found == impl_->timer_instants.end()) return;
    // Taken out before it is destroyed: what it owns may call back into the loop.
    const auto node = impl_->timers.extract({found->second, timer});
    impl_->timer_instants.erase(found);
    // The alarm is left as it is: one early look costs less than a system call a cancelled timer.
}

Loop::WatchId Loop::watch_readable(int fd, std::function<void()> ready) {
    return impl_->watch(fd, readable, std::move(ready));
}

Loop::WatchId Loop::watch_writable(int fd, std::function<void()> ready) {
    return impl_->watch(fd, writable, std::move(ready));
}

void Loop::unwatch(WatchId watch) noexcept { impl_->unwatch(watch); }

void Loop::post(std::function<void()> action) {
    impl_->posted.push_back(std::move(action));
    asio::post(impl_->context, [impl = impl_.get()] {
        const auto next = std::move(impl->posted.front());
        impl->posted.pop_front();
        next();
    });
}

void Loop::run() {
    impl_->context.restart();
    if (!impl_->stop_wanted) impl_->context.run();
    impl_->stop_wanted = false;
}

void Loop::stop() noexcept {
    impl_->stop_wanted = true;
    impl_->context.stop();
}

}  // namespace segue

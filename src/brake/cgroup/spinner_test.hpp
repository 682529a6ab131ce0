#pragma once
/// \file  A busy process to brake, which notes when it ran. And a folder of cgroup v1 for a test.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <ctime>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "brake/cgroup/files.hpp"
#include "brake/cgroup/thread.hpp"

namespace segue {

inline std::int64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Where the kernel's cpu controller of version 1 is; a failure that says what is missing where it is not.
inline std::string cpu_root() {
    const auto threads = find_threads(kernel_files(), ::getpid(), {::getpid()});
    EXPECT_TRUE(threads) << to_string(threads.error());
    if (!threads) return {};
    EXPECT_EQ(threads->front().version, GroupVersion::v1) << "this test needs cgroup v1's cpu controller";
    return threads->front().mount;
}

/// Where the first thread of `pid` is.
inline std::string group_of(int pid) {
    const auto threads = find_threads(kernel_files(), pid, {pid});
    EXPECT_TRUE(threads) << to_string(threads.error());
    return threads ? threads->front().group : "";
}

/// Its main thread spins; above all ordinary processes, so that only a quota ever holds it.
class Spinner {
public:
    static constexpr std::int64_t sample_ns = 50'000'000;
    static constexpr std::size_t samples_max = 400;
    /// Shared with the child. Sample n is the run time at `begun_ns + n * sample_ns`.
    struct Notes {
        std::atomic<bool> begin{false};
        std::atomic<std::int64_t> begun_ns{0};
        std::atomic<std::size_t> count{0};
        std::int64_t ran_ns[samples_max] = {};
        /// What others kept from it so far: the time in which it neither ran nor was held.
        std::int64_t taken_ns[samples_max] = {};
        std::atomic<std::int64_t> stall_worst_ns{0};  ///< Less what others took of it.
        char stat_path[256] = {};                     ///< cpu.stat of its group, where it is to know when it was held.
        std::atomic<int> second_thread{0};
        std::atomic<bool> stands{false};
    };

    explicit Spinner(bool two_threads = false) {
        void* memory = ::mmap(nullptr, sizeof(Notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        notes_ = new (memory) Notes;
        pid_ = ::fork();
        if (pid_ == 0) spin(two_threads);
        while (!notes_->stands.load()) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    ~Spinner() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        ::munmap(notes_, sizeof(Notes));
    }
    Spinner(const Spinner&) = delete;
    Spinner& operator=(const Spinner&) = delete;

    [[nodiscard]] int pid() const { return pid_; }
    [[nodiscard]] int second_thread() const {
        while (notes_->second_thread.load() == 0) std::this_thread::yield();
        return notes_->second_thread.load();
    }

    struct Seen {
        double share_least = 1;  ///< With what others took counted as given.
        double share_most = 0;   ///< Less what it had been kept from a window earlier, which comes back as burst.
        Duration stall_worst{0};
        Duration stolen{0};  ///< By the machine below, from all processors, to a tick; unknown which of it was ours.
    };
    /// Over every window of 1 s that begins at a sample.
    [[nodiscard]] Seen watch(Duration time) const {
        const std::string stat = group_of(pid_) + "/cpu.stat";
        stat.copy(notes_->stat_path, sizeof notes_->stat_path - 1);
        const Duration stolen = stolen_time();
        notes_->begin.store(true);
        const auto wanted = static_cast<std::size_t>(time.count() / sample_ns);
        while (notes_->count.load() < wanted) std::this_thread::sleep_for(std::chrono::milliseconds{5});
        Seen seen;
        constexpr std::size_t window = 1'000'000'000 / sample_ns;
        for (std::size_t at = 0; at + window < wanted; ++at) {
            const std::size_t before = at < window ? 0 : at - window;
            const double share = static_cast<double>(notes_->ran_ns[at + window] - notes_->ran_ns[at]) * 1e-9;
            const double taken = static_cast<double>(notes_->taken_ns[at + window] - notes_->taken_ns[at]) * 1e-9;
            const double due = static_cast<double>(notes_->taken_ns[at + window] - notes_->taken_ns[before]) * 1e-9;
            seen.share_least = std::min(seen.share_least, share + taken);
            seen.share_most = std::max(seen.share_most, share - due);
        }
        seen.stall_worst = Duration{notes_->stall_worst_ns.load()};
        seen.stolen = stolen_time() - stolen;
        return seen;
    }

private:
    static Duration stolen_time() {
        const std::string all = read_small("/proc/stat");
        long long ticks[8] = {};  // user nice system idle iowait irq softirq steal
        std::sscanf(all.c_str(), "cpu %lld %lld %lld %lld %lld %lld %lld %lld", ticks, ticks + 1, ticks + 2, ticks + 3,
                    ticks + 4, ticks + 5, ticks + 6, ticks + 7);
        return Duration{ticks[7] * (1'000'000'000 / ::sysconf(_SC_CLK_TCK))};
    }
    /// How long the quota has held its group.
    [[nodiscard]] std::int64_t held_ns() const {
        const std::string text = read_small(notes_->stat_path);
        const auto at = text.find("throttled_time ");
        std::int64_t held = 0;
        if (at != std::string::npos) std::from_chars(text.data() + at + 15, text.data() + text.size(), held);
        return held;
    }
    [[noreturn]] void spin(bool two_threads) const {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::setpriority(PRIO_PROCESS, 0, -20);
        // In the root group the kernel shares out by sessions first, whatever the niceness.
        ::setsid();
        static_cast<void>(write_small("/proc/self/autogroup", "-20"));
        notes_->stands.store(true);
        std::thread second;
        if (two_threads) {
            second = std::thread([this] {
                notes_->second_thread.store(static_cast<int>(::syscall(SYS_gettid)));
                for (;;) static_cast<void>(clock_ns(CLOCK_MONOTONIC));
            });
        }
        constexpr std::int64_t gap_ns = 100'000;  // Longer than any read of a clock: it did not run.
        std::int64_t next = 0, held = 0, taken = 0;
        for (std::int64_t last = 0;;) {
            std::int64_t now = clock_ns(CLOCK_MONOTONIC);
            if (next == 0 && notes_->begin.load()) {
                held = held_ns();
                now = clock_ns(CLOCK_MONOTONIC);
                next = last = now;
                notes_->begun_ns.store(now);
            }
            if (next == 0) continue;
            if (now - last > gap_ns) {
                const std::int64_t held_now = held_ns();
                const std::int64_t by_others = std::max<std::int64_t>(0, now - last - (held_now - held));
                held = held_now;
                taken += by_others;
                notes_->stall_worst_ns.store(std::max(notes_->stall_worst_ns.load(), now - last - by_others));
            }
            // Several at once after a stall: the run time was the same all through it.
            while (next <= now && notes_->count.load() < samples_max) {
                notes_->ran_ns[notes_->count.load()] = clock_ns(CLOCK_THREAD_CPUTIME_ID);
                notes_->taken_ns[notes_->count.load()] = taken;
                notes_->count.fetch_add(1);
                next += sample_ns;
            }
            last = now;
        }
    }

    Notes* notes_ = nullptr;
    pid_t pid_ = 0;
};

}  // namespace segue

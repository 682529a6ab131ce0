#include "app/segue/host/memory_promise.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/folder_test.hpp"
#include "hypervisor/qemu/host.hpp"

namespace segue {
namespace {

constexpr std::int64_t mib = 1 << 20;

/// What this process has taken.
Bytes own() { return qemu::memory_taken_by(::getpid()); }

class MemoryPromises : public testing::Test {
protected:
    [[nodiscard]] std::size_t files() const {
        const std::filesystem::directory_iterator all(folder + "/receive");
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }

    TestFolder made;
    std::string folder = made.path();
};

TEST_F(MemoryPromises, count_for_the_others_and_not_for_oneself) {
    EXPECT_EQ(promised_to_others(folder, "a"), Bytes{0});
    const MemoryPromise one(folder, "a", Bytes{100 * mib}, ::getpid(), own());
    const MemoryPromise two(folder, "b", Bytes{30 * mib}, ::getpid(), own());
    EXPECT_NEAR(static_cast<double>(promised_to_others(folder, "a").count), 30.0 * mib, 1.0 * mib);
    EXPECT_NEAR(static_cast<double>(promised_to_others(folder, "c").count), 130.0 * mib, 1.0 * mib);
}

TEST_F(MemoryPromises, end_with_their_move) {
    {
        const MemoryPromise one(folder, "a", Bytes{100 * mib}, ::getpid(), own());
        EXPECT_GT(promised_to_others(folder, "b").count, 90 * mib);
    }
    EXPECT_EQ(promised_to_others(folder, "b"), Bytes{0});
    EXPECT_EQ(files(), 0U);
}

TEST_F(MemoryPromises, of_a_process_that_was_killed_count_no_more_and_are_taken_away) {
    std::array<int, 2> ready{};
    ASSERT_EQ(::pipe(ready.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const MemoryPromise theirs(folder, "a", Bytes{100 * mib}, ::getppid(), qemu::memory_taken_by(::getppid()));
        const bool told = ::write(ready[1], "!", 1) == 1;
        if (!told) ::_exit(1);
        ::pause();
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    EXPECT_GT(promised_to_others(folder, "b").count, 90 * mib);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_EQ(files(), 1U);
    EXPECT_EQ(promised_to_others(folder, "b"), Bytes{0});
    EXPECT_EQ(files(), 0U);
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST_F(MemoryPromises, shrink_by_what_the_guest_has_taken_since) {
    const MemoryPromise one(folder, "a", Bytes{100 * mib}, ::getpid(), own());
    void* const taken = ::mmap(nullptr, 60 * mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(taken, MAP_FAILED);
    std::memset(taken, 1, 60 * mib);
    EXPECT_NEAR(static_cast<double>(promised_to_others(folder, "b").count), 40.0 * mib, 2.0 * mib);
    ::munmap(taken, 60 * mib);
}

TEST_F(MemoryPromises, do_not_shrink_by_what_was_counted_as_taken_already) {
    // Huge pages that a guest has reserved and not touched yet, beside 100 MiB of others that it needs.
    const MemoryPromise one(folder, "a", Bytes{100 * mib}, ::getpid(), own() + Bytes{50 * mib});
    EXPECT_EQ(promised_to_others(folder, "b"), Bytes{100 * mib});
    void* const taken = ::mmap(nullptr, 60 * mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(taken, MAP_FAILED);
    std::memset(taken, 1, 60 * mib);
    EXPECT_NEAR(static_cast<double>(promised_to_others(folder, "b").count), 90.0 * mib, 2.0 * mib);
    ::munmap(taken, 60 * mib);
}

TEST_F(MemoryPromises, that_cannot_be_read_count_as_nothing) {
    const MemoryPromise one(folder, "a", Bytes{100 * mib}, ::getpid(), own());
    std::ofstream(folder + "/receive/a.needs") << "what?\n";  // The same file, and so the same lock.
    EXPECT_EQ(promised_to_others(folder, "b"), Bytes{0});
    EXPECT_EQ(promised_to_others("/nowhere/at/all", "b"), Bytes{0});
    const MemoryPromise nowhere("/nowhere/at/all", "a", Bytes{1}, ::getpid(), own());
}

}  // namespace
}  // namespace segue

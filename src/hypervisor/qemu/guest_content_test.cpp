#include "hypervisor/qemu/guest_content.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace segue::qemu {
namespace {

TEST(RamMapping, is_the_smallest_private_one_that_holds_the_ram) {
    const std::string_view maps =
        "55d000000000-55d000001000 r-xp 00000000 00:00 0 /usr/bin/qemu-system-x86_64\n"
        "7f0000000000-7f0008000000 rw-p 00000000 00:00 0\n"
        "7f1000000000-7f1010000000 rw-p 00000000 00:00 0\n"
        "7f2000000000-7f2008000000 rwxp 00000000 00:00 0\n"
        "7f3000000000-7f3008000000 rw-s 00000000 00:01 5 /dev/shm/x\n"
        "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n";
    EXPECT_EQ(ram_mapping(maps, mebibytes(128)), (Mapping{0x7f0000000000, 0x7f0008000000}));
    EXPECT_EQ(ram_mapping(maps, mebibytes(129)), (Mapping{0x7f1000000000, 0x7f1010000000}));
    EXPECT_FALSE(ram_mapping(maps, mebibytes(257)));
    EXPECT_FALSE(ram_mapping(maps, Bytes{0}));
    for (const auto* wrong : {"", "\n", "x", "1-", "-2 rw-p", "zz-ff rw-p", "2000-1000 rw-p", "1000-2000"}) {
        EXPECT_FALSE(ram_mapping(wrong, Bytes{1})) << wrong;
    }
}

TEST(GuestContent, is_what_is_there_and_not_zero) {
    constexpr Bytes ram = mebibytes(48);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto size = static_cast<std::size_t>(ram.count);
    // Between two pages that nobody may touch, or the kernel would take it and its neighbours for one mapping.
    auto* all = static_cast<char*>(::mmap(nullptr, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(static_cast<void*>(all), MAP_FAILED);
    ASSERT_EQ(::mprotect(all + page, size, PROT_READ | PROT_WRITE), 0);
    const auto content = [&] {
        const auto found = content_of(::getpid(), ram);
        return found ? static_cast<double>(found->count) / static_cast<double>(ram.count) : -1;
    };
    EXPECT_NEAR(content(), 0, 1e-9);
    std::memset(all + page, 0, size / 3);  // Touched, and zero all the same.
    EXPECT_NEAR(content(), 0, 1e-9);
    std::memset(all + page + size / 3, 7, size / 3);
    EXPECT_NEAR(content(), 1.0 / 3, 0.02);
    std::memset(all + page, 7, size);
    EXPECT_NEAR(content(), 1, 1e-9);
    ::munmap(all, size + 2 * page);
    EXPECT_FALSE(content_of(::getpid(), mebibytes(std::int64_t{1} << 40)));
}

TEST(GuestContent, of_nobody_is_not_known) {
    EXPECT_FALSE(content_of(0, mebibytes(1)));
}

}  // namespace
}  // namespace segue::qemu

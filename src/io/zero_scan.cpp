#include "io/zero_scan.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>

#include "units/duration.hpp"

namespace segue {
namespace {

constexpr std::size_t sample_bytes = std::size_t{32} << 20;

/// Sees to it that the reading is not left out.
std::uint64_t all_bits(std::span<const std::uint64_t> words) {
    std::uint64_t bits = 0;
    for (const std::uint64_t word : words) bits |= word;
    return bits;
}

}  // namespace

ByteRate zero_scan_rate() {
    void* memory = ::mmap(nullptr, sample_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return {};
    static_cast<void>(::madvise(memory, sample_bytes, MADV_HUGEPAGE));
    const auto began = std::chrono::steady_clock::now();
    const auto bits = all_bits({static_cast<const std::uint64_t*>(memory), sample_bytes / sizeof(std::uint64_t)});
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - began;
    ::munmap(memory, sample_bytes);
    if (bits != 0) return {};
    return Bytes{static_cast<std::int64_t>(sample_bytes)} / std::max<Duration>(took, std::chrono::microseconds{1});
}

}  // namespace segue

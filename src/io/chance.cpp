#include "io/chance.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>

#include "base/assert.hpp"

namespace segue {

std::string draw_hex() {
    std::array<unsigned char, 16> bytes{};
    // Never short and never interrupted for so few bytes once the kernel has its chance.
    const auto got = ::getrandom(bytes.data(), bytes.size(), 0);
    SEGUE_ASSERT(got == static_cast<ssize_t>(bytes.size()));
    std::string hex;
    for (const unsigned byte : bytes) hex += fmt::format("{:02x}", byte);
    return hex;
}

}  // namespace segue

#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace segue {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
    std::fprintf(stderr, "segue: internal error: %s (%s:%d)\n", expression, file, line);
    std::abort();
}

}  // namespace segue

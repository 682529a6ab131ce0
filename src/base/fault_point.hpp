#pragma once
/// \file  Places at which a test can stop this very process, as a hung machine would.
///
/// `SEGUE_FAULT_POINT("guard:held")` is nothing in a shipped build: not even the name is compiled in
/// (a test looks for it in the binary). With SEGUE_FAULT_POINTS defined, the process stops itself
/// (SIGSTOP, all threads) the first time it passes the point named by the environment's
/// SEGUE_FAULT_POINT; the test goes on with SIGKILL or SIGCONT.

#ifdef SEGUE_FAULT_POINTS

#include <csignal>
#include <cstdlib>
#include <cstring>

namespace segue {

inline void stop_if_chosen(const char* name, bool& done) noexcept {
    if (done) return;
    const char* chosen = std::getenv("SEGUE_FAULT_POINT");
    if (chosen == nullptr || std::strcmp(chosen, name) != 0) return;
    done = true;
    static_cast<void>(::raise(SIGSTOP));
}

}  // namespace segue

#define SEGUE_FAULT_POINT(name)                                   \
    do {                                                          \
        static bool segue_fault_point_done = false;               \
        ::segue::stop_if_chosen((name), segue_fault_point_done); \
    } while (false)

#else

#define SEGUE_FAULT_POINT(name) static_cast<void>(0)

#endif

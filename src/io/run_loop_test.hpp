#pragma once
/// \file  For tests: a loop that ends also when what is waited for never comes.

#include <gtest/gtest.h>

#include "io/loop.hpp"

namespace segue {

/// Until somebody stops it; false where nobody did.
inline bool run_at_most(Loop& loop, Duration most) {
    bool over = false;
    const auto end = loop.at(loop.now() + most, [&] {
        over = true;
        loop.stop();
    });
    loop.run();
    loop.cancel(end);
    return !over;
}

/// Until somebody stops it; the test has failed where nobody did for far too long.
inline void run_until_stopped(Loop& loop) {
    EXPECT_TRUE(run_at_most(loop, std::chrono::seconds{20})) << "no answer came";
}

/// Until `done()`, which is asked every millisecond; false where it was not for `most`.
template <class Done>
bool run_until(Loop& loop, Done done, Duration most = std::chrono::seconds{10}) {
    const Instant end = loop.now() + most;
    while (!done() && loop.now() < end) run_at_most(loop, std::chrono::milliseconds{1});
    return done();
}

}  // namespace segue

#pragma once
/// \file  Recorded dirtying as text: one line a stretch, "WORK_SECONDS DISTINCT_BYTES", of what was dirtied since the
///        line before; "#" begins a comment, "# working-set BYTES" says on how many bytes the writes fell.
///
/// A trace played back is a working set written at random with the recorded heat, again and again; it keeps the course
/// over time and the distinct bytes of each stretch, not which page was which.
/// Pure. Errors: `corrupt`, with the line.

#include <string>
#include <string_view>

#include "app/sim/study/guest.hpp"
#include "base/result.hpp"

namespace segue::study {

struct Trace {
    double working_set_bytes = 0;
    std::vector<TracePoint> points;
    friend bool operator==(const Trace&, const Trace&) = default;
};

[[nodiscard]] Result<Trace> parse_trace(std::string_view text);
[[nodiscard]] std::string to_text(const Trace& trace, std::string_view remark);

/// A guest that does what was recorded, scaled to `memory_bytes` and so many seconds' worth of heat a second.
[[nodiscard]] GuestSpec guest_of(const Trace& trace, double memory_bytes, double speed);

struct WalkPlan {
    std::size_t pages = 0;
    double writes_per_s = 0;
    double jump_chance = 0;   ///< A step goes anywhere instead of to a neighbour.
    double burst_s = 0;       ///< Mean length of a burst, and of the pause after it. 0: never pauses.
    double length_s = 0;
    double stretch_s = 0.1;
};
/// Synthetic: a random walk over pages, each write counted, page by page.
[[nodiscard]] Trace record_walk(const WalkPlan& plan, sim::Rng rng);

}  // namespace segue::study

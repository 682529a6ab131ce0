#pragma once
/// \file  All that a decision is made of, from one view: the ground as it is believed just now, and where the move
///        stands on it. Pure. Cost: a few us.

#include "policy/converge/relax.hpp"
#include "policy/converge/steer.hpp"

namespace segue::converge {

struct Scene {
    Outlook outlook;
    Ground ground;
    Situation now;
    double max_downtime_s = 0;
    double elapsed_s = 0;
    double fast = 1;  ///< The link at its best against what is believed.
    bool in_first_pass = false;
    double first_pass = 0;  ///< Bytes.
    double first_pass_s = 0;
    double first_pass_left_s = 0;
};

/// \param bandwidth_now  Bytes per second, above 0.
/// \param faster  The link taken for so many times as fast as it is just now.
/// \param room_s  So much of the standstill is there for bytes, if that is more than there is just now.
[[nodiscard]] Scene scene_of(const View& view, double bandwidth_now, double faster, double room_s);

/// Of the standstill, in seconds, what is left for bytes.
[[nodiscard]] double room_of(const Scene& scene);

[[nodiscard]] Hurdle hurdle_of(const Scene& scene, const View& view);

}  // namespace segue::converge

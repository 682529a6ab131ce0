#pragma once
/// \file  A part of one CPU's wall time: 0.2 is 20 %. Of a guest with several vCPUs: of each of them.

#include <compare>

namespace segue {

struct Share {
    double ratio = 1.0;  ///< 0 to 1.

    friend constexpr auto operator<=>(Share, Share) = default;
};

inline constexpr Share all_of_it{1.0};

}  // namespace segue

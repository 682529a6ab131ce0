#pragma once
/// \file  What `segue explain` and `segue replay` were asked for. Values only.

#include <cstdint>
#include <optional>
#include <string>

#include "units/duration.hpp"

namespace segue {

struct ExplainJob {
    std::int64_t job = 0;
    std::optional<Duration> at;  ///< Only the decision that held then, with all that was known.
    bool json = false;           ///< The record's own lines.
};
struct ReplayJob {
    std::int64_t job = 0;
    /// "converge", "patient" or "auto-converge"; empty: the one that steered.
    std::string policy;
    bool json = false;
};

}  // namespace segue

#pragma once
/// \file  What `segue recover` was asked for. Values only.

#include <cstdint>
#include <optional>
#include <string>

#include "app/segue/words/output_words.hpp"

namespace segue {

/// Both of `fenced` and `confirm`, or neither.
struct Recover {
    std::optional<std::int64_t> job;  ///< None: the only unfinished move.
    std::optional<std::string> fenced;
    std::optional<std::string> confirm;
    OutputOptions output;
};

}  // namespace segue

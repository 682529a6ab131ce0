#pragma once
/// \file  For tests: what happened in a run, to be shown where something was wrong with it.

#include <string>

#include "app/sim/runner.hpp"

namespace segue::sim {

[[nodiscard]] inline std::string all_of(const RunResult& result) {
    std::string text;
    for (const auto& line : result.transcript) text += line + '\n';
    for (const auto& what : result.violations) text += "VIOLATION: " + what + '\n';
    return text;
}

}  // namespace segue::sim

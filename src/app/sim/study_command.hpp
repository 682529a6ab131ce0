#pragma once
/// \file  `segue-sim study`: runs the cases of a study and prints its figures. docs/simulator.md describes it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace segue::sim {

struct StudyOptions {
    std::size_t cases = 600;
    std::uint64_t seed = 1;
    bool brief = false;       ///< 60 cases.
    std::string policy = "converge";
    std::string sees = "learning";  ///< Or "knowing": the true curve.
    std::string json;         ///< File for the outcomes, or empty.
    std::size_t worst = 0;    ///< So many of the worst cases are listed.
    std::optional<std::uint64_t> only{};  ///< One case alone, by its seed.
    bool verbose = false;     ///< With `only`: each dirty sync.
    bool strict = false;      ///< Every missed goal fails; else only a broken bound does.
    std::vector<std::string> traces;  ///< Files, beside the synthetic ones.
};

/// Returns the exit status.
[[nodiscard]] int study(const StudyOptions& options);

}  // namespace segue::sim

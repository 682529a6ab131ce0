#pragma once
/// \file  What `segue history`, `segue status` and `segue cancel` were asked for. Values only.

#include <cstddef>
#include <optional>
#include <variant>

#include "store/journal.hpp"

namespace segue {

namespace jobs {
inline constexpr std::size_t history_default = 20;
}  // namespace jobs

struct ShowHistory {
    std::size_t last = jobs::history_default;
    bool json = false;
};
struct ShowStatus {
    std::optional<JobId> job;  ///< None: all that have not ended.
    bool json = false;
    bool follow = false;  ///< Again and again until the move has ended. Only with `job`.
};
struct CancelJob {
    JobId job{};
    bool json = false;
};
using JobsCommand = std::variant<ShowHistory, ShowStatus, CancelJob>;

}  // namespace segue

#pragma once
/// \file  One word for each command, for transcripts.

#include <string_view>

#include "migration/event.hpp"

namespace segue::sim {

[[nodiscard]] std::string_view name_of(const Command& command) noexcept;

}  // namespace segue::sim

#pragma once
/// \file  Where the guest's memory goes, as an operator writes it. Nothing is looked up.
///
/// Thread: any. Errors: `invalid`, one sentence that says what to write instead.

#include <cstdint>
#include <string_view>

#include "base/result.hpp"
#include "migration/request.hpp"

namespace segue {

/// A data address with its port (0: none) or its range of ports (0: none).
struct DataPlace {
    DataAddress address;
    std::uint16_t port_first = 0;
    std::uint16_t port_last = 0;
};
/// "HOST", "HOST:PORT", "HOST:FIRST-LAST", and the same with "[V6]"; the brackets are taken off.
[[nodiscard]] Result<DataPlace> parse_data_place(std::string_view text);

}  // namespace segue
